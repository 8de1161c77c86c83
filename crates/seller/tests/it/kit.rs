//! A toy mechanism, a scripted facilitator, a buyer, and a seller made of them.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use groat_core::books::{Book, Sale, SaleState, Settled, SettlementState};
use groat_core::key::KeyKind;
use groat_core::offer::{Ask, Currency};
use groat_core::payment::ReceiptOutcome;
use groat_core::ports::{Facilitator, Mechanism, PaymentStatus, Store, Supported, Token};
use groat_core::{
    Claim, Depth, Failure, Fault, Network, Offer, Payment, PaymentId, PaymentKey, Reason, Receipt, Terms,
    Timestamp,
};
use groat_seller::{Limits, Pay, PayBuilder};
use groat_store::{Journal, MemoryStore};
use groat_wire::Dialects;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tower::ServiceExt;

pub(crate) const NETWORK: &str = "eip155:84532";
pub(crate) const ASSET: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
pub(crate) const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
pub(crate) const PAYER: &str = "0x857b06519E91e3A54538791bDbb0E22373e36b66";
pub(crate) const NOW: u64 = 1_700_000_000;
/// When no chain takes a payment of [`NOW`] any more, however much clocks differ.
pub(crate) const DEAD: u64 = NOW + 121;

/// The scheme `exact` where the proof is a word: `{"nonce": "…"}`.
pub(crate) struct Toy;

impl Mechanism for Toy {
    fn scheme(&self) -> &'static str {
        "exact"
    }

    fn speaks(&self, network: &Network) -> bool {
        network.namespace() == "eip155"
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        if terms.scheme != "exact" || !self.speaks(&terms.network) {
            return Ok(None);
        }
        if !terms.pay_to.starts_with("0x") {
            return Err(format!("`{}` is not an account", terms.pay_to));
        }
        let (asset, amount, extra) = match &terms.price {
            Ask::Price(price) => {
                let amount = price.to_units(6).map_err(|error| error.to_string())?;
                let Value::Object(extra) = json!({ "name": "USDC", "version": "2" }) else { unreachable!() };
                (ASSET.to_owned(), amount, extra)
            }
            Ask::Units { asset, amount, extra } => (asset.clone(), *amount, extra.clone()),
        };
        Ok(Some(Offer {
            scheme: terms.scheme.clone(),
            network: terms.network.clone(),
            asset,
            amount,
            pay_to: terms.pay_to.clone(),
            timeout_s: terms.timeout_s,
            extra,
            price: None,
            dialect: None,
            currency: Some(Currency { symbol: "USDC".into(), decimals: 6 }),
            verbatim: None,
        }))
    }

    fn key(&self, payment: &Payment, _offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        // In an order it stands where EIP-3009 has it.
        let words = payment.proof.get("authorization").unwrap_or(&payment.proof);
        let nonce = words.get("nonce").and_then(Value::as_str).ok_or(Reason::InvalidPayload)?;
        Ok((key(&payment.network, nonce), Timestamp(NOW + 60)))
    }

    fn key_of(
        &self,
        network: &Network,
        asset: &str,
        payer: &str,
        nonce: &str,
    ) -> Result<Option<PaymentKey>, String> {
        match [asset, payer].iter().all(|account| account.len() == 42 && account.starts_with("0x")) {
            true => Ok(Some(key(network, nonce))),
            false => Err("this is no account".to_owned()),
        }
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        one.eq_ignore_ascii_case(other)
    }

    fn has_signed(&self, account: &str, text: &str, signature: &str) -> bool {
        signature == signed(account, text)
    }

    fn token(&self, _network: &Network, _asset: &str) -> Option<Token> {
        None
    }
}

pub(crate) fn key(network: &Network, nonce: &str) -> PaymentKey {
    PaymentKey::new(KeyKind::Eip3009, network, &[nonce.as_bytes()])
}

/// What an account would sign.
pub(crate) fn signed(account: &str, text: &str) -> String {
    data_encoding::HEXLOWER.encode(format!("{} signs {text}", account.to_lowercase()).as_bytes())
}

pub(crate) fn id(nonce: &str) -> PaymentId {
    key(&Network::parse(NETWORK).unwrap(), nonce).id()
}

/// What the facilitator does next, instead of agreeing.
pub(crate) enum Script {
    Fail(Failure),
    Say(ReceiptOutcome),
    Receipt(Receipt),
    /// Never answers.
    Hang,
    /// Waits for a permit, then agrees.
    Wait(Arc<Semaphore>),
    Claim(Box<dyn Fn(&mut Claim) + Send>),
}

pub(crate) fn refuse(reason: Reason) -> Script {
    Script::Fail(reason.into())
}

pub(crate) fn pending(transaction: &str) -> Script {
    Script::Fail(Fault::Pending { transaction: Some(transaction.to_owned()) }.into())
}

