//! x402 version 2 over HTTP: `PAYMENT-REQUIRED`, `PAYMENT-SIGNATURE`, `PAYMENT-RESPONSE`.
//!
//! Source: x402 v2 specification and its HTTP transport, as npm `@x402/core` 2.27.0 and PyPI `x402` 2.25.0 speak it.

mod challenge;
mod echo;
mod matching;
#[cfg(test)]
pub(crate) use matching::same;
pub(crate) mod offer;
pub(crate) mod payment;

use groat_core::payment::DialectId;
use groat_core::{Challenge, Offer, Payment, Reason, Receipt};
use http::HeaderMap;

use crate::receipt::{self, Message};
use crate::{ChallengeParts, Dialect, Version, WireError, header, json};

/// The name of this dialect.
pub const ID: DialectId = DialectId::new("x402-v2");

/// The field of a 402 that carries the challenge.
pub const CHALLENGE_HEADER: &str = "payment-required";
/// The field of a request that carries the payment.
pub const PAYMENT_HEADER: &str = "payment-signature";
/// The field of a response that carries the receipt.
pub const RECEIPT_HEADER: &str = "payment-response";

/// The dialect.
#[derive(Debug, Clone, Copy, Default)]
pub struct V2;

impl Dialect for V2 {
    fn id(&self) -> DialectId {
        ID
    }

    fn payment_fields(&self) -> &'static [&'static str] {
        &[PAYMENT_HEADER]
    }

    fn response_fields(&self) -> &'static [&'static str] {
        &[CHALLENGE_HEADER, RECEIPT_HEADER]
    }

    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts) {
        header::write(&mut out.headers, CHALLENGE_HEADER, &challenge::write(challenge));
    }

    fn read_challenge(&self, headers: &HeaderMap, _body: &[u8]) -> Result<Option<Challenge>, WireError> {
        let bytes = header::read_response(headers, CHALLENGE_HEADER)?;
        bytes.map(|bytes| challenge::read(&bytes)).transpose()
    }

    fn accept(&self, payment: Payment, challenge: &Challenge, offer: &Offer) -> Payment {
        accept(payment, challenge, offer)
    }

    fn write_payment(&self, payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError> {
        let json = payment::write(payment)?;
        let size_bytes_max = header::PAYMENT_JSON_SIZE_BYTES_MAX;
        if json.len() > size_bytes_max {
            return Err(WireError::TooLarge { place: PAYMENT_HEADER, size_bytes_max });
        }
        header::write(headers, PAYMENT_HEADER, &json);
        Ok(())
    }

    fn read_payment(&self, headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        let bytes = header::read_payment(headers, PAYMENT_HEADER)?;
        bytes.map(|bytes| payment::read(&bytes, PAYMENT_HEADER)).transpose()
    }

    fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        let offer = matching::find(payment, &challenge.offers)?;
        echo::check(&payment.extensions, &challenge.extensions)?;
        Ok(offer)
    }

    fn write_receipt(&self, receipt: &Receipt, headers: &mut HeaderMap) {
        header::write(headers, RECEIPT_HEADER, &Message::new(Version::Two, receipt, None).to_json());
    }

    fn read_receipt(&self, headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        let Some(bytes) = header::read_response(headers, RECEIPT_HEADER)? else { return Ok(None) };
        let value = json::parse(&bytes, RECEIPT_HEADER, header::RESPONSE_SIZE_BYTES_MAX)?;
        receipt::read(&value, RECEIPT_HEADER).map(|(receipt, _)| Some(receipt))
    }
}

/// The payment with what a buyer repeats: the offer to the letter, the resource, and the extensions, where the
/// seller's words win over the buyer's (x402 v2 "Extensions").
pub fn accept(payment: Payment, challenge: &Challenge, offer: &Offer) -> Payment {
    Payment {
        dialect: ID,
        accepted: Some(offer.verbatim.clone().unwrap_or_else(|| offer::text(offer))),
        resource: (!challenge.resource.url.is_empty()).then(|| offer::resource(&challenge.resource)),
        extensions: echo::merge(&challenge.extensions, payment.extensions),
        ..payment
    }
}
