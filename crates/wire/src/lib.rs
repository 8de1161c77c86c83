//! The dialects of payment over HTTP: one folder each, pure functions between header fields and the model.
//!
//! A [`Dialect`] knows one language. [`Dialects`] asks all of them, so that one 402 is understood by every client
//! and a payment is recognised whatever language it comes in. `Ok(None)` always means "not my dialect".

pub mod agentxpay;
pub mod credentials;
mod dialects;
pub mod facilitator;
pub mod header;
pub mod idempotency;
pub mod inspect;
pub mod json;
mod members;
pub mod mpp;
pub mod pass;
mod receipt;
pub mod shared_token;
pub mod token;
mod version;
pub mod want_pay;
pub mod x402_v1;
pub mod x402_v2;

#[cfg(test)]
mod tests;

use groat_core::payment::DialectId;
use groat_core::ports::{AccessClaim, NoAccess};
use groat_core::{Challenge, Network, Offer, Payment, Reason, Receipt, Timestamp};
use http::HeaderMap;
use serde_json::{Map, Value};

pub use dialects::{COMPANION_HEADERS, Dialects, Fields, PAYMENT_HEADERS, PAYMENT_SCHEMES, RESPONSE_HEADERS};
pub use version::Version;

/// A 402 under construction: every dialect adds its header fields and its members of the one JSON body.
#[derive(Debug, Default)]
pub struct ChallengeParts {
    /// Header fields.
    pub headers: HeaderMap,
    /// Members of the body object.
    pub body: Map<String, Value>,
}

/// Why bytes from outside cannot be read. The text names the place, never repeats the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field or body is not what its protocol says (HTTP 400).
    #[error("{place}: {problem}")]
    Malformed {
        /// Which header field or member.
        place: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A field or body is larger than allowed (HTTP 431 or 413).
    #[error("{place} is larger than {size_bytes_max} bytes")]
    TooLarge {
        /// Which.
        place: &'static str,
        /// The limit.
        size_bytes_max: usize,
    },
    /// The request carries more than one payment (HTTP 400).
    #[error("more than one payment in one request: send exactly one of the payment header fields, once")]
    Ambiguous,
}

impl WireError {
    /// The code of a payment that cannot be read, in its dialect.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { place: "pay", .. } => want_pay::Code::InvalidProof.as_str(),
            Self::Ambiguous => "multiple_credentials",
            _ => Reason::InvalidPayload.code(),
        }
    }

    pub(crate) fn malformed(place: &'static str, problem: impl Into<String>) -> Self {
        Self::Malformed { place, problem: problem.into() }
    }
}

/// How much of a 402 is another each time it is told. What is, is made for a [`Moment`](groat_core::offer::Moment).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// Nothing: it is made once and kept.
    Kept,
    /// Header fields that the dialect adds, and without a moment does not write; the rest is kept.
    Fields,
    /// Members of the body as well: nothing can be kept.
    Whole,
}

/// What a seller's challenge prescribes of the authorization that pays it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prescribed {
    /// Its number, where the buyer may not draw one.
    pub nonce: Option<[u8; 32]>,
    /// When it must have ended.
    pub expires_at: Option<Timestamp>,
}

/// A request that carries a payment.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its whole URL, as the seller knows it.
    pub url: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

/// A priced route, as a directory lists it.
#[derive(Debug, Clone, Copy)]
pub struct Sold<'a> {
    /// Its method; `*` for any.
    pub method: &'a str,
    /// Its path or pattern.
    pub path: &'a str,
    /// One way to pay for it.
    pub offer: &'a Offer,
}

/// One language of payment over HTTP.
pub trait Dialect: Send + Sync {
    /// Its name, such as `x402-v2`.
    fn id(&self) -> DialectId;

