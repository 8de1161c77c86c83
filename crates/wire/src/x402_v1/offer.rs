//! An entry of `accepts` (x402 v1 section 5.1, `PaymentRequirements`).

use groat_core::{Amount, Network, Offer, Reason, Resource};
use serde_json::{Map, Value, json};

use crate::Version;
use crate::members::Members;
use crate::x402_v2::offer::{read_network, read_timeout_s};

const PLACE: &str = "payment requirements";

/// The only scheme that all version 1 parsers know.
const SCHEME: &str = "exact";

/// A URL for entries whose resource nobody told us: the official facilitator refuses an entry without one.
const NOWHERE: &str = "https://resource.invalid/";

/// Whether every version 1 parser can read an entry of this offer.
pub(super) fn is_portable(offer: &Offer, resource: &Resource, portable: &[Network]) -> bool {
    offer.scheme == SCHEME && portable.contains(&offer.network) && is_absolute(&resource.url)
}

/// Whether the URL says where it is; a relative one is fatal to version 1 parsers.
fn is_absolute(url: &str) -> bool {
    ["https://", "http://"].iter().any(|start| {
        url.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start)) && url.len() > start.len()
    })
}

/// The entry. `outputSchema` is left out, not null: npm `x402` 1.2.0 takes null for an error.
pub(crate) fn write(offer: &Offer, resource: &Resource) -> Value {
    let url = if is_absolute(&resource.url) { &resource.url } else { NOWHERE };
    let mut entry = json!({
        "scheme": offer.scheme,
        "network": Version::One.network(&offer.network),
        "maxAmountRequired": offer.amount,
        "resource": url,
        "description": resource.description,
        "mimeType": resource.mime_type,
        "payTo": offer.pay_to,
        "maxTimeoutSeconds": offer.timeout_s,
        "asset": offer.asset,
    });
    if !offer.extra.is_empty() {
        entry["extra"] = Value::Object(offer.extra.clone());
    }
    entry
}

/// Reads an entry; the reason tells whether its network or something else is not of our world.
pub(crate) fn read(value: &Value) -> Result<(Offer, Resource), Reason> {
    let network = read_network(value)?;
    let members = Members::of(value, PLACE).map_err(|_| Reason::InvalidRequirements)?;
    let offer = read_members(&members, network).ok_or(Reason::InvalidRequirements)?;
    Ok((offer, read_resource(&members)))
}

fn read_members(members: &Members<'_>, network: Network) -> Option<Offer> {
    Some(Offer {
        scheme: members.word("scheme").ok()?.to_owned(),
        network,
        asset: members.word("asset").ok()?.to_owned(),
        amount: Amount::parse(members.text("maxAmountRequired").ok()?).ok()?,
        pay_to: members.word("payTo").ok()?.to_owned(),
        timeout_s: read_timeout_s(members.value("maxTimeoutSeconds")?)?,
        extra: members.object_or_empty("extra").ok()?,
        price: members.text_or_none("price").ok()?.map(str::to_owned),
        dialect: None,
        currency: None,
        verbatim: None,
    })
}

/// What an entry tells of the resource, as far as it is text.
pub(super) fn read_resource(members: &Members<'_>) -> Resource {
    let text = |key| members.value(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let url = Some(text("resource")).filter(|url| url != NOWHERE).unwrap_or_default();
    Resource { url, description: text("description"), mime_type: text("mimeType") }
}

/// The resource of a payment, where a seller put it (it is not part of version 1 payments).
pub(crate) fn resource_of(value: Option<&Value>) -> Resource {
    let empty = Map::new();
    let members = value.and_then(Value::as_object).unwrap_or(&empty);
    let text = |key| members.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Resource { url: text("url"), description: text("description"), mime_type: text("mimeType") }
}
