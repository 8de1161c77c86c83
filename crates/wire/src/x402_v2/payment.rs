//! The payment (x402 v2 `PaymentPayload`).

use groat_core::{Network, Payment};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::ID;
use crate::members::Members;
use crate::{WireError, header, json};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(rename = "x402Version")]
    version: u8,
    payload: &'a Value,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extensions: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a Value>,
    accepted: Box<RawValue>,
}

/// The payment as JSON text, with the accepted offer to the letter.
pub(super) fn write(payment: &Payment) -> Result<Vec<u8>, WireError> {
    let wrong = |problem| WireError::malformed("accepted", problem);
    let accepted = payment.accepted.as_ref().ok_or_else(|| wrong("is missing: accept an offer first"))?;
    let message = Message {
        version: 2,
        payload: &payment.proof,
        extensions: &payment.extensions,
        resource: payment.resource.as_ref(),
        accepted: RawValue::from_string(accepted.text().to_owned()).map_err(|_| wrong("is not JSON"))?,
    };
    serde_json::to_vec(&message).map_err(|_| WireError::malformed("payload", "cannot be written as JSON"))
}

/// Reads a payment. Members that the protocol does not name are left out and never forwarded (threat row H04).
pub(crate) fn read(bytes: &[u8], place: &'static str) -> Result<Payment, WireError> {
    let value = json::parse(bytes, place, header::PAYMENT_JSON_SIZE_BYTES_MAX)?;
    read_checked(&value, bytes, place)
}

/// [`read`] of bytes that have been read as JSON before.
pub(crate) fn read_checked(value: &Value, bytes: &[u8], place: &'static str) -> Result<Payment, WireError> {
    #[derive(Deserialize)]
    struct Texts<'a> {
        #[serde(borrow)]
        accepted: Option<&'a RawValue>,
    }
    let text = serde_json::from_slice::<Texts<'_>>(bytes).ok().and_then(|texts| texts.accepted);
    read_value(value, text, place)
}

/// The payment of a checked JSON value and the text of its `accepted`.
pub(crate) fn read_value(
    value: &Value,
    accepted_text: Option<&RawValue>,
    place: &'static str,
) -> Result<Payment, WireError> {
    let members = Members::of(value, place)?;
    if members.required("x402Version")?.as_u64() != Some(2) {
        return Err(members.wrong("x402Version", "is not 2"));
    }
    let accepted = Members::of(members.required("accepted")?, "accepted")?;
    let network = Network::parse(accepted.text("network")?)
        .map_err(|_| accepted.wrong("network", "is not a network that we know"))?;
    let text = accepted_text.ok_or_else(|| members.wrong("accepted", "is missing"))?;
    Ok(Payment {
        dialect: ID,
        scheme: accepted.word("scheme")?.to_owned(),
        network,
        proof: Value::Object(members.object("payload")?.clone()),
        accepted: Some(text.get().into()),
        resource: members.value("resource").map(read_resource).transpose()?,
        extensions: members.object_or_empty("extensions")?,
    })
}

/// The members of a resource that the protocol names; those with a wrong type make the payment malformed.
fn read_resource(value: &Value) -> Result<Value, WireError> {
    let members = Members::of(value, "resource")?;
    members.word("url")?;
    for key in ["description", "mimeType", "serviceName", "iconUrl"] {
        members.text_or_none(key)?;
    }
    if let Some(tags) = members.value("tags") {
        let texts = tags.as_array().is_some_and(|tags| tags.iter().all(Value::is_string));
        texts.then_some(()).ok_or_else(|| members.wrong("tags", "is not a list of texts"))?;
    }
    let known = ["url", "description", "mimeType", "serviceName", "tags", "iconUrl"];
    let kept = known.iter().filter_map(|key| Some(((*key).to_owned(), members.value(key)?.clone())));
    Ok(Value::Object(kept.collect()))
}
