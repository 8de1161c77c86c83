//! Extensions: a buyer repeats what a seller advertises and may add to it (x402 v2 "Extensions").

use groat_core::Reason;
use serde_json::{Map, Value};

use super::matching::{contains, same};

/// What single extensions except from the general rule (official SDKs 2.27.0).
struct Rule {
    extension: &'static str,
    /// Members of `info` that change with every challenge and are not compared.
    dynamic: &'static [&'static str],
    /// Lists of `info` that a buyer may lengthen, up to a length.
    additive: &'static [(&'static str, usize)],
    /// Members of `info` that only a seller may set.
    owned: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        extension: "sign-in-with-x",
        dynamic: &["nonce", "issuedAt", "expirationTime"],
        additive: &[],
        owned: &[],
    },
    Rule { extension: "offer-receipt", dynamic: &["offers"], additive: &[], owned: &[] },
    Rule { extension: "builder-code", dynamic: &[], additive: &[("s", 10)], owned: &["a"] },
];

const PLAIN: Rule = Rule { extension: "", dynamic: &[], additive: &[], owned: &[] };

fn rule(extension: &str) -> &'static Rule {
    RULES.iter().find(|rule| rule.extension == extension).unwrap_or(&PLAIN)
}

/// Whether the echo repeats what was advertised. Extensions left out, and those never advertised, pass.
pub(super) fn check(echo: &Map<String, Value>, advertised: &Map<String, Value>) -> Result<(), Reason> {
    let good = echo.iter().all(|(name, echoed)| {
        let ours = advertised.get(name);
        let rule = rule(name);
        owned_kept(rule, echoed, ours) && ours.is_none_or(|ours| repeats(rule, echoed, ours))
    });
    if good { Ok(()) } else { Err(Reason::ExtensionEchoMismatch) }
}

fn info(value: &Value) -> &Value {
    value.get("info").unwrap_or(value)
}

fn owned_kept(rule: &Rule, echoed: &Value, ours: Option<&Value>) -> bool {
    rule.owned.iter().all(|key| match info(echoed).get(*key) {
        Some(value) => ours.and_then(|ours| info(ours).get(*key)).is_some_and(|ours| same(value, ours)),
        None => true,
    })
}

fn repeats(rule: &Rule, echoed: &Value, ours: &Value) -> bool {
    // Both sides by `info` when the seller's has one; an echo without it does not repeat it.
    let (echoed, ours) = match ours.get("info") {
        Some(ours) => match echoed.get("info") {
            Some(echoed) => (echoed, ours),
            None => return false,
        },
        None => (echoed, ours),
    };
    let Value::Object(members) = ours else { return same(echoed, ours) };
    if !echoed.is_object() {
        return false;
    }
    let lists_short = rule.additive.iter().all(|(key, length_max)| {
        echoed.get(*key).and_then(Value::as_array).is_none_or(|list| list.len() <= *length_max)
    });
    lists_short
        && members.iter().filter(|(key, _)| !rule.dynamic.contains(&key.as_str())).all(|(key, value)| {
            let additive = rule.additive.iter().any(|(name, _)| name == key);
            echoed.get(key).is_some_and(|other| match (additive, other, value) {
                (true, Value::Array(longer), Value::Array(shorter)) => {
                    shorter.iter().all(|item| longer.iter().any(|other| same(other, item)))
                }
                _ => contains(other, value),
            })
        })
}

/// What a buyer sends: all that is advertised, and its own additions where they do not contradict it.
pub(super) fn merge(advertised: &Map<String, Value>, ours: Map<String, Value>) -> Map<String, Value> {
    let mut merged = advertised.clone();
    for (name, addition) in ours {
        let rule = rule(&name);
        match merged.get_mut(&name) {
            Some(theirs) => merge_value(rule, theirs, addition),
            None => {
                merged.insert(name, addition);
            }
        }
    }
    merged
}

fn merge_value(rule: &Rule, theirs: &mut Value, ours: Value) {
    let (Value::Object(theirs), Value::Object(ours)) = (theirs, ours) else { return };
    for (key, value) in ours {
        let additive = rule.additive.iter().any(|(name, _)| *name == key);
        match (theirs.get_mut(&key), value) {
            (None, value) => {
                theirs.insert(key, value);
            }
            (Some(Value::Array(theirs)), Value::Array(mut list)) if additive => {
                list.retain(|item| !theirs.iter().any(|other| same(other, item)));
                list.append(theirs);
                *theirs = list;
            }
            (Some(theirs), value) => merge_value(rule, theirs, value),
        }
    }
}
