//! The payment (x402 v1 `PaymentPayload`).

use groat_core::{Network, Payment};
use serde_json::{Map, Value, json};

use super::{ID, PAYMENT_HEADER as PLACE, bare};
use crate::members::Members;
use crate::{Version, WireError, header, json as strict, x402_v2};

/// The payment as JSON. The network goes by its version 1 name, unless the proof names it otherwise (bare profile);
/// what the proof says of another network is no name of this one.
pub(crate) fn write(payment: &Payment) -> Value {
    let named = payment.proof.get("authorization").and_then(|signed| signed.get("network"));
    let named = named
        .and_then(Value::as_str)
        .filter(|name| Network::parse(name).is_ok_and(|network| network == payment.network));
    let network = named.unwrap_or_else(|| Version::One.network(&payment.network));
    json!({
        "x402Version": 1,
        "scheme": payment.scheme,
        "network": network,
        "payload": payment.proof,
    })
}

/// Reads what came in `X-PAYMENT`, by its shape.
pub(super) fn read(bytes: &[u8]) -> Result<Payment, WireError> {
    let value = strict::parse(bytes, PLACE, header::PAYMENT_JSON_SIZE_BYTES_MAX)?;
    let members = Members::of(&value, PLACE)?;
    match members.value("x402Version").map(Value::as_u64) {
        Some(Some(1)) => read_value(&value, PLACE),
        Some(Some(2)) => x402_v2::payment::read_checked(&value, bytes, PLACE),
        Some(_) => Err(members.wrong("x402Version", "is neither 1 nor 2")),
        None => bare::read_payment(&members),
    }
}

/// The payment of a checked JSON value. Members that the protocol does not name are left out.
pub(crate) fn read_value(value: &Value, place: &'static str) -> Result<Payment, WireError> {
    let members = Members::of(value, place)?;
    if members.required("x402Version")?.as_u64() != Some(1) {
        return Err(members.wrong("x402Version", "is not 1"));
    }
    let network = Network::parse(members.text("network")?)
        .map_err(|_| members.wrong("network", "is not a network that we know"))?;
    Ok(Payment {
        dialect: ID,
        scheme: members.word("scheme")?.to_owned(),
        network,
        proof: Value::Object(members.object("payload")?.clone()),
        accepted: None,
        resource: None,
        extensions: Map::new(),
    })
}
