//! What a seller asks a facilitator (x402 `VerifyRequest`, `SettleRequest`: the same three members).

use groat_core::reason::printable;
use groat_core::{Offer, Payment, Reason, Refusal};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::BODY_SIZE_BYTES_MAX;
use crate::members::Members;
use crate::{Version, WireError, json as strict, x402_v1, x402_v2};

const PLACE: &str = "body";

/// A payment and the offer it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The version of the messages, for the answer.
    pub version: Version,
    /// What the buyer sent.
    pub payment: Payment,
    /// What the seller wants.
    pub offer: Offer,
}

/// Why there is no [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The body is not a request at all (HTTP 400, or 413 when it is too large).
    #[error(transparent)]
    Undecodable(#[from] WireError),
    /// It is one, and its parts are not what the protocol says (HTTP 200 with a negative verdict).
    #[error("{reason}")]
    Refused {
        /// What is wrong.
        reason: Reason,
        /// The network as the seller wrote it, bounded, because every settle answer names one.
        network: String,
    },
}

impl RequestError {
    /// The code of the error: `invalid_payload` for what cannot be decoded.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Undecodable(_) => Reason::InvalidPayload,
            Self::Refused { reason, .. } => reason.clone(),
        }
    }

    /// The answer to `/verify`.
    pub fn verify_body(&self) -> Value {
        super::VerifyResponse::Refused(Refusal::from(self.reason())).write(Version::Two)
    }

    /// The answer to `/settle`.
    pub fn settle_body(&self) -> Value {
        let network = match self {
            Self::Undecodable(_) => "",
            Self::Refused { network, .. } => network,
        };
        json!({"success": false, "errorReason": self.reason(), "transaction": "", "network": network})
    }
}

/// Reads a request of either version.
pub fn read_request(bytes: &[u8]) -> Result<Request, RequestError> {
    // One level deeper than a payment may be, because it wraps one.
    let value = strict::parse_to_depth(bytes, PLACE, BODY_SIZE_BYTES_MAX, strict::DEPTH_MAX + 1)?;
    let members = Members::of(&value, PLACE)?;
    members.object("paymentPayload")?;
    members.object("paymentRequirements")?;
    let payload = members.required("paymentPayload")?;
    let requirements = members.required("paymentRequirements")?;

    let network = requirements.get("network").and_then(Value::as_str).unwrap_or_default();
    let refused = |reason| RequestError::Refused { reason, network: printable(network, 64) };
    let inner = payload.get("x402Version");
    let outer = members.value("x402Version").or(inner);
    let version = outer.filter(|outer| Some(*outer) == inner).and_then(Value::as_u64);
    match version.and_then(Version::from_number).ok_or_else(|| refused(Reason::InvalidVersion))? {
        Version::One => {
            let (offer, resource) = x402_v1::offer::read(requirements).map_err(refused)?;
            let mut payment =
                x402_v1::payment::read_value(payload, PLACE).map_err(|_| refused(Reason::InvalidPayload))?;
            payment.resource = (!resource.url.is_empty()).then(|| x402_v2::offer::resource(&resource));
            Ok(Request { version: Version::One, payment, offer })
        }
        Version::Two => {
            let offer = x402_v2::offer::read(requirements).map_err(refused)?;
            let payment = x402_v2::payment::read_value(payload, accepted_text(bytes), PLACE)
                .map_err(|_| refused(Reason::InvalidPayload))?;
            Ok(Request { version: Version::Two, payment, offer })
        }
    }
}

/// The text of `paymentPayload.accepted` in a body that has been read before.
fn accepted_text(bytes: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        #[serde(borrow)]
        payment_payload: Payload<'a>,
    }
    #[derive(Deserialize)]
    struct Payload<'a> {
        #[serde(borrow)]
        accepted: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Body<'_>>(bytes).ok()?.payment_payload.accepted
}

/// The request as text, in the version of the payment's dialect.
///
/// The payload is rebuilt from what we understood of it: unknown members and what a buyer added to the `extra` of its
/// echo steer no facilitator (threat rows B05, H04). Version 1 names the resource inside the requirements; it is taken
/// from `payment.resource`, where a seller puts its own before it asks.
pub fn write_request(payment: &Payment, offer: &Offer) -> String {
    match Version::of(&payment.dialect) {
        Version::One => {
            let resource = x402_v1::offer::resource_of(payment.resource.as_ref());
            written(Version::One, x402_v1::payment::write(payment), &x402_v1::offer::write(offer, &resource))
        }
        Version::Two => {
            let echo = payment.accepted.as_ref().and_then(|echo| echo.value()?.as_object());
            let requirements = x402_v2::offer::Entry::from(offer);
            let payload = Payload {
                x402_version: Version::Two.number(),
                payload: &payment.proof,
                accepted: Accepted { echo, offer },
                extensions: &payment.extensions,
                resource: payment.resource.as_ref(),
            };
            written(Version::Two, payload, &requirements)
        }
    }
}

fn written(
    version: Version,
    payment_payload: impl Serialize,
    payment_requirements: &impl Serialize,
) -> String {
    let body = Body { x402_version: version.number(), payment_payload, payment_requirements };
    // Plain data: strings, numbers, maps with string keys.
    serde_json::to_string(&body).expect("JSON can hold it")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a, P, R> {
    x402_version: u8,
    payment_payload: P,
    payment_requirements: &'a R,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    x402_version: u8,
    payload: &'a Value,
    accepted: Accepted<'a>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extensions: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a Value>,
}

/// The echo without the buyer's additions. It may differ from the requirements in the amount: a scheme that charges
/// less than was accepted (`upto`) settles under a lower one.
struct Accepted<'a> {
    echo: Option<&'a Map<String, Value>>,
    offer: &'a Offer,
}

impl Serialize for Accepted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Offer { scheme, network, amount, asset, pay_to, timeout_s, extra, .. } = self.offer;
        let mut members = serializer.serialize_map(None)?;
        self.member(&mut members, "scheme", scheme)?;
        self.member(&mut members, "network", network)?;
        self.member(&mut members, "amount", amount)?;
        self.member(&mut members, "asset", asset)?;
        self.member(&mut members, "payTo", pay_to)?;
        self.member(&mut members, "maxTimeoutSeconds", timeout_s)?;
        if !extra.is_empty() {
            members.serialize_entry("extra", extra)?;
        }
        members.end()
    }
}

impl Accepted<'_> {
    fn member<M: SerializeMap>(&self, to: &mut M, name: &str, ours: &impl Serialize) -> Result<(), M::Error> {
        match self.echo.and_then(|echo| echo.get(name)) {
            Some(echoed) => to.serialize_entry(name, echoed),
            None => to.serialize_entry(name, ours),
        }
    }
}
