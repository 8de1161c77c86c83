//! The 402: one field for each offer, and what a buyer reads of it.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use groat_core::{Amount, Challenge, Network, Offer, Payment, Reason, Resource};
use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use serde_json::{Map, Value, json};

use super::echo::{self, Echo};
use super::id::{self, About};
use super::{CREDENTIAL, EXACT, ID, SCHEME, params};
use crate::members::Members;
use crate::{WireError, credentials, header};

/// Challenges that are told: all header fields of a 402 have to stay small.
const TOLD_MAX: usize = 3;
/// A challenge is good for so long, or for as long as a payment may take.
const LIFETIME_S: u64 = 300;
/// The code of a payment that is not for the challenge that it repeats (draft, section "Error Codes").
const INVALID: &str = "invalid_challenge";

/// The offers that can be said: tokens with authorizations of EIP-3009 on EVM chains.
pub(super) fn own(offers: &[Offer]) -> impl Iterator<Item = &Offer> {
    let is_own = |offer: &&Offer| offer.scheme == EXACT && terms(offer).is_some();
    offers.iter().filter(is_own).take(TOLD_MAX)
}

/// What is asked for. `authorization`, as the reference implementation calls it in its configuration, is more than the draft
/// says: without the token's EIP-712 name and version a buyer who does not know the token could not sign.
fn terms(offer: &Offer) -> Option<Value> {
    let text = |key| offer.extra.get(key).and_then(Value::as_str);
    if !matches!(text("assetTransferMethod"), None | Some("eip3009")) {
        return None;
    }
    let mut details = json!({
        "authorization": { "name": text("name")?, "version": text("version")? },
        "chainId": offer.network.chain_id()?,
        "credentialTypes": [CREDENTIAL],
    });
    if let Some(currency) = &offer.currency {
        details["decimals"] = currency.decimals.into();
    }
    Some(json!({
        "amount": offer.amount.to_string(),
        "currency": offer.asset,
        "methodDetails": details,
        "recipient": offer.pay_to,
    }))
}

/// The terms as they are told. Members are sorted and hold texts and whole numbers, so the text is canonical (RFC 8785).
fn request(offer: &Offer) -> Option<String> {
    Some(BASE64URL_NOPAD.encode(terms(offer)?.to_string().as_bytes()))
}

