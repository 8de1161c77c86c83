//! The challenge (x402 v2 `PaymentRequired`).

use groat_core::{Challenge, Resource};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::CHALLENGE_HEADER as PLACE;
use super::offer::{self, Entry};
use crate::members::Members;
use crate::{WireError, header, json};

/// Advertised extensions carry JSON schemas, which nest two levels for each level of what they describe.
const DEPTH_MAX: u8 = 32;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(rename = "x402Version")]
    version: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    resource: Value,
    accepts: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extensions: &'a Map<String, Value>,
}

/// The challenge as JSON text.
pub(super) fn write(challenge: &Challenge) -> Vec<u8> {
    let message = Message {
        version: 2,
        error: &challenge.error,
        resource: offer::resource(&challenge.resource),
        accepts: challenge.offers.iter().map(Entry::from).collect(),
        extensions: &challenge.extensions,
    };
    serde_json::to_vec(&message).unwrap_or_default()
}

/// Reads a challenge. Entries that are not of our world (unknown kind of network, no amount) are left out: a seller
/// may offer more ways to pay than we know. A missing version means 2 and a missing resource none, as in Python.
pub(super) fn read(bytes: &[u8]) -> Result<Challenge, WireError> {
    let value = json::parse_to_depth(bytes, PLACE, header::RESPONSE_SIZE_BYTES_MAX, DEPTH_MAX)?;
    let members = Members::of(&value, PLACE)?;
    if members.value("x402Version").is_some_and(|version| version.as_u64() != Some(2)) {
        return Err(members.wrong("x402Version", "is not 2"));
    }
    let entries = members.array("accepts")?;
    let texts = entry_texts(bytes)?;
    let offers = entries.iter().zip(texts).filter_map(|(entry, text)| {
        let mut offer = offer::read(entry).ok()?;
        offer.verbatim = Some(text.into());
        Some(offer)
    });
    Ok(Challenge {
        resource: read_resource(&members)?,
        offers: offers.collect(),
        pass_at: None,
        moment: None,
        error: members.text_or_none("error")?.unwrap_or_default().to_owned(),
        extensions: members.object_or_empty("extensions")?,
    })
}

/// The text of every entry. The bytes have been read before, so keys are unique and this is the same `accepts`.
fn entry_texts(bytes: &[u8]) -> Result<Vec<&str>, WireError> {
    #[derive(Deserialize)]
    struct Texts<'a> {
        #[serde(borrow)]
        accepts: Vec<&'a RawValue>,
    }
    let texts: Texts<'_> = serde_json::from_slice(bytes)
        .map_err(|_| WireError::malformed(PLACE, "`accepts` is not an array"))?;
    Ok(texts.accepts.into_iter().map(RawValue::get).collect())
}

fn read_resource(members: &Members<'_>) -> Result<Resource, WireError> {
    let Some(value) = members.value("resource") else { return Ok(Resource::default()) };
    let resource = Members::of(value, "resource")?;
    let text = |key| Ok(resource.text_or_none(key)?.unwrap_or_default().to_owned());
    Ok(Resource {
        url: resource.text("url")?.to_owned(),
        description: text("description")?,
        mime_type: text("mimeType")?,
    })
}
