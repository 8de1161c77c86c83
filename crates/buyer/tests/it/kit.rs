//! A seller with a script, and buyers with a key.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use groat_buyer::{BuyError, Buyer, Client, DenyAll, LocalSigner, Options};
use groat_chain_evm::ExactEvm;
use groat_core::offer::{Ask, Resource};
use groat_core::payment::ReceiptOutcome;
use groat_core::policy::{Denial, Policy};
use groat_core::ports::{Mechanism, SignError, Signer, Store, TypedIntent};
use groat_core::{Challenge, Network, Offer, Price, Receipt, Terms, Timestamp};
use groat_store::MemoryStore;
use groat_wire::pass::PASS_HEADER;
use groat_wire::{Dialects, PAYMENT_HEADERS};
use http::StatusCode;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const PAY_TO: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/// What the seller does with the next request that carries a payment.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Serves, with a receipt.
    Serve,
    /// Says only this.
    Status(u16),
    /// Says this with a receipt.
    Receipt(u16, ReceiptOutcome),
    /// Says that it is busy for so many seconds.
    Later(u64),
    /// Takes it and never answers.
    Hang,
    /// Sends the client elsewhere.
    Redirect(String),
}

/// A server on this machine. What it sells costs a cent, unless the challenge is changed.
#[derive(Clone)]
pub(crate) struct Seller {
    pub(crate) url: String,
    pub(crate) challenge: Arc<Mutex<Challenge>>,
    script: Arc<Mutex<VecDeque<Act>>>,
    /// The payment fields of all requests that had one.
    payments: Arc<Mutex<Vec<String>>>,
    /// What it gives with a receipt, and whether it still takes it.
    pub(crate) pass: Arc<Mutex<Option<(String, bool)>>>,
    /// The passes that it was shown.
    pub(crate) shown: Arc<Mutex<Vec<String>>>,
    dialects: Dialects,
}

impl Seller {
    pub(crate) async fn start() -> Self {
        Self::speaking(Dialects::standard()).await
    }

