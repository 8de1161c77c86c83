//! The paying client.

mod buyer;
mod choose;
mod error;
mod exchange;
mod flights;
#[doc(hidden)]
pub mod fuzzing;
mod judge;
mod passes;
mod reserve;
mod resume;
mod send;
mod standing;
mod url;

use std::sync::Arc;
use std::time::Duration;

use ::url::Url;
use groat_core::books::Purchase;
use groat_core::payment::Fingerprint;
use groat_store::Journal;
use groat_wire::credentials;
use reqwest::{Method, Request};

pub use buyer::{Approver, Bought, Buyer, DenyAll, Options, PaidWith, SpentToday};
pub use choose::{AskView, Plan, PlannedOffer};
pub use error::{BuyError, BuyErrorKind};
pub use resume::{Ending, Resumed};

use crate::past::Past;
use exchange::Answer;
use flights::Flights;
use reserve::Wish;
use send::Wanted;

/// A client that pays. Cheap to clone; clones share connections and budgets.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    buyer: Arc<Buyer>,
    journal: Journal<Purchase>,
    /// Deciding and writing down happens one at a time, so that budgets hold (threat row Y21).
    past: Arc<tokio::sync::Mutex<Past>>,
    flights: Flights,
}

impl Client {
    /// A client of this buyer.
    pub fn new(buyer: Buyer) -> Result<Self, BuyError> {
        Self::with_http(reqwest::Client::builder().connect_timeout(Duration::from_secs(5)), buyer)
    }

    /// A client with connections made to order (proxy, roots of trust, user agent). Redirects are off whatever it
    /// says, because a payment must not follow one (threat row Y04). Its default header fields go to every host.
    pub fn with_http(http: reqwest::ClientBuilder, buyer: Buyer) -> Result<Self, BuyError> {
        // Whoever came first has chosen the TLS provider; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = http
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .read_timeout(buyer.options.timeout)
            .build()
            .map_err(|error| BuyError::fault(format!("no HTTP client: {error}")))?;
        let journal = Journal::new(Arc::clone(&buyer.store));
        Ok(Self { http, buyer: Arc::new(buyer), journal, past: Arc::default(), flights: Flights::default() })
    }

    /// Asks for a URL.
    pub async fn get(&self, url: &str) -> Result<Bought, BuyError> {
        self.execute(Request::new(Method::GET, parse(url)?)).await
    }

    /// Sends a body to a URL.
    pub async fn post(&self, url: &str, body: impl Into<reqwest::Body>) -> Result<Bought, BuyError> {
        let mut request = Request::new(Method::POST, parse(url)?);
        *request.body_mut() = Some(body.into());
        self.execute(request).await
    }

    /// Sends a request; pays when it is asked to, at most once. The body must be in memory, not a stream, because
    /// it may have to be sent again.
    ///
    /// When an earlier call for the same method, URL and body signed a payment and never learnt what became of it,
    /// that payment is sent, and no other. A call that runs at the same time in this process is another purchase.
    pub async fn execute(&self, request: Request) -> Result<Bought, BuyError> {
        self.buy(request, Wanted::Head).await
    }

    /// The same for whoever must not lose the answer. It is here whole, and the purchase stays open until
    /// [`received`](Self::received) is told of it: a crash before that costs a repetition of the call and no second payment.
    pub async fn fetch(&self, request: Request) -> Result<Bought, BuyError> {
        self.buy(request, Wanted::Whole).await
    }

    /// The answer of [`fetch`](Self::fetch) or [`resume`](Self::resume) has arrived where it belongs: the same request is
    /// another purchase from now on.
    pub async fn received(&self, bought: &mut Bought) {
        if let Some(closing) = bought.closing.take() {
            self.note_bought(closing.entry, closing.receipt).await;
        }
    }

    async fn buy(&self, request: Request, wanted: Wanted) -> Result<Bought, BuyError> {
        let request = payable(request)?;
        // A payment that may be under way goes first: the seller knows it, or takes it now (threat rows Y13, Y22).
        let asked = logical(&request)?;
        if let Some(ticket) = self.lost(&asked).await? {
            return self.send(request, ticket, wanted).await;
        }
        let (request, dialect, challenge) = match self.ask(request).await? {
            Answer::Free(response) => return Ok(Bought { response, payment: None, closing: None }),
            Answer::Challenge { request, dialect, challenge } => (*request, dialect, challenge),
        };
        // The wish is for what was really asked for: after a redirect that is another URL.
        let fingerprint = logical(&request)?;
        let wish = Wish {
            fingerprint: &fingerprint,
            asked: &asked,
            request: &request,
            dialect: &dialect,
            challenge: &challenge,
        };
        let ticket = self.reserve_and_sign(wish).await?;
        self.send(request, ticket, wanted).await
    }

    /// What a request would cost and what the policy says of each way to pay. Nothing is signed.
    pub async fn dry_run(&self, request: Request) -> Result<Plan, BuyError> {
        match self.ask(payable(request)?).await? {
            Answer::Free(response) => Ok(Plan::free(response.status().as_u16())),
            Answer::Challenge { request, dialect, challenge } => {
                let view = self.look(&mut *self.past.lock().await, None).await?;
                self.weigh(&view, request.url(), &dialect, &challenge)
            }
        }
    }

    /// All purchases in the journal, the newest last.
    pub async fn purchases(&self) -> Result<Vec<Purchase>, BuyError> {
        let mut all: Vec<Purchase> = Vec::new();
        loop {
            let after = all.last().map(|purchase| purchase.request.as_str());
            let page = self.journal.scan_all(after, 512).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page.into_iter().map(|entry| entry.record));
        }
    }

    /// What has been spent today out of the wallet; what came out of balances was spent when they were topped up.
    pub async fn spent_today(&self) -> Result<SpentToday, BuyError> {
        let view = self.look(&mut *self.past.lock().await, None).await?;
        let total_usd_micros = view.spent("", false).day_usd_micros;
        let hosts_usd_micros = view.today(false).map(|(host, micros)| (host.to_owned(), micros)).collect();
        Ok(SpentToday { total_usd_micros, hosts_usd_micros })
    }
}

fn parse(url: &str) -> Result<Url, BuyError> {
    url.parse().map_err(|_| BuyError::fault(format!("`{url}` is not a URL: write https://host/path")))
}

/// The request, if it can be paid for by this client.
fn payable(mut request: Request) -> Result<Request, BuyError> {
    let url = request.url_mut();
    url.set_fragment(None);
    // They would not be sent, and be written down with the rest of the URL.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BuyError::fault(format!(
            "the URL for {} names a user or password: send them in a header field",
            url::host(url)
        )));
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(BuyError::fault(format!("`{url}` cannot be asked: write https://host/path")));
    }
    if credentials::has_payment(request.headers()) {
        return Err(BuyError::fault(
            "the request carries a payment already: send it without, this client pays",
        ));
    }
    Ok(request)
}

/// What makes two requests the same wish: method, URL and body.
fn logical(request: &Request) -> Result<String, BuyError> {
    let body = match request.body() {
        None => &[][..],
        Some(body) => body.as_bytes().ok_or_else(BuyError::stream)?,
    };
    let parts = [request.method().as_str().as_bytes(), request.url().as_str().as_bytes(), body];
    Ok(Fingerprint::of(&parts).0)
}
