//! An entry of `accepts` and the resource beside it (x402 v2 section 5.1, `PaymentRequirements`, `ResourceInfo`).

use groat_core::offer::Verbatim;
use groat_core::{Amount, Network, Offer, Reason, Resource};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::members::Members;

const PLACE: &str = "payment requirements";

/// What a whole number can be at most in JavaScript.
const COUNT_MAX: f64 = 9_007_199_254_740_991.0;

/// An offer as it is written, with members in the order of the official SDKs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry<'a> {
    scheme: &'a str,
    network: &'a Network,
    amount: Amount,
    asset: &'a str,
    pay_to: &'a str,
    max_timeout_seconds: u64,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra: &'a Map<String, Value>,
}

impl<'a> From<&'a Offer> for Entry<'a> {
    fn from(offer: &'a Offer) -> Self {
        Self {
            scheme: &offer.scheme,
            network: &offer.network,
            amount: offer.amount,
            asset: &offer.asset,
            pay_to: &offer.pay_to,
            max_timeout_seconds: offer.timeout_s,
            extra: &offer.extra,
        }
    }
}

/// The offer as JSON, as we write it; what a seller once sent as its text does not count.
pub(crate) fn write(offer: &Offer) -> Value {
    serde_json::to_value(Entry::from(offer)).unwrap_or_default()
}

/// [`write`] as text.
pub(crate) fn text(offer: &Offer) -> Verbatim {
    serde_json::to_string(&Entry::from(offer)).unwrap_or_default().into()
}

/// Reads an entry; the reason tells whether its network or something else is not of our world.
pub(crate) fn read(value: &Value) -> Result<Offer, Reason> {
    let network = read_network(value)?;
    read_members(value, network).ok_or(Reason::InvalidRequirements)
}

fn read_members(value: &Value, network: Network) -> Option<Offer> {
    let members = Members::of(value, PLACE).ok()?;
    Some(Offer {
        scheme: members.word("scheme").ok()?.to_owned(),
        network,
        asset: members.word("asset").ok()?.to_owned(),
        amount: Amount::parse(members.text("amount").ok()?).ok()?,
        pay_to: members.word("payTo").ok()?.to_owned(),
        timeout_s: read_timeout_s(members.value("maxTimeoutSeconds")?)?,
        extra: members.object_or_empty("extra").ok()?,
        price: None,
        dialect: None,
        currency: None,
        verbatim: None,
    })
}

/// The network of an entry of either version, by either kind of name.
pub(crate) fn read_network(value: &Value) -> Result<Network, Reason> {
    let text = value.get("network").and_then(Value::as_str).ok_or(Reason::InvalidRequirements)?;
    Network::parse(text).map_err(|_| Reason::InvalidNetwork)
}

/// A positive number of seconds; `60.0` is 60, as it is in JavaScript.
pub(crate) fn read_timeout_s(value: &Value) -> Option<u64> {
    let whole = |number: &f64| number.fract() == 0.0 && (0.0..=COUNT_MAX).contains(number);
    let seconds = value.as_u64().or_else(|| value.as_f64().filter(whole).map(|number| number as u64));
    seconds.filter(|seconds| *seconds > 0)
}

/// A resource as JSON; description and media type are there even when empty, as the official servers do.
pub(crate) fn resource(resource: &Resource) -> Value {
    json!({
        "url": resource.url,
        "description": resource.description,
        "mimeType": resource.mime_type,
    })
}
