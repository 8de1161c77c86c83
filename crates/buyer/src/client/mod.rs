//! The paying client.

mod choose;
mod error;
mod exchange;
mod pay;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use groat_core::books::Purchase;
use groat_core::payment::{DialectId, Fingerprint};
use groat_core::policy::Policy;
use groat_core::ports::{Clock, Payer, Signer, Store};
use groat_core::{Offer, PaymentId, Receipt};
use groat_store::Journal;
use groat_wire::Dialects;
use reqwest::{Method, Request, Response};
use url::Url;

pub use choose::{AskView, Plan, PlannedOffer};
pub use error::BuyError;

use crate::budget;
use exchange::Answer;

/// A person, or somebody who speaks for one.
#[async_trait]
pub trait Approver: Send + Sync {
    /// Whether this payment may be made.
    async fn approve(&self, ask: &AskView) -> bool;
}

/// Nobody: whatever the policy does not allow by itself is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct DenyAll;

#[async_trait]
impl Approver for DenyAll {
    async fn approve(&self, _: &AskView) -> bool {
        false
    }
}

/// Everything that a client pays with.
#[derive(Clone)]
pub struct Buyer {
    /// Who signs.
    pub signer: Arc<dyn Signer>,
    /// What is allowed.
    pub policy: Policy,
    /// Where purchases are written down.
    pub store: Arc<dyn Store>,
    /// Schemes on chain families.
    pub payers: Vec<Arc<dyn Payer>>,
    /// Languages, the preferred first.
    pub dialects: Dialects,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who is asked when the policy says so.
    pub approver: Arc<dyn Approver>,
    /// How patient to be.
    pub options: Options,
}

/// How patient a client is, and what it may do in development.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long a payment whose outcome is unknown is sent again before [`BuyError::Pending`] is given.
    pub patience: Duration,
    /// Sign a new payment although an earlier one for the same request may still be under way.
    pub again: bool,
    /// Keys that everybody has may sign. Only for chains whose money is worthless.
    pub published_keys: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            patience: Duration::from_secs(30),
            again: false,
            published_keys: false,
        }
    }
}

/// An answer, and what was paid for it.
#[derive(Debug)]
pub struct Bought {
    /// The seller's answer.
    pub response: Response,
    /// The payment, when there was one.
    pub payment: Option<PaidWith>,
}

/// A payment that was made.
#[derive(Debug, Clone)]
pub struct PaidWith {
    /// Its id, the same at seller and facilitator.
    pub id: PaymentId,
    /// What it accepted.
    pub offer: Offer,
    /// What the seller says of it.
    pub receipt: Option<Receipt>,
    /// In which language.
    pub dialect: DialectId,
    /// Whether it had been signed before, by an earlier call.
    pub resent: bool,
}

/// A client that pays. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    buyer: Buyer,
    journal: Journal<Purchase>,
    /// Deciding and writing down happens one at a time, so that budgets hold (threat row Y21).
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Logical requests being paid for by this process.
    busy: Arc<std::sync::Mutex<std::collections::HashSet<String>>>,
}

/// Redirects of an unpaid request that are followed.
const REDIRECTS_MAX: usize = 5;

impl Client {
    /// A client of this buyer.
    pub fn new(buyer: Buyer) -> Result<Self, BuyError> {
        // Whoever came first has chosen the TLS provider; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(buyer.options.timeout)
            .build()
            .map_err(|error| BuyError::fault(error.to_string()))?;
        let journal = Journal::new(Arc::clone(&buyer.store));
        Ok(Self { http, buyer, journal, turn: Arc::default(), busy: Arc::default() })
    }

    /// Asks for a URL.
    pub async fn get(&self, url: &str) -> Result<Bought, BuyError> {
        self.execute(request(Method::GET, url)?).await
    }

    /// Sends a body to a URL.
    pub async fn post(&self, url: &str, body: impl Into<reqwest::Body>) -> Result<Bought, BuyError> {
        let mut request = request(Method::POST, url)?;
        *request.body_mut() = Some(body.into());
        self.execute(request).await
    }

