//! The 402 of this dialect: three header fields without a price, and a body with one.

use groat_core::offer::Currency;
use groat_core::{Amount, Challenge, Network, Offer, Resource};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value, json};

use super::{ENDPOINT_HEADER, SCHEME, SCHEME_HEADER, SCHEMES_PATH, TIMEOUT_S, offchain, spender};
use crate::members::Members;
use crate::{ChallengeParts, WireError, json};

const PLACE: &str = "body";
const SIZE_BYTES_MAX: usize = 64 * 1024;
/// Components that are read of a 402.
const COMPONENTS_MAX: usize = 32;

const INSTRUCTION: &str = "Sign one of the payment_components, POST {version, permit} to access_token_endpoint, and send \
    the request again with the access_token as a Bearer token.";

/// Adds the header fields and the members of the body, where a payment buys a pass and an offer can be paid this way.
pub(super) fn write(challenge: &Challenge, out: &mut ChallengeParts) {
    let Some(endpoint) = &challenge.pass_at else { return };
    let components: Vec<Value> = challenge.offers.iter().filter_map(component).collect();
    let offchain: Vec<Value> = challenge.offers.iter().filter_map(offchain::component).collect();
    let aside =
        challenge.offers.iter().filter(|offer| spender::takes(offer) && !spender::is_of_package(offer));
    let permits: Vec<Value> = aside.filter_map(described).collect();
    if components.is_empty() && permits.is_empty() && offchain.is_empty() {
        return;
    }
    let (origin, host) = place(&challenge.resource.url);
    let authenticate = format!(r#"Bearer realm="{host}", token_type="access_token""#);
    let fields = [
        (WWW_AUTHENTICATE, authenticate),
        (
            HeaderName::from_static(SCHEME_HEADER),
            schemes(origin, !components.is_empty() || !permits.is_empty(), &offchain),
        ),
        (HeaderName::from_static(ENDPOINT_HEADER), endpoint.clone()),
    ];
    for (name, text) in fields {
        if let Ok(value) = HeaderValue::try_from(text) {
            out.headers.append(name, value);
        }
    }
    let mut scheme = json!({ "payment_components": components, "protocol_version": "Version 0.1" });
    if !permits.is_empty() {
        scheme["permit_components"] = permits.into();
    }
    if !offchain.is_empty() {
        scheme["offchain_components"] = offchain.into();
    }
    let members = [
        ("reason", json!(challenge.error)),
        ("access_token_endpoint", json!(endpoint)),
        ("payment_scheme", scheme),
        ("payment_instruction", json!(INSTRUCTION)),
    ];
    out.body.extend(members.map(|(key, value)| (key.to_owned(), value)));
}

/// The URIs of the ways to pay, each once.
fn schemes(origin: &str, is_onchain: bool, offchain: &[Value]) -> String {
    let mut names: Vec<&str> = if is_onchain { vec!["evm"] } else { vec![] };
    for name in offchain.iter().filter_map(|component| component["payment_type"].as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let uris: Vec<String> = names.iter().map(|name| format!("{origin}{SCHEMES_PATH}/{name}")).collect();
    uris.join(", ")
}

/// `https://host` and `host` of a URL; nothing of one that is none.
fn place(url: &str) -> (&str, &str) {
    let Some(at) = url.find("://") else { return ("", "") };
    let end = url[at + 3..].find(['/', '?', '"', '\\']).map_or(url.len(), |end| at + 3 + end);
    (&url[..end], &url[at + 3..end])
}

/// An offer as the package reads it: an EVM token with a known name, version and decimals (rule M: nothing is null).
fn component(offer: &Offer) -> Option<Value> {
    let is_read = offer.scheme == SCHEME || spender::takes(offer) && spender::is_of_package(offer);
    is_read.then(|| described(offer)).flatten()
}

/// An offer of a token as a component, whoever reads it.
fn described(offer: &Offer) -> Option<Value> {
    let currency = offer.currency.as_ref()?;
    offer.network.chain_id()?;
    let domain = |key| offer.extra.get(key).and_then(Value::as_str);
    let mut component = json!({
        "payment_type": "evm",
        "amount": human(offer.amount, currency.decimals),
        "currency": currency.symbol,
        "metadata": {},
        "caip2": offer.network,
        "pay_to": offer.pay_to,
        "token": offer.asset,
        "token_name": domain("name")?,
        "token_decimals": currency.decimals,
        "token_version": domain("version")?,
    });
    if spender::takes(offer) {
        spender::add(&mut component, offer);
    }
    Some(component)
}

/// The amount as a JSON number where that is exact, else as a text, which the package reads too.
fn human(amount: Amount, decimals: u8) -> Value {
    let text = amount.to_decimal(decimals);
    let number = text.parse().ok().and_then(Number::from_f64);
    let is_exact = |number: &Number| Amount::parse_decimal(&number.to_string(), decimals) == Some(amount);
    number.filter(is_exact).map_or_else(|| json!(text), Value::Number)
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    payment_scheme: Scheme<'a>,
}

#[derive(Deserialize)]
struct Scheme<'a> {
    #[serde(borrow)]
    payment_components: Vec<Priced<'a>>,
    #[serde(borrow, default)]
    permit_components: Vec<Priced<'a>>,
}

/// The amount to the letter: a number that went through a double is another number.
#[derive(Deserialize)]
struct Priced<'a> {
    #[serde(borrow, default)]
    amount: Option<&'a RawValue>,
}

