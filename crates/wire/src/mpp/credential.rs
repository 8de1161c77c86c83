//! The payment: the challenge again, an authorization, and whose account it is.

use data_encoding::BASE64URL_NOPAD;
use groat_core::{Network, Payment};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::echo::{self, Echo};
use super::{CREDENTIAL, EXACT, ID, PAYMENT_HEADER, SCHEME};
use crate::header::{PAYMENT_JSON_SIZE_BYTES_MAX, PAYMENT_SIZE_BYTES_MAX};
use crate::members::Members;
use crate::{WireError, credentials, json};

/// Members of an authorization.
const SIGNED: [&str; 6] = ["from", "to", "value", "validAfter", "validBefore", "nonce"];

/// Reads the payment of a request, from the field that its challenge selects.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
    let own = headers.get_all(PAYMENT_HEADER).iter().map(|value| (PAYMENT_HEADER, value));
    let shared = credentials::spoken(headers, &AUTHORIZATION, &[SCHEME]);
    let mut fields = own.chain(shared.map(|value| ("authorization", value)));
    let Some((place, value)) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(WireError::Ambiguous);
    }
    let bytes = decode(value, place)?;
    let payment = json::parse(&bytes, place, PAYMENT_JSON_SIZE_BYTES_MAX)?;
    let members = Members::of(&payment, place)?;
    let echo = Echo::read(members.required("challenge")?, place)?;
    if echo.has_own_field() != Some(place == PAYMENT_HEADER) {
        return Err(members.wrong("challenge", "selects another header field than this one"));
    }
    let payload = Members::of(members.required("payload")?, place)?;
    if payload.text("type")? != CREDENTIAL {
        return Err(payload.wrong("type", "is not `authorization`: no other credential is taken here"));
    }
    let mut signed = Map::new();
    for key in SIGNED {
        signed.insert(key.to_owned(), payload.word(key)?.into());
    }
    let signature = payload.word("signature")?;
    let network = echo::network(&echo.terms()?)?;
    if let Some(told) = members.text_or_none("source")?
        && !told.eq_ignore_ascii_case(&source(&network, payload.word("from")?))
    {
        return Err(members.wrong("source", "is not the account that has signed"));
    }
    Ok(Some(Payment {
        dialect: ID,
        scheme: EXACT.to_owned(),
        network,
        proof: json!({ "authorization": signed, "signature": signature }),
        accepted: Some(echo.text().into()),
        resource: None,
        extensions: Map::new(),
    }))
}

fn decode(value: &HeaderValue, place: &'static str) -> Result<Vec<u8>, WireError> {
    let size_bytes_max = PAYMENT_SIZE_BYTES_MAX;
    if value.len() > size_bytes_max {
        return Err(WireError::TooLarge { place, size_bytes_max });
    }
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)).map(|(_, token)| token.trim());
    // A list of credentials, which some send, ends here as well.
    token.and_then(|token| BASE64URL_NOPAD.decode(token.as_bytes()).ok()).ok_or_else(|| {
        WireError::malformed(place, "not `Payment` and base64url without padding, alone in its field")
    })
}

/// Adds a payment to a request. What the caller says in `Authorization` is never replaced.
pub(super) fn write(payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError> {
    let place = "challenge";
    let told = payment.accepted.as_ref();
    let told = told.ok_or_else(|| WireError::malformed(place, "is missing: accept an offer first"))?;
    let echo = Echo::from_text(told)?;
    let proof = Members::of(&payment.proof, "payload")?;
    let signed = Members::of(proof.required("authorization")?, "payload")?;
    let mut payload = Map::new();
    for key in SIGNED {
        payload.insert(key.to_owned(), signed.text(key)?.into());
    }
    payload.insert("signature".to_owned(), proof.text("signature")?.into());
    payload.insert("type".to_owned(), CREDENTIAL.into());
    let source = source(&payment.network, signed.text("from")?);
    let challenge: Value = told.value().cloned().unwrap_or_default();
    let json = json!({ "challenge": challenge, "payload": payload, "source": source }).to_string();
    let size_bytes_max = PAYMENT_JSON_SIZE_BYTES_MAX;
    if json.len() > size_bytes_max {
        return Err(WireError::TooLarge { place: PAYMENT_HEADER, size_bytes_max });
    }
    let value = HeaderValue::try_from(format!("Payment {}", BASE64URL_NOPAD.encode(json.as_bytes())));
    let value = value.map_err(|_| WireError::malformed(PAYMENT_HEADER, "cannot be written"))?;
    match echo.has_own_field() {
        Some(true) => headers.insert(HeaderName::from_static(PAYMENT_HEADER), value),
        Some(false) if headers.contains_key(AUTHORIZATION) => {
            let problem = "the request has credentials of its own there, and the seller wants its payment in the same field";
            return Err(WireError::malformed("authorization", problem));
        }
        Some(false) => headers.insert(AUTHORIZATION, value),
        None => return Err(WireError::malformed(place, "selects a field that no payment may be in")),
    };
    Ok(())
}

/// The payer as a DID of the method `pkh`.
fn source(network: &Network, account: &str) -> String {
    format!("did:pkh:{network}:{account}")
}