pub(crate) fn unavailable() -> Script {
    Script::Fail(Fault::unavailable("facilitator", "scripted").into())
}

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) verifies: AtomicUsize,
    pub(crate) settles: AtomicUsize,
    /// Payments whose money moved: never more often than once.
    pub(crate) moved: Mutex<HashMap<PaymentId, usize>>,
    pub(crate) on_verify: Mutex<VecDeque<Script>>,
    pub(crate) on_settle: Mutex<VecDeque<Script>>,
    pub(crate) known: Mutex<HashMap<PaymentId, SettlementState>>,
    /// Whom the known payments pay; empty is [`PAY_TO`].
    pub(crate) pays: Mutex<String>,
    /// How deep they lie; without it the facilitator cannot tell.
    pub(crate) depth: Mutex<Option<Depth>>,
    pub(crate) without_memory: std::sync::atomic::AtomicBool,
}

impl Fake {
    pub(crate) fn script_settle(&self, script: Script) {
        self.on_settle.lock().unwrap().push_back(script);
    }

    pub(crate) fn script_verify(&self, script: Script) {
        self.on_verify.lock().unwrap().push_back(script);
    }

    pub(crate) fn verifies(&self) -> usize {
        self.verifies.load(Ordering::SeqCst)
    }

    pub(crate) fn settles(&self) -> usize {
        self.settles.load(Ordering::SeqCst)
    }

    pub(crate) fn knows(&self, id: PaymentId, state: SettlementState) {
        self.known.lock().unwrap().insert(id, state);
    }

    fn next(queue: &Mutex<VecDeque<Script>>) -> Option<Script> {
        queue.lock().unwrap().pop_front()
    }
}

pub(crate) fn settled_state() -> SettlementState {
    SettlementState::Settled(Settled {
        transaction: "0xknown".into(),
        block: 1,
        block_hash: "0xb".into(),
        by_other: false,
    })
}

pub(crate) fn submitted_state() -> SettlementState {
    SettlementState::Submitted { slot: "eip155:84532/0xs/1".into(), transaction: "0xsent".into() }
}

pub(crate) fn receipt(transaction: &str) -> Receipt {
    Receipt {
        outcome: ReceiptOutcome::Settled,
        network: Network::parse(NETWORK).unwrap(),
        transaction: Some(transaction.to_owned()),
        payer: Some(PAYER.to_owned()),
        amount: None,
        settled_at: None,
    }
}

#[async_trait]
impl Facilitator for Fake {
    async fn supported(&self) -> Result<Supported, Fault> {
        Ok(Supported::default())
    }

    async fn verify(&self, payment: &Payment, offer: &Offer) -> Result<Claim, Failure> {
        self.verifies.fetch_add(1, Ordering::SeqCst);
        let (key, valid_until) = Toy.key(payment, offer)?;
        let mut claim = Claim {
            key,
            network: offer.network.clone(),
            asset: offer.asset.to_lowercase(),
            payer: PAYER.to_owned(),
            pay_to: offer.pay_to.clone(),
            amount: offer.amount,
            valid_from: Timestamp(0),
            valid_until,
            alone: false,
            funds: None,
        };
        match Self::next(&self.on_verify) {
            Some(Script::Fail(failure)) => return Err(failure),
            Some(Script::Hang) => std::future::pending().await,
            Some(Script::Wait(gate)) => gate.acquire().await.unwrap().forget(),
            Some(Script::Claim(change)) => change(&mut claim),
            Some(Script::Say(_) | Script::Receipt(_)) | None => {}
        }
        Ok(claim)
    }

    async fn settle(&self, payment: &Payment, offer: &Offer) -> Result<Receipt, Failure> {
        self.settles.fetch_add(1, Ordering::SeqCst);
        let (key, _) = Toy.key(payment, offer)?;
        let mut receipt = receipt("0xpaid");
        match Self::next(&self.on_settle) {
            Some(Script::Fail(failure)) => return Err(failure),
            Some(Script::Hang) => std::future::pending().await,
            Some(Script::Wait(gate)) => gate.acquire().await.unwrap().forget(),
            Some(Script::Say(outcome)) => receipt.outcome = outcome,
            Some(Script::Receipt(other)) => receipt = other,
            Some(Script::Claim(_)) | None => {}
        }
        if receipt.is_settled() {
            *self.moved.lock().unwrap().entry(key.id()).or_default() = 1;
        }
        Ok(receipt)
    }

    async fn status(&self, id: &PaymentId) -> Result<Option<PaymentStatus>, Fault> {
        if self.without_memory.load(Ordering::SeqCst) {
            return Err(Fault::unavailable("facilitator", "keeps no book"));
        }
        let known = self.known.lock().unwrap().get(id).cloned();
        let pays = self.pays.lock().unwrap().clone();
        Ok(known.map(|state| PaymentStatus {
            id: *id,
            payer: PAYER.into(),
            pay_to: if pays.is_empty() { PAY_TO.into() } else { pays.clone() },
            network: Network::parse(NETWORK).unwrap(),
            asset: ASSET.into(),
            amount: groat_core::Amount::from_units(10_000),
            valid_until: Timestamp(NOW + 60),
            gas: 0,
            reverted: false,
            depth: *self.depth.lock().unwrap(),
            state,
        }))
    }
}

