//! The bare profile: `accepts` entries with a price in dollars and no version, and payments without one.
//!
//! Its 402 is `{accepts: [{scheme, price: "$0.01", network: "eip155:84532", payTo}], description, mimeType}`, its
//! payment `{payload: {authorization: {to, from, value, network, …}, signature}}`. It names no token and no amount in
//! units: both follow from the network, which has one dollar token here.

use groat_core::{Network, Offer, Payment, Price, Resource};
use serde_json::{Map, Value, json};

use super::{ID, PAYMENT_HEADER as PLACE, offer};
use crate::WireError;
use crate::members::Members;

/// The profile says nothing of time; this is the default of the official servers.
const TIMEOUT_S: u64 = 300;

const DOLLAR_DECIMALS: u8 = 6;

/// USDC on the networks of the profile: chain, token, EIP-712 name, EIP-712 version.
const DOLLARS: [(u64, &str, &str, &str); 2] = [
    (84532, "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC", "2"),
    (8453, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin", "2"),
];

/// What a bare authorization must have to be settled; the published sample is an abbreviation.
const SIGNED: [&str; 6] = ["from", "to", "value", "validAfter", "validBefore", "nonce"];

/// A version 1 entry with its network by CAIP-2 name and the resource as it is, absolute or not.
pub(super) fn write(mut entry: Value, offer: &Offer, resource: &Resource) -> Value {
    entry["network"] = json!(offer.network);
    entry["resource"] = json!(resource.url);
    entry
}

/// Whether an entry is one of this profile: it has a price in words or names its network by CAIP-2.
pub(super) fn is_entry(value: &Value) -> bool {
    let text = |key| value.get(key).and_then(Value::as_str);
    text("price").is_some() || text("network").is_some_and(|network| network.contains(':'))
}

/// Reads an entry, which may have all members of version 1 or only a price. Its text marks it as bare.
pub(super) fn read(value: &Value) -> Option<(Offer, Resource)> {
    let (mut offer, resource) = offer::read(value).ok().or_else(|| read_price(value))?;
    offer.verbatim = Some(value.to_string().into());
    Some((offer, resource))
}

fn read_price(value: &Value) -> Option<(Offer, Resource)> {
    let members = Members::of(value, "accepts").ok()?;
    let network = Network::parse(members.text("network").ok()?).ok()?;
    let (_, asset, name, version) =
        DOLLARS.into_iter().find(|(chain_id, ..)| network.chain_id() == Some(*chain_id))?;
    let text = members.text("price").ok()?;
    let price =
        Price::parse(text).ok().filter(|price| price.ticker().is_none_or(|ticker| ticker == "USDC"))?;
    let offer = Offer {
        scheme: members.word("scheme").ok()?.to_owned(),
        network,
        asset: asset.to_owned(),
        amount: price.to_units(DOLLAR_DECIMALS).ok()?,
        pay_to: members.word("payTo").ok()?.to_owned(),
        timeout_s: TIMEOUT_S,
        extra: Map::from_iter([("name".to_owned(), json!(name)), ("version".to_owned(), json!(version))]),
        price: Some(text.to_owned()),
        dialect: None,
        currency: None,
        verbatim: None,
    };
    Some((offer, offer::read_resource(&members)))
}

/// Whether a buyer read this offer in the bare profile.
pub(super) fn is_bare(offer: &Offer) -> bool {
    offer.verbatim.is_some()
}

/// The payment with the network where the profile looks for it.
pub(super) fn accept(mut payment: Payment) -> Payment {
    if let Some(Value::Object(signed)) = payment.proof.get_mut("authorization") {
        signed.insert("network".to_owned(), json!(payment.network));
    }
    payment
}

/// Reads a payment without a version. What cannot be settled (no nonce, no validity, no signature) is malformed.
pub(super) fn read_payment(members: &Members<'_>) -> Result<Payment, WireError> {
    let proof = members.object("payload")?;
    let payload = Members::of(members.required("payload")?, PLACE)?;
    payload.word("signature")?;
    let signed = Members::of(payload.required("authorization")?, PLACE)?;
    for key in SIGNED {
        signed.required(key)?;
    }
    let named = match signed.text_or_none("network")? {
        Some(network) => network,
        None => members.text("network")?,
    };
    let network =
        Network::parse(named).map_err(|_| signed.wrong("network", "is not a network that we know"))?;
    let mut proof = proof.clone();
    if let Some(Value::Object(signed)) = proof.get_mut("authorization") {
        // It is not part of what was signed, and facilitators need not know it.
        signed.remove("network");
    }
    Ok(Payment {
        dialect: ID,
        scheme: members.text_or_none("scheme")?.unwrap_or("exact").to_owned(),
        network,
        proof: Value::Object(proof),
        accepted: None,
        resource: None,
        extensions: Map::new(),
    })
}