    /// Header fields of requests that carry its payments: each is as good as money.
    fn payment_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Schemes of `Authorization` that are payments of it, in lower case: each such credential is as good as money, and those
    /// of other schemes are not ours. Challenges of these schemes are the cashier's alone.
    fn payment_schemes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Header fields of requests that go with them, and mean nothing to whoever is behind us.
    fn companion_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Header fields of responses that are ours alone: challenges and receipts.
    fn response_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// How this dialect names a reason.
    fn reason<'r>(&self, reason: &'r Reason) -> &'r str {
        reason.code()
    }

    /// How much of its half of a 402 of these offers is another each time.
    fn freshness(&self, offers: &[Offer]) -> Freshness {
        let _ = offers;
        Freshness::Kept
    }

    /// Heeds what a request says of the ways that its sender can pay. A hint, never a promise.
    fn hear(&self, headers: &HeaderMap, challenge: &mut Challenge) {
        let _ = (headers, challenge);
    }

    /// Adds this dialect's half of a 402.
    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts);

    /// Reads a 402; offers keep their text where an echo must repeat it.
    fn read_challenge(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<Challenge>, WireError>;

    /// What a buyer must sign into the payment of an offer, beside its terms.
    fn prescribe(&self, challenge: &Challenge, offer: &Offer) -> Prescribed {
        let _ = (challenge, offer);
        Prescribed::default()
    }

    /// The payment with everything that this dialect wants a buyer to repeat of the challenge and the chosen offer.
    fn accept(&self, payment: Payment, challenge: &Challenge, offer: &Offer) -> Payment {
        let _ = (challenge, offer);
        payment
    }

    /// Adds a payment to a request.
    fn write_payment(&self, payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError>;

    /// Reads the payment of a request.
    fn read_payment(&self, headers: &HeaderMap) -> Result<Option<Payment>, WireError>;

    /// The payment together with the request that it came with, where its proof may be bound to that.
    fn bind(&self, payment: Payment, asked: &Asked<'_>) -> Payment {
        let _ = asked;
        payment
    }

    /// What the payer may sign so that nobody else can show its payment for this request; `None` where a proof needs no more.
    fn payer_lines(&self, payment: &Payment, asked: &Asked<'_>) -> Option<String> {
        let _ = (payment, asked);
        None
    }

    /// Reads a claim of access in place of a payment.
    fn read_access(&self, headers: &HeaderMap) -> Result<Option<AccessClaim>, WireError> {
        let _ = headers;
        Ok(None)
    }

    /// The claim together with the request that it came with, to an offer on `network`.
    fn bind_access(&self, claim: AccessClaim, asked: &Asked<'_>, network: &Network) -> AccessClaim {
        let _ = (asked, network);
        claim
    }

    /// How this dialect says that a claim lets nobody in.
    fn no_access_title(&self, why: &NoAccess) -> &'static str {
        let _ = why;
        "access_denied"
    }

    /// Path and body of a page that lists what a seller offers in this dialect.
    fn directory(&self, sold: &[Sold<'_>]) -> Option<(&'static str, Value)> {
        let _ = sold;
        None
    }

    /// What a buyer sends to [`Challenge::pass_at`], where payments of this dialect travel in a body of their own.
    fn write_order(&self, payment: &Payment) -> Option<Result<Vec<u8>, WireError>> {
        let _ = payment;
        None
    }

    /// Reads such a body.
    fn read_order(&self, body: &[u8]) -> Result<Option<Payment>, WireError> {
        let _ = body;
        Ok(None)
    }

    /// Reads the answer to one that was paid.
    fn read_given(&self, body: &[u8]) -> Result<Option<token::Given>, WireError> {
        let _ = body;
        Ok(None)
    }

    /// The offer that the payment accepts, under this dialect's rules of matching and echoing.
    fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason>;

    /// Adds a receipt to a response.
    fn write_receipt(&self, receipt: &Receipt, headers: &mut HeaderMap);

    /// Reads the receipt of a response.
    fn read_receipt(&self, headers: &HeaderMap) -> Result<Option<Receipt>, WireError>;
}