/// A seller with everything it stands on.
pub(crate) struct World {
    pub(crate) fake: Arc<Fake>,
    pub(crate) store: MemoryStore,
    pub(crate) hits: Arc<AtomicUsize>,
    pub(crate) clock: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(MemoryStore::default())
    }

    pub(crate) fn on(store: MemoryStore) -> Self {
        Self { fake: Arc::default(), store, hits: Arc::default(), clock: Arc::new(AtomicU64::new(NOW)) }
    }

    pub(crate) fn builder(&self) -> PayBuilder {
        let clock = self.clock.clone();
        Pay::builder()
            .facilitator(self.fake.clone())
            .mechanisms(vec![Arc::new(Toy)])
            .store(Arc::new(self.store.clone()))
            .clock(Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))))
            .network(NETWORK)
            .pay_to(PAY_TO)
            .public_url("https://api.example.com")
    }

    pub(crate) fn pay(&self) -> Pay {
        self.builder().build().unwrap()
    }

    pub(crate) fn pay_with(&self, change: impl FnOnce(&mut Limits)) -> Pay {
        let mut limits = Limits::default();
        change(&mut limits);
        self.builder().limits(limits).build().unwrap()
    }

    /// A handler that counts its runs and then does `rest`.
    pub(crate) fn counted<R, F>(&self, rest: R) -> impl Fn(Request<Body>) -> F + Clone + Send + Sync + 'static
    where
        R: Fn(usize, Request<Body>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let hits = self.hits.clone();
        move |request| rest(hits.fetch_add(1, Ordering::SeqCst) + 1, request)
    }

    /// `GET` and `POST /weather` for a cent.
    pub(crate) fn weather(&self, pay: &Pay) -> Router {
        let handler = self.counted(|run, _| async move { text(&format!("sunny {run}")) });
        Router::new().route("/weather", axum::routing::any(handler).layer(pay.price("$0.01")))
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub(crate) fn sales(&self) -> usize {
        self.store.count(Book::Sales)
    }

    pub(crate) async fn sale(&self, nonce: &str) -> Sale {
        let journal = Journal::<Sale>::new(Arc::new(self.store.clone()));
        journal.load(&id(nonce).to_string()).await.unwrap().expect("the sale is in the book").record
    }

    /// A book as a crash would have left it: the sale of another book, in this state.
    pub(crate) async fn after_crash(sale: Sale, state: SaleState) -> Self {
        let world = Self::new();
        let store: Arc<dyn Store> = Arc::new(world.store.clone());
        Journal::<Sale>::new(store).create(Sale { state, ..sale }).await.unwrap().unwrap();
        world
    }
}

pub(crate) fn text(body: &str) -> Response<Body> {
    Response::new(Body::from(body.to_owned()))
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "api.example.com").body(Body::empty()).unwrap()
}

pub(crate) fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("host", "api.example.com").body(body.into()).unwrap()
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn receipt(&self) -> Option<Receipt> {
        Dialects::standard().read_receipt(&self.headers).unwrap()
    }

    pub(crate) fn has_challenge(&self) -> bool {
        Dialects::standard().read_challenge(&self.headers, &self.body).unwrap().is_some()
    }
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Seen {
    Seen::of(app.clone().oneshot(request).await.unwrap()).await
}

/// The request with a payment for what `app` asks for it.
pub(crate) async fn pay_for(app: &Router, request: Request<Body>, nonce: &str) -> Request<Body> {
    pay_changed(app, request, nonce, |_| {}).await
}

pub(crate) async fn pay_changed(
    app: &Router,
    mut request: Request<Body>,
    nonce: &str,
    change: impl FnOnce(&mut Payment),
) -> Request<Body> {
    let mut ask = Request::new(Body::empty());
    *ask.method_mut() = request.method().clone();
    *ask.uri_mut() = request.uri().clone();
    *ask.headers_mut() = request.headers().clone();
    ask.headers_mut().remove("content-length");
    let seen = send(app, ask).await;
    assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED, "{seen:?}");
    let dialects = Dialects::standard();
    let (dialect, challenge) = dialects.read_challenge(&seen.headers, &seen.body).unwrap().unwrap();
    let offer = challenge.offers[0].clone();
    let payment = Payment {
        dialect,
        scheme: offer.scheme.clone(),
        network: offer.network.clone(),
        proof: json!({ "nonce": nonce }),
        accepted: None,
        resource: Some(json!({ "url": challenge.resource.url })),
        extensions: Map::new(),
    };
    let mut payment = dialects.accept(payment, &challenge, &offer);
    change(&mut payment);
    dialects.write_payment(&payment, request.headers_mut()).unwrap();
    request
}

/// Pays and sends.
pub(crate) async fn buy(app: &Router, request: Request<Body>, nonce: &str) -> Seen {
    let request = pay_for(app, request, nonce).await;
    send(app, request).await
}

/// A request that can be sent again.
pub(crate) async fn copies(request: Request<Body>) -> impl Fn() -> Request<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    move || Request::from_parts(parts.clone(), Body::from(body.clone()))
}
