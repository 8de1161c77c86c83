//! Ways to pay that are not on a chain: they stand beside the components that the package reads, never among them, because
//! its parser gives up on the whole 402 where one is of another type than `evm` (rule M).
//!
//! A method names its kind of permit in its offers' `extra.permitType`. A permit of such a kind is its proof as it came: a new
//! method needs nothing here.

use groat_core::offer::Currency;
use groat_core::{Amount, Network, Offer, Payment, Reason};
use serde_json::{Map, Value, json};

use super::{ID, PERMIT_SCHEME, SCHEME, TIMEOUT_S};
use crate::WireError;
use crate::members::Members;

const PLACE: &str = "permit";
/// Kinds of permits with a name of their own, and their schemes. The scheme of any other kind is its name.
const KINDS: [(&str, &str); 2] = [("BalanceDebit", "balance"), ("ExternalOrder", "external-order")];
/// Where a permit does not say of which ledger it is: the offer does.
const UNNAMED: &str = "ledger:unnamed";

/// Whether an offer is paid by a permit that moves no token.
pub(super) fn is_offchain(offer: &Offer) -> bool {
    offer.dialect.as_ref() == Some(&ID) && !is_of_tokens(&offer.scheme) && permit_type(offer).is_some()
}

/// Whether a scheme moves tokens.
fn is_of_tokens(scheme: &str) -> bool {
    [SCHEME, PERMIT_SCHEME].contains(&scheme)
}

fn permit_type(offer: &Offer) -> Option<&str> {
    offer.extra.get("permitType").and_then(Value::as_str)
}

/// An offer as an entry of `offchain_components`.
pub(super) fn component(offer: &Offer) -> Option<Value> {
    let currency = offer.currency.as_ref().filter(|_| is_offchain(offer))?;
    let mut extra = offer.extra.clone();
    let permit_type = extra.remove("permitType")?;
    Some(json!({
        "payment_type": offer.scheme,
        "permit_type": permit_type,
        "amount": offer.amount.to_decimal(currency.decimals),
        "currency": currency.symbol,
        "decimals": currency.decimals,
        "network": offer.network,
        "pay_to": offer.pay_to,
        "metadata": extra,
    }))
}

/// Reads such an entry.
pub(super) fn read_component(value: &Value) -> Option<Offer> {
    let members = Members::of(value, PLACE).ok()?;
    let decimals = members.value("decimals")?.as_u64()?.try_into().ok()?;
    let symbol = members.word("currency").ok()?;
    let mut extra = members.object_or_empty("metadata").ok()?;
    extra.insert("permitType".to_owned(), members.word("permit_type").ok()?.into());
    let offer = Offer {
        scheme: members.word("payment_type").ok()?.to_owned(),
        network: Network::parse(members.word("network").ok()?).ok()?,
        asset: symbol.to_owned(),
        amount: Amount::parse_decimal(members.word("amount").ok()?, decimals)?,
        pay_to: members.text("pay_to").ok()?.to_owned(),
        timeout_s: TIMEOUT_S,
        extra,
        price: None,
        dialect: Some(ID),
        currency: Some(Currency { symbol: symbol.to_owned(), decimals }),
        verbatim: None,
    };
    is_offchain(&offer).then_some(offer)
}

/// The payment that a permit of this kind is: the permit itself is the proof.
pub(super) fn read(kind: &str, value: &Value) -> Result<Payment, WireError> {
    let permit = Members::of(value, PLACE)?;
    let known = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, scheme)| *scheme);
    let is_name = |name: &str| name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name(kind) || is_of_tokens(kind) {
        let problem = "is not one that is taken here: send one of ERC3009, Permit2, EIP2612";
        return Err(permit.wrong("permit_type", problem));
    }
    let network = permit.text_or_none("network")?.unwrap_or(UNNAMED);
    let network = Network::parse(network).map_err(|_| permit.wrong("network", "is not a network"))?;
    Ok(Payment {
        dialect: ID,
        scheme: known.unwrap_or(kind).to_owned(),
        network,
        proof: value.clone(),
        accepted: None,
        resource: None,
        extensions: Map::new(),
    })
}

/// The permit of a payment that we signed; `None` for one of a token.
pub(super) fn write(payment: &Payment) -> Option<Value> {
    let is_permit = payment.proof.get("permit_type").is_some_and(Value::is_string);
    (!is_of_tokens(&payment.scheme) && is_permit).then(|| payment.proof.clone())
}

/// The offer that a permit pays: of its kind, and where it says so in its currency and of its network. One with exactly its
/// amount is meant before one that only verification can turn down.
pub(super) fn choose<'o>(payment: &Payment, offers: &'o [Offer]) -> Result<&'o Offer, Reason> {
    let told = |key| payment.proof.get(key).and_then(Value::as_str);
    let fits = |offer: &&Offer| {
        is_offchain(offer)
            && offer.scheme == payment.scheme
            && permit_type(offer) == told("permit_type")
            && told("currency").is_none_or(|currency| currency == offer.asset)
            && told("network").is_none_or(|network| network == offer.network.as_str())
    };
    let exact = |offer: &&Offer| {
        let decimals = offer.currency.as_ref().map(|currency| currency.decimals);
        told("amount").zip(decimals).and_then(|(text, decimals)| Amount::parse_decimal(text, decimals))
            == Some(offer.amount)
    };
    let mut fitting = offers.iter().filter(fits);
    let first = fitting.clone().next().ok_or(Reason::NoMatchingRequirements)?;
    Ok(fitting.find(exact).unwrap_or(first))
}