/// Reads a body. Components that are not of our world are left out.
pub(super) fn read(body: &[u8]) -> Result<Option<Challenge>, WireError> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Ok(None);
    }
    let value = json::parse_to_depth(body, PLACE, SIZE_BYTES_MAX, 32)?;
    let members = Members::of(&value, PLACE)?;
    let (Some(endpoint), Some(scheme)) =
        (members.value("access_token_endpoint"), members.value("payment_scheme"))
    else {
        return Ok(None);
    };
    let endpoint = endpoint.as_str().filter(|path| is_path(path));
    let endpoint =
        endpoint.ok_or_else(|| members.wrong("access_token_endpoint", "is not a path of this host"))?;
    let scheme = Members::of(scheme, "payment_scheme")?;
    let components = scheme.array("payment_components")?;
    let offchain = scheme.value("offchain_components").and_then(Value::as_array);
    let offchain = offchain.into_iter().flatten().take(COMPONENTS_MAX).filter_map(offchain::read_component);
    let texts = serde_json::from_slice::<Body<'_>>(body)
        .map_err(|_| members.wrong("payment_scheme", "is unclear"))?;
    let permits = scheme.value("permit_components").and_then(Value::as_array);
    let Scheme { payment_components, permit_components } = texts.payment_scheme;
    let offers = components.iter().zip(&payment_components).take(COMPONENTS_MAX);
    let permits = permits.into_iter().flatten().zip(&permit_components).take(COMPONENTS_MAX);
    let offers = offers.chain(permits);
    let offers = offers.filter_map(|(value, priced)| read_component(value, priced.amount?.get()));
    let offers = offers.chain(offchain).collect();
    let told = |key| members.value(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Some(Challenge {
        resource: Resource {
            url: String::new(),
            description: told("description"),
            mime_type: told("mimeType"),
        },
        offers,
        pass_at: Some(endpoint.to_owned()),
        moment: None,
        error: told("reason"),
        extensions: Map::new(),
    }))
}

/// An absolute path and nothing that could lead to another host: the package joins it to the origin as text (threat row
/// T13).
fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= 2_048
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"'))
}

fn read_component(value: &Value, amount: &str) -> Option<Offer> {
    let members = Members::of(value, PLACE).ok()?;
    if members.text("payment_type").ok()? != "evm" {
        return None;
    }
    // The package takes `eip155-84532` too.
    let network = Network::parse(&members.word("caip2").ok()?.replacen('-', ":", 1)).ok()?;
    let text_or_count = |key| match members.value(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let decimals: u8 = text_or_count("token_decimals")?.parse().ok()?;
    let extra =
        [("name", members.word("token_name").ok()?.to_owned()), ("version", text_or_count("token_version")?)];
    let offer = Offer {
        scheme: SCHEME.to_owned(),
        network,
        asset: members.word("token").ok()?.to_owned(),
        amount: Amount::parse_decimal(amount.trim_matches('"'), decimals)?,
        pay_to: members.word("pay_to").ok()?.to_owned(),
        timeout_s: TIMEOUT_S,
        extra: extra.map(|(key, text)| (key.to_owned(), json!(text))).into_iter().collect(),
        price: None,
        dialect: None,
        currency: Some(Currency { symbol: members.word("currency").ok()?.to_owned(), decimals }),
        verbatim: None,
    };
    match members.value("permit_type") {
        None => Some(offer),
        Some(_) => spender::offer(&members, offer),
    }
}
