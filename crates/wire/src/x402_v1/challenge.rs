//! The challenge in the body of a 402 (x402 v1 `PaymentRequirementsResponse`, and the bare profile).

use groat_core::{Challenge, Network, Offer, Resource};
use serde_json::{Map, Value, json};

use super::{bare, offer};
use crate::members::Members;
use crate::{WireError, json};

/// The largest body that we read as a challenge.
const SIZE_BYTES_MAX: usize = 64 * 1024;

/// Bodies describe outputs by JSON schemas, which nest.
const DEPTH_MAX: u8 = 32;

const PLACE: &str = "body";

/// Adds the challenge to the body.
///
/// With at least one portable offer: a version 1 challenge of the portable ones. Without: no version member, and the
/// same entries under CAIP-2 names, which only readers of the bare profile understand. `error` is always a text.
pub(super) fn write(challenge: &Challenge, portable: &[Network], body: &mut Map<String, Value>) {
    let resource = &challenge.resource;
    let entry = |offer: &Offer| {
        let mut entry = offer::write(offer, resource);
        if let Some(price) = &offer.price {
            entry["price"] = json!(price);
        }
        entry
    };
    let is_portable = |offer: &&Offer| offer::is_portable(offer, resource, portable);
    let mut accepts: Vec<Value> = challenge.offers.iter().filter(is_portable).map(entry).collect();
    if accepts.is_empty() {
        let bare = |offer: &Offer| bare::write(entry(offer), offer, resource);
        accepts = challenge.offers.iter().map(bare).collect();
    } else {
        body.insert("x402Version".to_owned(), json!(1));
    }
    let members = [
        ("error", json!(challenge.error)),
        ("accepts", Value::Array(accepts)),
        ("description", json!(resource.description)),
        ("mimeType", json!(resource.mime_type)),
    ];
    body.extend(members.map(|(key, value)| (key.to_owned(), value)));
}

/// Reads a body. What is not a JSON object, or one without our members, is not of this dialect. Entries that are not
/// of our world are left out.
pub(super) fn read(body: &[u8]) -> Result<Option<Challenge>, WireError> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Ok(None);
    }
    let value = json::parse_to_depth(body, PLACE, SIZE_BYTES_MAX, DEPTH_MAX)?;
    let members = Members::of(&value, PLACE)?;
    let entries: Vec<(Offer, Resource)> = match members.value("x402Version") {
        Some(version) if version.as_u64() == Some(1) => {
            members.array("accepts")?.iter().filter_map(|entry| offer::read(entry).ok()).collect()
        }
        Some(_) => return Ok(None),
        None => match members.value("accepts").and_then(Value::as_array) {
            Some(accepts) if accepts.iter().any(bare::is_entry) => {
                accepts.iter().filter_map(bare::read).collect()
            }
            _ => return Ok(None),
        },
    };
    let told = |key| members.value(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut resource = entries.first().map(|(_, resource)| resource.clone()).unwrap_or_default();
    if resource.description.is_empty() {
        resource.description = told("description");
    }
    if resource.mime_type.is_empty() {
        resource.mime_type = told("mimeType");
    }
    Ok(Some(Challenge {
        resource,
        offers: entries.into_iter().map(|(offer, _)| offer).collect(),
        pass_at: None,
        moment: None,
        error: told("error"),
        extensions: Map::new(),
    }))
}