/// Adds a challenge for each offer, at this moment; without one there is none.
pub(super) fn write(challenge: &Challenge, headers: &mut HeaderMap) {
    let Some(moment) = &challenge.moment else { return };
    let (method, url) = (moment.method.as_str(), challenge.resource.url.as_str());
    let realm = realm(url);
    for (index, offer) in own(&challenge.offers).enumerate() {
        let Some(request) = request(offer) else { continue };
        let expires = moment.now.plus(offer.timeout_s.max(LIFETIME_S)).rfc3339();
        // Each its own number.
        let mut random = moment.random;
        random[15] ^= index as u8;
        let about = About { realm, method, url, request: &request, expires: &expires };
        let echo = Echo::new(id::issue(random, &about), realm, request, expires);
        if let Some(value) = params::write(&echo.params()) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
}

/// The host and port of a URL.
fn realm(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#', '"', '\\']).unwrap_or(rest.len());
    &rest[..end]
}

/// The offer that a payment repeats, if it is paid for this method and URL and carries the number of its challenge.
///
/// Whether the challenge has expired is not asked: an answer that was paid for is given again afterwards. The authorization
/// must have ended by then, and whoever settles it keeps to that.
pub(super) fn choose<'c>(payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
    let invalid = || Reason::from_code(INVALID);
    let echo = payment.accepted.as_ref().and_then(|told| Echo::from_text(told).ok());
    let echo = echo.ok_or(Reason::InvalidPayload)?;
    let told = echo.terms().map_err(|_| Reason::InvalidPayload)?;
    let offer = own(&challenge.offers).find(|offer| terms(offer).as_ref() == Some(&told));
    let offer = offer.ok_or(Reason::NoMatchingRequirements)?;

    let moment = challenge.moment.as_ref().ok_or_else(invalid)?;
    let (method, url) = (moment.method.as_str(), challenge.resource.url.as_str());
    let request = request(offer).ok_or_else(invalid)?;
    let expires = echo.expires.as_deref().ok_or_else(invalid)?;
    let about = About { realm: realm(url), method, url, request: &request, expires };
    let is_plain = echo.digest.is_none() && echo.opaque.is_none();
    if echo.realm != about.realm || !is_plain || !id::fits(&echo.id, &about) {
        return Err(invalid());
    }
    let signed = |key: &str| payment.proof.get("authorization").and_then(|signed| signed.get(key)?.as_str());
    let nonce = signed("nonce").and_then(|text| text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")));
    let nonce = nonce.and_then(|digits| HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok());
    let ends = signed("validBefore").and_then(|text| Amount::parse(text).ok());
    let ends_in_time = match (ends, echo.expires_at()) {
        (Some(ends), Some(expires)) => ends <= Amount::from_units(expires.0.into()),
        _ => false,
    };
    match nonce.as_deref() == Some(&echo.nonce()) && ends_in_time {
        true => Ok(offer),
        false => Err(invalid()),
    }
}

/// Reads a 402. Challenges of other methods, and of kinds of credentials that we do not make, are left out.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Option<Challenge>, WireError> {
    let place = "www-authenticate";
    let size_bytes_max = header::RESPONSE_SIZE_BYTES_MAX;
    if headers.get_all(WWW_AUTHENTICATE).iter().map(|value| value.len()).sum::<usize>() > size_bytes_max {
        return Err(WireError::TooLarge { place, size_bytes_max });
    }
    let mut found = Vec::new();
    let mut problem = None;
    for value in credentials::spoken(headers, &WWW_AUTHENTICATE, &[SCHEME]) {
        // The draft has UTF-8 in descriptions; what is none cannot be repeated.
        let Ok(text) = std::str::from_utf8(value.as_bytes()) else { continue };
        match params::read(text) {
            Ok(challenges) => found.extend(challenges),
            Err(error) => problem = Some(error),
        }
    }
    let mut description = String::new();
    let mut offers = Vec::new();
    for told in found {
        let is = |key: &str, word: &str| told.get(key).and_then(Value::as_str) == Some(word);
        if !is("method", super::METHOD) || !is("intent", super::INTENT) {
            continue;
        }
        match read_offer(Value::Object(told), place) {
            Ok(Some((offer, told))) => {
                description = told.unwrap_or(description);
                offers.push(offer);
            }
            Ok(None) => {}
            Err(error) => problem = Some(error),
        }
    }
    match (offers.is_empty(), problem) {
        (true, Some(problem)) => Err(problem),
        (true, None) => Ok(None),
        (false, _) => Ok(Some(Challenge {
            resource: Resource { url: String::new(), description, mime_type: String::new() },
            offers,
            pass_at: None,
            moment: None,
            error: error(body),
            extensions: Map::new(),
        })),
    }
}

/// An offer with the challenge that it was told in, and its description.
fn read_offer(told: Value, place: &'static str) -> Result<Option<(Offer, Option<String>)>, WireError> {
    let echo = Echo::read(&told, place)?;
    let terms = echo.terms()?;
    let members = Members::of(&terms, "request")?;
    let details = members.object("methodDetails")?;
    let is_listed = |kinds: &Vec<Value>| kinds.iter().any(|kind| kind == CREDENTIAL);
    let takes_ours = details.get("credentialTypes").and_then(Value::as_array).is_some_and(is_listed);
    let is_split =
        details.get("splits").is_some_and(|splits| splits.as_array().is_none_or(|all| !all.is_empty()));
    if !takes_ours || is_split || echo.has_own_field().is_none() {
        return Ok(None);
    }
    let amount = Amount::parse(members.text("amount")?);
    let network: Network = echo::network(&terms)?;
    let domain = details.get("authorization").and_then(Value::as_object);
    let named = |key: &str| Some((key.to_owned(), json!(domain?.get(key)?.as_str()?)));
    let offer = Offer {
        scheme: EXACT.to_owned(),
        network,
        asset: members.word("currency")?.to_owned(),
        amount: amount.map_err(|_| members.wrong("amount", "is not a whole number of units"))?,
        pay_to: members.word("recipient")?.to_owned(),
        timeout_s: LIFETIME_S,
        extra: ["name", "version"].into_iter().filter_map(named).collect(),
        price: None,
        dialect: Some(ID),
        currency: None,
        verbatim: Some(echo.text().into()),
    };
    Ok(Some((offer, echo.description)))
}

/// What the body says of a refusal: a code as ours, or the last word of a problem's type (RFC 9457).
fn error(body: &[u8]) -> String {
    let Ok(body) = crate::json::parse_to_depth(body, "body", header::RESPONSE_SIZE_BYTES_MAX, 32) else {
        return String::new();
    };
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let problem = || text("type").and_then(|kind| kind.rsplit('/').next());
    text("error").or_else(problem).unwrap_or_default().to_owned()
}