    /// Sends a request; pays when it is asked to, at most once. The body must be in memory, not a stream, because
    /// it may have to be sent again.
    pub async fn execute(&self, request: Request) -> Result<Bought, BuyError> {
        let fingerprint = logical(&request)?;
        let _busy = Busy::begin(&self.busy, &fingerprint);
        // A payment that may be under way goes first: the seller knows it, or takes it now (threat rows Y13, Y22).
        if let Some(entry) = self.outstanding(&fingerprint, &request, _busy.alone).await? {
            return self.resend(request, entry).await;
        }
        let (request, answer) = self.ask(request).await?;
        let (response, challenge) = match answer {
            Answer::Free(response) => return Ok(Bought { response, payment: None }),
            Answer::Challenge { response, dialect, challenge } => (response, (dialect, challenge)),
        };
        drop(response);
        let (dialect, challenge) = challenge;
        let entry = self.plan_and_sign(&fingerprint, &request, &dialect, &challenge).await?;
        self.send(request, entry, false).await
    }

    /// What a request would cost and what the policy says of each way to pay. Nothing is signed.
    pub async fn dry_run(&self, request: Request) -> Result<Plan, BuyError> {
        let (request, answer) = self.ask(request).await?;
        match answer {
            Answer::Free(response) => Ok(Plan::free(response.status().as_u16())),
            Answer::Challenge { dialect, challenge, .. } => {
                self.weigh(&logical(&request)?, request.url(), &dialect, &challenge).await
            }
        }
    }

    /// All purchases in the journal, newest last.
    pub async fn purchases(&self) -> Result<Vec<Purchase>, BuyError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.journal.scan_all(after.as_deref(), 512).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.record.request.clone());
            all.extend(page.into_iter().map(|entry| entry.record));
        }
        all.sort_by_key(|purchase| purchase.planned_at);
        Ok(all)
    }

    async fn outstanding(
        &self,
        fingerprint: &str,
        request: &Request,
        alone: bool,
    ) -> Result<Option<groat_store::Entry<Purchase>>, BuyError> {
        // A second call for the same thing in this process is a second purchase, not a lost first one.
        if self.buyer.options.again || !alone {
            return Ok(None);
        }
        let now = self.buyer.clock.now();
        let past = budget::past(&self.journal, fingerprint, &host(request.url()), None, now).await?;
        Ok(past.outstanding.into_iter().next())
    }
}

/// Marks a logical request as being worked on.
struct Busy {
    busy: Arc<std::sync::Mutex<std::collections::HashSet<String>>>,
    fingerprint: String,
    alone: bool,
}

impl Busy {
    fn begin(busy: &Arc<std::sync::Mutex<std::collections::HashSet<String>>>, fingerprint: &str) -> Self {
        let mut set = busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let alone = set.insert(fingerprint.to_owned());
        Self { busy: Arc::clone(busy), fingerprint: fingerprint.to_owned(), alone }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.alone {
            self.busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&self.fingerprint);
        }
    }
}

fn request(method: Method, url: &str) -> Result<Request, BuyError> {
    let url: Url =
        url.parse().map_err(|_| BuyError::fault(format!("`{url}` is not a URL: write https://host/path")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(BuyError::fault(format!("`{url}` cannot be asked: write https://host/path")));
    }
    Ok(Request::new(method, url))
}

/// What makes two requests the same wish: method, URL and body.
fn logical(request: &Request) -> Result<String, BuyError> {
    let body = match request.body() {
        None => &[][..],
        Some(body) => {
            body.as_bytes().ok_or_else(|| BuyError::fault("the body must be in memory to be sent again"))?
        }
    };
    let parts = [request.method().as_str().as_bytes(), request.url().as_str().as_bytes(), body];
    Ok(Fingerprint::of(&parts).0)
}

/// Host and port, as budgets and payees are kept by.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
