//! The rules of a 402 that several dialects share (V: version 1, M: token endpoint, A: AgentXPay, and what holds for all).

use groat_core::payment::DialectId;
use groat_core::{Network, Timestamp};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use serde_json::Value;

use super::{Finding, Severity, Spoken};
use crate::{agentxpay, json, token, want_pay, x402_v1, x402_v2};

/// What reverse proxies commonly take as all header fields of an answer.
const HEADER_BYTES_MAX: usize = 4_096;

pub(super) fn check(headers: &HeaderMap, body: &[u8], spoken: &[Spoken], now: Timestamp) -> Vec<Finding> {
    let mut found = Found(Vec::new());
    whole(headers, &mut found);
    let body = json::parse_to_depth(body, "body", 256 * 1024, 32);
    if let Err(error) = &body
        && !spoken.iter().any(|one| one.dialect == x402_v2::ID)
    {
        found.warn(None, format!("the body is not JSON that clients read: {error}"));
    }
    if let Ok(body) = &body {
        version_1(body, &mut found);
        components(body, &mut found);
    }
    five_fields(headers, &mut found);
    for one in spoken {
        offers(one, now, &mut found);
    }
    same_price(spoken, &mut found);
    if spoken.is_empty() {
        found.error(None, "no dialect that is known here: nobody can tell what to pay");
    }
    found.0
}

struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, severity: Severity, dialect: Option<&DialectId>, text: impl Into<String>) {
        self.0.push(Finding { severity, dialect: dialect.cloned(), text: text.into() });
    }

    fn error(&mut self, dialect: Option<&DialectId>, text: impl Into<String>) {
        self.add(Severity::Error, dialect, text);
    }

    fn warn(&mut self, dialect: Option<&DialectId>, text: impl Into<String>) {
        self.add(Severity::Warning, dialect, text);
    }
}

fn whole(headers: &HeaderMap, found: &mut Found) {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > HEADER_BYTES_MAX {
        found
            .warn(None, format!("the header fields have {size} bytes: many proxies take {HEADER_BYTES_MAX}"));
    }
    let said = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    if !said.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case("no-store")) {
        found.warn(
            None,
            "a cache may keep this 402 and give it to whoever has paid: say `Cache-Control: no-store`",
        );
    }
    if headers.contains_key(x402_v1::PAYMENT_HEADER) {
        let text =
            "there is a response field called X-PAYMENT: Python clients of x402 2.x take it for a receipt";
        found.error(Some(&x402_v1::ID), text);
    }
    for value in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        let schemes = value.split(',').map(str::trim_start).filter(|part| {
            let (scheme, rest) = part.split_once(' ').unwrap_or((part, ""));
            !scheme.contains('=') && (rest.contains('=') || rest.is_empty())
        });
        if schemes.count() > 1 {
            found.warn(
                None,
                "one WWW-Authenticate field has several challenges: some clients read only the first",
            );
        }
    }
}

/// Rule V: every entry of `accepts` satisfies the strictest version 1 parser, or all version 1 payments break.
fn version_1(body: &Value, found: &mut Found) {
    let id = Some(&x402_v1::ID);
    if body.get("x402Version").and_then(Value::as_u64) != Some(1) {
        return;
    }
    if !body.get("error").is_some_and(Value::is_string) {
        found.error(id, "`error` is not a text: PyPI x402 0.3.0 cannot read the 402");
    }
    let Some(accepts) = body.get("accepts").and_then(Value::as_array) else {
        return found.error(id, "`accepts` is not a list");
    };
    for (index, entry) in accepts.iter().enumerate() {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let place =
            |what: &str| format!("`accepts[{index}]`: {what}: version 1 clients cannot read the whole 402");
        match text("network") {
            Some(name) if name.contains(':') => found.error(id, place("the network is a CAIP-2 name")),
            Some(name) if !is_portable(name) => {
                found.warn(id, place("not every client knows the network"));
            }
            Some(_) => {}
            None => found.error(id, place("there is no network")),
        }
        if text("scheme") != Some("exact") {
            found.error(id, place("the scheme is not `exact`"));
        }
        let is_url = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if !text("resource").is_some_and(is_url) {
            found.error(id, place("`resource` is not an absolute URL"));
        }
        if !text("maxAmountRequired")
            .is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        {
            found.error(id, place("`maxAmountRequired` is not a whole number as text"));
        }
        for key in ["description", "mimeType", "payTo", "asset"] {
            if text(key).is_none() {
                found.error(id, place(&format!("`{key}` is not a text")));
            }
        }
        if !entry.get("maxTimeoutSeconds").is_some_and(Value::is_u64) {
            found.error(id, place("`maxTimeoutSeconds` is not a whole number"));
        }
        if entry.get("outputSchema").is_some_and(Value::is_null) {
            found.error(id, place("`outputSchema` is null"));
        }
    }
}

