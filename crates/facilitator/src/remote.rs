//! Somebody else's facilitator, over HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use groat_core::payment::ReceiptOutcome;
use groat_core::ports::{Facilitator, Mechanism, PaymentStatus, Supported};
use groat_core::{Claim, Failure, Fault, Offer, Payment, PaymentId, Reason, Receipt, Refusal, Timestamp};
use groat_wire::facilitator::{SettleResponse, VerifyResponse, read_supported, write_request};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::status;

/// A facilitator at a URL. What it says is compared with what was asked, never taken on trust alone.
pub struct Remote {
    carrier: Arc<dyn Carrier>,
    base: String,
    mechanisms: Vec<Arc<dyn Mechanism>>,
}

/// What brings questions to a facilitator and answers back: HTTP, or whatever stands for it in a simulation.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// The body of the answer to a POST of this JSON, or to a GET when there is none. The status of the answer says
    /// little, because some facilitators give verdicts with 4xx.
    async fn carry(&self, url: &str, json: Option<String>, timeout: Duration) -> Result<Vec<u8>, Fault>;
}

struct Http(reqwest::Client);

/// Why a facilitator cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// It is nowhere.
    #[error("`{0}` is not the URL of a facilitator: write https://host/path")]
    Url(String),
    /// The key would not fit into a header field. It is not shown.
    #[error("the API key for the facilitator has characters that no key has: copy it again, on one line")]
    Key,
}

/// Longest that a verdict may take (threat row G07).
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that a settlement may take; beyond it the outcome is unknown.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = groat_wire::facilitator::BODY_SIZE_BYTES_MAX;

impl Remote {
    /// The facilitator at `base`. Redirects are not followed: they would carry payments elsewhere (threat row G08).
    pub fn new(base: &str, mechanisms: Vec<Arc<dyn Mechanism>>) -> Result<Self, RemoteError> {
        Self::open(base, HeaderMap::new(), mechanisms)
    }

    /// The same where an API key is needed. It goes with every request, and into no log.
    pub fn with_key(base: &str, key: &str, mechanisms: Vec<Arc<dyn Mechanism>>) -> Result<Self, RemoteError> {
        let mut field = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| RemoteError::Key)?;
        field.set_sensitive(true);
        Self::open(base, HeaderMap::from_iter([(AUTHORIZATION, field)]), mechanisms)
    }

    fn open(base: &str, fields: HeaderMap, mechanisms: Vec<Arc<dyn Mechanism>>) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Url(groat_core::reason::printable(base, 200));
        let url: url::Url = base.parse().map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong());
        }
        // Whoever came first has chosen the TLS provider; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .default_headers(fields)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(3))
            .build()
            .map_err(|_| wrong())?;
        Ok(Self::over(Arc::new(Http(http)), base, mechanisms))
    }

    /// The facilitator at `base`, over something else than sockets.
    pub fn over(carrier: Arc<dyn Carrier>, base: &str, mechanisms: Vec<Arc<dyn Mechanism>>) -> Self {
        Self { carrier, base: base.trim_end_matches('/').to_owned(), mechanisms }
    }

    async fn post(&self, path: &str, body: String, timeout: Duration) -> Result<Vec<u8>, Fault> {
        self.carrier.carry(&format!("{}{path}", self.base), Some(body), timeout).await
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, Fault> {
        self.carrier.carry(&format!("{}{path}", self.base), None, VERIFY_TIMEOUT).await
    }

    fn mechanism(&self, offer: &Offer) -> Result<&dyn Mechanism, Failure> {
        self.mechanisms
            .iter()
            .find(|mechanism| mechanism.scheme() == offer.scheme && mechanism.speaks(&offer.network))
            .map(AsRef::as_ref)
            .ok_or_else(|| groat_core::Reason::UnsupportedScheme.into())
    }
}

