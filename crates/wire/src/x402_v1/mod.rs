//! x402 version 1 over HTTP: the challenge in the body, `X-PAYMENT`, `X-PAYMENT-RESPONSE`; and the bare profile
//! without a version member that the same fields carry.
//!
//! Source: x402 v1 specification, as npm `x402` 1.2.0 and PyPI `x402` 0.3.0 parse it. Their parsers are strict: one
//! entry that they do not know breaks the whole challenge, so only portable entries go into `accepts` (see
//! [`V1::new`]).
//!
//! What comes in `X-PAYMENT` is told apart by its `x402Version`: 1 is this dialect, 2 is a version 2 payment in the
//! old field (taken as [`x402_v2`](crate::x402_v2) and answered as such), none is the bare profile, anything else is
//! malformed. A response field called exactly `X-PAYMENT` is never written: Python x402 2.x would read it as a
//! version 1 receipt.

mod bare;
mod challenge;
pub(crate) mod offer;
pub(crate) mod payment;

use groat_core::payment::DialectId;
use groat_core::{Amount, Challenge, Network, Offer, Payment, Reason, Receipt};
use http::HeaderMap;
use serde_json::Value;

use crate::receipt::{self, Message};
use crate::{ChallengeParts, Dialect, Version, WireError, header, json};

/// The name of this dialect.
pub const ID: DialectId = DialectId::new("x402-v1");

/// The field of a request that carries the payment.
pub const PAYMENT_HEADER: &str = "x-payment";
/// The field of a response that carries the receipt.
pub const RECEIPT_HEADER: &str = "x-payment-response";

/// The networks that every version 1 parser knows: Base, Base Sepolia, Avalanche, Avalanche Fuji.
const PORTABLE: [u64; 4] = [8453, 84532, 43114, 43113];

/// The dialect.
#[derive(Debug, Clone)]
pub struct V1 {
    portable: Vec<Network>,
}

impl Default for V1 {
    fn default() -> Self {
        Self::new(PORTABLE.map(Network::eip155))
    }
}

impl V1 {
    /// The dialect, offering version 1 only for these networks; those without a version 1 name stay out.
    ///
    /// A network that a client's parser does not know makes it unable to read the whole challenge.
    pub fn new(portable: impl IntoIterator<Item = Network>) -> Self {
        Self { portable: portable.into_iter().filter(|network| network.v1_name().is_some()).collect() }
    }
}

impl Dialect for V1 {
    fn id(&self) -> DialectId {
        ID
    }

    fn payment_fields(&self) -> &'static [&'static str] {
        &[PAYMENT_HEADER]
    }

    fn response_fields(&self) -> &'static [&'static str] {
        &[RECEIPT_HEADER]
    }

    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts) {
        challenge::write(challenge, &self.portable, &mut out.body);
    }

    fn read_challenge(&self, _headers: &HeaderMap, body: &[u8]) -> Result<Option<Challenge>, WireError> {
        challenge::read(body)
    }

    fn accept(&self, payment: Payment, _challenge: &Challenge, offer: &Offer) -> Payment {
        let payment = Payment { dialect: ID, accepted: None, ..payment };
        if bare::is_bare(offer) { bare::accept(payment) } else { payment }
    }

    fn write_payment(&self, payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError> {
        let json = serde_json::to_vec(&payment::write(payment)).unwrap_or_default();
        let size_bytes_max = header::PAYMENT_JSON_SIZE_BYTES_MAX;
        if json.len() > size_bytes_max {
            return Err(WireError::TooLarge { place: PAYMENT_HEADER, size_bytes_max });
        }
        header::write(headers, PAYMENT_HEADER, &json);
        Ok(())
    }

    fn read_payment(&self, headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        let bytes = header::read_payment(headers, PAYMENT_HEADER)?;
        bytes.map(|bytes| payment::read(&bytes)).transpose()
    }

    /// A version 1 payment does not repeat its offer, only what it signed. The first offer of its scheme and network
    /// with exactly the signed amount and payee is meant; if there is none, the first of its scheme and network, so
    /// that verification names what is wrong. A lower amount never becomes another offer's full price by accident of
    /// order (threat row B06).
    fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        let same_way = |offer: &&Offer| offer.scheme == payment.scheme && offer.network == payment.network;
        let signed = payment.proof.get("authorization");
        let member = |key| signed.and_then(|signed| signed.get(key)).and_then(Value::as_str);
        let amount = member("value").and_then(|text| Amount::parse(text).ok());
        let exact = |offer: &&Offer| {
            amount == Some(offer.amount) && member("to").is_none_or(|to| same_account(to, &offer.pay_to))
        };
        let mut candidates = challenge.offers.iter().filter(same_way);
        let first = candidates.clone().next().ok_or(Reason::NoMatchingRequirements)?;
        Ok(candidates.find(exact).unwrap_or(first))
    }

    fn write_receipt(&self, receipt: &Receipt, headers: &mut HeaderMap) {
        header::write(headers, RECEIPT_HEADER, &Message::new(Version::One, receipt, None).to_json());
    }

    fn read_receipt(&self, headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        let Some(bytes) = header::read_response(headers, RECEIPT_HEADER)? else { return Ok(None) };
        let value = json::parse(&bytes, RECEIPT_HEADER, header::RESPONSE_SIZE_BYTES_MAX)?;
        receipt::read(&value, RECEIPT_HEADER).map(|(receipt, _)| Some(receipt))
    }
}

/// Hex accounts have no case of their own; all others do. Only a choice of offer hangs on this, never a verdict.
fn same_account(one: &str, other: &str) -> bool {
    one == other || (one.starts_with("0x") && one.eq_ignore_ascii_case(other))
}
