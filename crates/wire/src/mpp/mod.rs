//! MPP: the HTTP authentication scheme `Payment`, with the method `evm`, the intent `charge` and the credential type
//! `authorization`, which is an authorization of EIP-3009 whose number follows from the challenge.
//!
//! ```text
//! 402   WWW-Authenticate: Payment id="…", realm="host", method="evm", intent="charge", request="<base64url JSON>",
//!         expires="2030-01-01T00:05:00Z", header="Payment-Authorization"
//! GET   Payment-Authorization: Payment <base64url {"challenge": {…}, "payload": {…}, "source": "did:pkh:eip155:…"}>
//! 200   Payment-Receipt: <base64url {"method": "evm", "reference": "0x…", "status": "success", "timestamp": …}>
//! ```
//!
//! The payment is one of the scheme `exact` in another spelling. Every 402 is another, or a payer could pay only once: its
//! number is in the id, and the payer signs a hash of the id (`id`).
//!
//! Sources: `draft-httpauth-payment-02`, `draft-evm-charge-01`, and npm `mppx` 0.11.0. Clients of earlier drafts do not know
//! `header` and send `Authorization`; both fields are read, each for the challenge that selects it.

mod challenge;
mod credential;
mod echo;
mod expires;
mod id;
mod params;
mod receipt;

#[cfg(test)]
mod tests;

use groat_core::payment::DialectId;
use groat_core::{Challenge, Offer, Payment, Reason, Receipt};
use http::HeaderMap;

use crate::{ChallengeParts, Dialect, Freshness, Prescribed, WireError};

/// The name of this dialect.
pub const ID: DialectId = DialectId::new("mpp");

/// The field of a request that carries a payment and leaves `Authorization` to whoever is behind us.
pub const PAYMENT_HEADER: &str = "payment-authorization";
/// The field of an answer that says how it was paid.
pub const RECEIPT_HEADER: &str = "payment-receipt";

/// The scheme as HTTP names it, in lower case.
const SCHEME: &str = "payment";
/// The one method and intent.
const METHOD: &str = "evm";
const INTENT: &str = "charge";
/// The one kind of credential, and the scheme of x402 that it is.
const CREDENTIAL: &str = "authorization";
const EXACT: &str = "exact";

/// The dialect.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mpp;

impl Dialect for Mpp {
    fn id(&self) -> DialectId {
        ID
    }

    fn payment_fields(&self) -> &'static [&'static str] {
        &[PAYMENT_HEADER]
    }

    fn payment_schemes(&self) -> &'static [&'static str] {
        &[SCHEME]
    }

    fn response_fields(&self) -> &'static [&'static str] {
        &[RECEIPT_HEADER]
    }

    fn freshness(&self, offers: &[Offer]) -> Freshness {
        match challenge::own(offers).next() {
            Some(_) => Freshness::Fields,
            None => Freshness::Kept,
        }
    }

    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts) {
        challenge::write(challenge, &mut out.headers);
    }

    fn read_challenge(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<Challenge>, WireError> {
        challenge::read(headers, body)
    }

    fn prescribe(&self, _challenge: &Challenge, offer: &Offer) -> Prescribed {
        match offer.verbatim.as_ref().and_then(|told| echo::Echo::from_text(told).ok()) {
            Some(echo) => Prescribed { nonce: Some(echo.nonce()), expires_at: echo.expires_at() },
            None => Prescribed::default(),
        }
    }

    fn accept(&self, payment: Payment, _challenge: &Challenge, offer: &Offer) -> Payment {
        Payment { dialect: ID, accepted: offer.verbatim.clone(), ..payment }
    }

    fn write_payment(&self, payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError> {
        credential::write(payment, headers)
    }

    fn read_payment(&self, headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        credential::read(headers)
    }

    fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        challenge::choose(payment, challenge)
    }

    fn write_receipt(&self, receipt: &Receipt, headers: &mut HeaderMap) {
        receipt::write(receipt, headers);
    }

    fn read_receipt(&self, headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        receipt::read(headers)
    }
}