#[async_trait]
impl Carrier for Http {
    async fn carry(&self, url: &str, json: Option<String>, timeout: Duration) -> Result<Vec<u8>, Fault> {
        let request = match json {
            Some(json) => self.0.post(url).header(http::header::CONTENT_TYPE, "application/json").body(json),
            None => self.0.get(url),
        };
        let trouble = |error: reqwest::Error| Fault::unavailable("facilitator", error.without_url());
        let mut answer = request.timeout(timeout).send().await.map_err(trouble)?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            let why = "it knows no such API key, or needs one: set GROAT_FACILITATOR_KEY";
            return Err(Fault::unavailable("facilitator", why));
        }
        if answer.status().is_redirection() {
            return Err(Fault::garbled("facilitator", "it redirects, and payments are not sent elsewhere"));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(trouble)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Fault::garbled("facilitator", "its answer is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

#[async_trait]
impl Facilitator for Remote {
    async fn supported(&self) -> Result<Supported, Fault> {
        let bytes = self.get("/supported").await?;
        read_supported(&bytes).map_err(|error| Fault::garbled("facilitator", error))
    }

    async fn verify(&self, payment: &Payment, offer: &Offer) -> Result<Claim, Failure> {
        let mechanism = self.mechanism(offer)?;
        let (key, valid_until) = mechanism.key(payment, offer)?;
        // What was paid by a transaction may be on its way into a block, and is waited for there.
        let timeout = if mechanism.is_paid_before() { SETTLE_TIMEOUT } else { VERIFY_TIMEOUT };
        let bytes = self.post("/verify", write_request(payment, offer), timeout).await?;
        match VerifyResponse::read(&bytes) {
            Ok(VerifyResponse::Valid { payer }) => Ok(Claim {
                key,
                network: offer.network.clone(),
                asset: offer.asset.clone(),
                payer: payer.unwrap_or_default(),
                pay_to: offer.pay_to.clone(),
                amount: offer.amount,
                valid_from: Timestamp::default(),
                valid_until,
                alone: false,
                funds: None,
            }),
            // Not known yet: whoever is refused pays again.
            Ok(VerifyResponse::Refused(refusal)) if refusal.reason == Reason::SettlementPending => {
                Err(Fault::Pending { transaction: refusal.transaction }.into())
            }
            Ok(VerifyResponse::Refused(refusal)) => Err(refusal.into()),
            Err(error) => Err(Fault::garbled("facilitator", error).into()),
        }
    }

    async fn settle(&self, payment: &Payment, offer: &Offer) -> Result<Receipt, Failure> {
        self.mechanism(offer)?;
        // From here on the money may move whatever we hear: no answer, or garbage, is "not known" (threat row G07).
        let unknown = || Fault::Pending { transaction: None };
        let bytes = match self.post("/settle", write_request(payment, offer), SETTLE_TIMEOUT).await {
            Ok(bytes) => bytes,
            Err(fault) => {
                tracing::warn!(%fault, "the facilitator did not answer a settlement");
                return Err(unknown().into());
            }
        };
        let SettleResponse { receipt, message } = SettleResponse::read(&bytes).map_err(|error| {
            tracing::warn!(%error, "the facilitator answered a settlement with garbage");
            unknown()
        })?;
        match receipt.outcome.clone() {
            ReceiptOutcome::Settled if receipt.network != offer.network => {
                Err(Fault::garbled("facilitator", "its receipt is of another network").into())
            }
            ReceiptOutcome::Settled => Ok(receipt),
            ReceiptOutcome::Pending => Err(Fault::Pending { transaction: receipt.transaction }.into()),
            ReceiptOutcome::Failed(reason) => {
                let Receipt { payer, transaction, .. } = receipt;
                Err(Refusal { payer, message, transaction, ..reason.into() }.into())
            }
        }
    }

    /// Only another groat can be asked. From anybody else there is no answer, which must not be taken for "unpaid".
    async fn status(&self, id: &PaymentId) -> Result<Option<PaymentStatus>, Fault> {
        let bytes = self.get(&format!("/payments/{id}")).await?;
        match status::read(&bytes) {
            Ok(Some(status)) if status.id != *id => {
                Err(Fault::garbled("facilitator", "it told of another payment"))
            }
            Ok(status) => Ok(status),
            Err(problem) => Err(Fault::garbled("facilitator", problem)),
        }
    }
}