    pub(crate) async fn speaking(dialects: Dialects) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/thing", listener.local_addr().unwrap());
        let challenge = Challenge {
            resource: Resource {
                url: url.clone(),
                description: "a thing".into(),
                mime_type: "text/plain".into(),
            },
            offers: vec![offer("$0.01")],
            pass_at: None,
            moment: None,
            error: "payment required".into(),
            extensions: Default::default(),
        };
        let seller = Self {
            url,
            challenge: Arc::new(Mutex::new(challenge)),
            script: Arc::default(),
            payments: Arc::default(),
            pass: Arc::default(),
            shown: Arc::default(),
            dialects,
        };
        let served = seller.clone();
        let app = Router::new().fallback(move |request| {
            let seller = served.clone();
            async move { seller.answer(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        seller
    }

    /// What happens to the next payments, one each; afterwards it serves.
    pub(crate) fn acts(&self, acts: impl IntoIterator<Item = Act>) {
        self.script.lock().unwrap().extend(acts);
    }

    /// From now on it serves.
    pub(crate) fn recovers(&self) {
        self.script.lock().unwrap().clear();
    }

    pub(crate) fn payments(&self) -> Vec<String> {
        self.payments.lock().unwrap().clone()
    }

    /// How many different payments came.
    pub(crate) fn signed(&self) -> usize {
        self.payments().into_iter().collect::<std::collections::HashSet<_>>().len()
    }

    async fn answer(&self, request: Request) -> Response {
        let carried = PAYMENT_HEADERS.iter().find_map(|name| request.headers().get(*name));
        let pass = self.pass.lock().unwrap().clone();
        if let Some(shown) = request.headers().get(PASS_HEADER) {
            let shown = shown.to_str().unwrap().to_owned();
            self.shown.lock().unwrap().push(shown.clone());
            if pass.as_ref().is_some_and(|(token, taken)| *taken && *token == shown) {
                return status_only(200);
            }
        }
        let Some(payment) = carried else { return self.ask(402) };
        self.payments.lock().unwrap().push(payment.to_str().unwrap().to_owned());
        let dialect = self.dialects.read_payment(request.headers()).unwrap().unwrap().dialect;
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Serve);
        let receipt = |status: u16, outcome: ReceiptOutcome| {
            let receipt = Receipt {
                outcome,
                network: Network::eip155(84532),
                transaction: Some(format!("0x{}", "ab".repeat(32))),
                payer: None,
                amount: None,
                settled_at: None,
            };
            let mut response = status_only(status);
            self.dialects.write_receipt(&dialect, &receipt, response.headers_mut());
            if let Some((token, _)) = &pass {
                response.headers_mut().insert(PASS_HEADER, token.parse().unwrap());
            }
            response
        };
        match act {
            Act::Serve => receipt(200, ReceiptOutcome::Settled),
            Act::Status(402) => self.ask(402),
            Act::Status(status) => status_only(status),
            Act::Receipt(status, outcome) => receipt(status, outcome),
            Act::Later(seconds) => {
                let mut response = status_only(503);
                response.headers_mut().insert("retry-after", seconds.into());
                response
            }
            Act::Hang => std::future::pending().await,
            Act::Redirect(target) => {
                let mut response = status_only(307);
                response.headers_mut().insert("location", target.parse().unwrap());
                response
            }
        }
    }

    fn ask(&self, status: u16) -> Response {
        let parts = self.dialects.write_challenge(&self.challenge.lock().unwrap());
        let mut response = Response::new(Body::from(serde_json::to_vec(&parts.body).unwrap()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().extend(parts.headers);
        response
    }
}

fn status_only(status: u16) -> Response {
    let mut response = Response::new(Body::from("the thing"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

pub(crate) fn offer(price: &str) -> Offer {
    let terms = Terms {
        scheme: "exact".into(),
        network: Network::eip155(84532),
        price: Ask::Price(Price::parse(price).unwrap()),
        pay_to: PAY_TO.into(),
        timeout_s: 60,
    };
    ExactEvm::offline().offer(&terms).unwrap().unwrap()
}

/// Everything that outlives a client: key, book, clock, rules.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) policy: Policy,
    pub(crate) options: Options,
}

impl Owner {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryStore::default()))
    }

    pub(crate) fn on(store: Arc<dyn Store>) -> Self {
        let options = Options {
            timeout: Duration::from_millis(400),
            challenge_timeout: Duration::from_millis(400),
            patience: Duration::from_millis(900),
            resend_after: Duration::from_millis(20),
            ..Options::default()
        };
        Self {
            signer: Arc::new(LocalSigner::random().unwrap()),
            store,
            clock: Arc::new(AtomicU64::new(NOW)),
            policy: Policy::default(),
            options,
        }
    }

    /// For tests of many at once: a machine with other work must not look like a seller that hangs.
    pub(crate) fn patient(mut self) -> Self {
        let long = Duration::from_secs(30);
        (self.options.timeout, self.options.challenge_timeout, self.options.patience) = (long, long, long);
        self
    }

    /// A new client, as after a restart.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.buyer()).unwrap()
    }

    pub(crate) fn buyer(&self) -> Buyer {
        let clock = Arc::clone(&self.clock);
        Buyer {
            signer: self.signer.clone(),
            policy: self.policy.clone(),
            store: Arc::clone(&self.store),
            payers: vec![Arc::new(ExactEvm::offline())],
            dialects: Dialects::standard(),
            clock: Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))),
            approver: Arc::new(DenyAll),
            options: self.options.clone(),
        }
    }

    pub(crate) fn later(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }
}

/// A key that counts what it signs: what is signed and kept is a risk too, not only what is sent.
pub(crate) struct Counting(LocalSigner, AtomicU64);

impl Counting {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(LocalSigner::random().unwrap(), AtomicU64::new(0)))
    }

    pub(crate) fn count(&self) -> u64 {
        self.1.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Signer for Counting {
    fn account(&self) -> String {
        self.0.account()
    }

    async fn sign(&self, intent: &TypedIntent) -> Result<Vec<u8>, SignError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.sign(intent).await
    }
}

/// Why the policy said no.
pub(crate) fn denials(error: BuyError) -> Vec<Denial> {
    match error {
        BuyError::Denied(denials) => denials,
        other => panic!("{other:?}"),
    }
}
