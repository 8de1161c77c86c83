//! Which of our offers a payment accepts (x402 v2; `findMatchingRequirements` of the official TypeScript SDK).

use groat_core::{Offer, Payment, Reason};
use serde_json::{Map, Value};

use super::offer;

/// Keys of `extra` that belong to the protocol, not to a scheme: a buyer must not add them (threat row B05).
const RESERVED: [&str; 2] = ["paymentFlow", "assetTransferMethod"];

/// The first of `offers` that the payment repeats: every member of the core must be there, equal, and no other
/// beside it; `extra` must contain ours and may have grown.
pub(super) fn find<'o>(payment: &Payment, offers: &'o [Offer]) -> Result<&'o Offer, Reason> {
    let echo = payment.accepted.as_ref().and_then(|echo| echo.value()?.as_object());
    let echo = echo.ok_or(Reason::NoMatchingRequirements)?;
    offers.iter().find(|offer| repeats(echo, offer)).ok_or(Reason::NoMatchingRequirements)
}

fn repeats(echo: &Map<String, Value>, offer: &Offer) -> bool {
    let ours = offer::write(offer);
    let Some(ours) = ours.as_object() else { return false };
    let core = |members: &Map<String, Value>| members.keys().filter(|key| *key != "extra").count();
    core(echo) == core(ours)
        && ours
            .iter()
            .filter(|(key, _)| *key != "extra")
            .all(|(key, value)| echo.get(key).is_some_and(|other| same(value, other)))
        && extra_repeats(echo.get("extra"), &offer.extra)
}

fn extra_repeats(echo: Option<&Value>, ours: &Map<String, Value>) -> bool {
    match echo {
        None | Some(Value::Null) => ours.is_empty(),
        Some(Value::Object(echo)) => {
            contains_members(echo, ours)
                && RESERVED.iter().all(|key| ours.contains_key(*key) || !echo.contains_key(*key))
        }
        Some(_) => false,
    }
}

/// Whether `larger` has everything that `smaller` has: objects member by member, all else equal.
pub(super) fn contains(larger: &Value, smaller: &Value) -> bool {
    match (larger, smaller) {
        (Value::Object(larger), Value::Object(smaller)) => contains_members(larger, smaller),
        _ => same(larger, smaller),
    }
}

fn contains_members(larger: &Map<String, Value>, smaller: &Map<String, Value>) -> bool {
    smaller.iter().all(|(key, value)| larger.get(key).is_some_and(|other| contains(other, value)))
}

/// Deep equality as JavaScript has it: `60` is `60.0`, and no number is a text.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || ((a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}