/// The names that both official version 1 parsers know.
fn is_portable(name: &str) -> bool {
    ["base", "base-sepolia", "avalanche", "avalanche-fuji"].contains(&name)
}

/// Rule M: the package reads only components of the type `evm` without a null, and an endpoint that is a path.
fn components(body: &Value, found: &mut Found) {
    let id = Some(&token::ID);
    let Some(components) = body.pointer("/payment_scheme/payment_components").and_then(Value::as_array)
    else {
        return;
    };
    for (index, component) in components.iter().enumerate() {
        let place = |what: &str| {
            format!("`payment_components[{index}]`: {what}: x402-mock cannot read the whole 402")
        };
        if component.get("payment_type").and_then(Value::as_str) != Some("evm") {
            found.error(id, place("`payment_type` is not `evm`"));
        }
        for key in ["amount", "currency", "caip2"] {
            if component.get(key).is_none_or(Value::is_null) {
                found.error(id, place(&format!("`{key}` is missing or null")));
            }
        }
        for key in ["pay_to", "token", "token_name", "token_version", "token_decimals"] {
            if component.get(key).is_none_or(Value::is_null) {
                found.warn(
                    id,
                    format!(
                        "`payment_components[{index}]`: `{key}` is missing or null: nobody can sign for it"
                    ),
                );
            }
        }
    }
}

/// Rule A: all five fields or none.
fn five_fields(headers: &HeaderMap, found: &mut Found) {
    let there = agentxpay::CHALLENGE_FIELDS.iter().filter(|name| headers.contains_key(**name)).count();
    let missing = agentxpay::CHALLENGE_FIELDS.len() - there;
    if there > 0 && missing > 0 {
        let names: Vec<&str> =
            agentxpay::CHALLENGE_FIELDS.iter().copied().filter(|name| !headers.contains_key(*name)).collect();
        found.error(
            Some(&agentxpay::ID),
            format!("{missing} of its five fields are missing: {}", names.join(", ")),
        );
    }
}

fn offers(spoken: &Spoken, now: Timestamp, found: &mut Found) {
    let Some(challenge) = &spoken.challenge else { return };
    let id = Some(&spoken.dialect);
    if challenge.offers.is_empty() {
        found.error(id, "it offers nothing that can be read");
    }
    for offer in &challenge.offers {
        if offer.amount.is_zero() {
            found.error(id, "an offer asks for nothing: clients refuse to sign that");
        }
        if offer.network.chain_id().is_some() && !is_account(&offer.pay_to) {
            found.error(id, "the payee of an offer is not an account of its network");
        }
        let needs_domain = offer.scheme == "exact" && offer.network.chain_id().is_some();
        if needs_domain && ["name", "version"].iter().any(|key| !offer.extra.contains_key(*key)) {
            found.warn(
                id,
                "an offer does not say the token's EIP-712 name and version: not every client knows them",
            );
        }
        let expires = offer.extra.get("expires").and_then(Value::as_u64).map(Timestamp);
        if spoken.dialect == want_pay::ID && expires.is_some_and(|expires| expires <= now) {
            found.error(id, "the request has expired already: is the clock right, or is an old 402 cached?");
        }
    }
}

fn is_account(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()) && digits.bytes().any(|b| b != b'0')
}

/// What costs more in one dialect than in another is a mistake, or a trap.
fn same_price(spoken: &[Spoken], found: &mut Found) {
    let all = spoken.iter().filter_map(|one| Some((&one.dialect, one.challenge.as_ref()?)));
    let mut known: Vec<(&Network, String, groat_core::Amount, String)> = Vec::new();
    for (dialect, challenge) in all {
        for offer in &challenge.offers {
            let asset = offer.asset.to_ascii_lowercase();
            let pay_to = offer.pay_to.to_ascii_lowercase();
            let other = known.iter().find(|(network, of, _, _)| **network == offer.network && *of == asset);
            match other {
                Some((_, _, amount, _)) if *amount != offer.amount => {
                    found.warn(
                        Some(dialect),
                        "it asks for another amount of the same token than another dialect",
                    );
                }
                Some((_, _, _, payee)) if *payee != pay_to => {
                    found.warn(
                        Some(dialect),
                        "it pays another account in the same token than another dialect",
                    );
                }
                Some(_) => {}
                None => known.push((&offer.network, asset, offer.amount, pay_to)),
            }
        }
    }
}
