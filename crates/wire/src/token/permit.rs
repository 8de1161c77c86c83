//! The permit of a token: an EIP-3009 authorization with other names, numbers as JSON numbers, and the signature in three parts.

use groat_core::offer::Verbatim;
use groat_core::{Amount, Network, Offer, Payment, Reason};
use serde_json::{Map, Value, json};

use super::{ID, SCHEME};
use crate::WireError;
use crate::members::Members;

const PLACE: &str = "permit";
/// The kind of permit that is an authorization of a token.
pub(super) const ERC3009: &str = "ERC3009";

/// The permit of a payment that we signed.
pub(super) fn write(payment: &Payment) -> Result<Value, WireError> {
    let wrong = |problem: &str| WireError::malformed(PLACE, problem);
    let proof = Members::of(&payment.proof, PLACE)?;
    let signed = Members::of(proof.required("authorization")?, PLACE)?;
    let signature = Signature::read(proof.text("signature")?).ok_or_else(|| {
        wrong("only the signature of a plain account, 65 bytes, can be written as a permit")
    })?;
    let accepted = payment.accepted.as_ref().and_then(|accepted| accepted.value()?.get("asset"));
    let token = accepted.ok_or_else(|| wrong("names no token: accept an offer first"))?;
    let chain_id = payment.network.chain_id().ok_or_else(|| wrong("is for EVM chains only"))?;
    Ok(json!({
        "permit_type": ERC3009,
        "signature": { "signature_type": ERC3009, "v": signature.v, "r": signature.r, "s": signature.s },
        "token": token,
        "chain_id": chain_id,
        "authorizer": signed.text("from")?,
        "recipient": signed.text("to")?,
        "value": number(signed.text("value")?),
        "validAfter": number(signed.text("validAfter")?),
        "validBefore": number(signed.text("validBefore")?),
        "nonce": signed.text("nonce")?,
    }))
}

/// The payment that a permit is.
pub(super) fn read(value: &Value) -> Result<Payment, WireError> {
    let permit = Members::of(value, PLACE)?;
    let chain_id = count(&permit, "chain_id")?;
    let network = Network::parse(&format!("eip155:{chain_id}"))
        .map_err(|_| permit.wrong("chain_id", "is not a chain that we know"))?;
    let signature = Members::of(permit.required("signature")?, "permit.signature")?;
    let proof = json!({
        "authorization": {
            "from": permit.word("authorizer")?,
            "to": permit.word("recipient")?,
            "value": count(&permit, "value")?,
            "validAfter": count(&permit, "validAfter")?,
            "validBefore": count(&permit, "validBefore")?,
            "nonce": permit.word("nonce")?,
        },
        "signature": joined(&signature)?,
    });
    Ok(Payment {
        dialect: ID,
        scheme: SCHEME.to_owned(),
        network,
        proof,
        accepted: Some(accepted(permit.word("token")?)),
        resource: None,
        extensions: Map::new(),
    })
}

/// What a permit repeats of its offer.
pub(super) fn accepted(asset: &str) -> Verbatim {
    json!({ "asset": asset }).to_string().into()
}

/// The offer that a permit pays.
pub(super) fn choose<'o>(payment: &Payment, offers: &'o [Offer]) -> Result<&'o Offer, Reason> {
    let token = payment.accepted.as_ref().and_then(|accepted| accepted.value()?.get("asset")?.as_str());
    let token = token.ok_or(Reason::NoMatchingRequirements)?;
    let signed = |key| payment.proof.get("authorization").and_then(|signed| signed.get(key)?.as_str());
    let fits = |offer: &&Offer| {
        offer.scheme == payment.scheme
            && offer.network == payment.network
            && offer.asset.eq_ignore_ascii_case(token)
    };
    let exact = |offer: &&Offer| {
        signed("value") == Some(offer.amount.to_string().as_str())
            && signed("to").is_some_and(|to| to.eq_ignore_ascii_case(&offer.pay_to))
    };
    let mut fitting = offers.iter().filter(fits);
    let first = fitting.clone().next().ok_or(Reason::NoMatchingRequirements)?;
    Ok(fitting.find(exact).unwrap_or(first))
}

/// A signature in three parts.
pub(super) struct Signature {
    pub(super) v: u8,
    pub(super) r: String,
    pub(super) s: String,
}

impl Signature {
    /// Takes 65 bytes in hex apart.
    pub(super) fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 130 && digits.is_ascii())?;
        let v = u8::from_str_radix(&digits[128..], 16).ok()?;
        let v = if v < 27 { v + 27 } else { v };
        Some(Self { v, r: format!("0x{}", &digits[..64]), s: format!("0x{}", &digits[64..128]) })
    }
}

/// The three parts as 65 bytes in hex. The client of the package writes `r` and `s` without leading zeros: one of five
/// permits has fewer than 64 digits in one of them.
pub(super) fn joined(signature: &Members<'_>) -> Result<String, WireError> {
    let half = |key: &str| {
        let text = signature.text(key)?;
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let is_hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_hex || digits.len() > 64 {
            return Err(signature.wrong(key, "is not a number of at most 32 bytes in hex"));
        }
        Ok(format!("{:0>64}", digits.to_ascii_lowercase()))
    };
    let v = match count(signature, "v")?.as_str() {
        "0" | "27" => 27,
        "1" | "28" => 28,
        _ => return Err(signature.wrong("v", "is not 27 or 28")),
    };
    Ok(format!("0x{}{}{v:02x}", half("r")?, half("s")?))
}

/// A whole number, as a JSON number or a text, as canonical text.
pub(super) fn count(members: &Members<'_>, key: &str) -> Result<String, WireError> {
    let value = members.required(key)?;
    let text = match value {
        Value::Number(number) if number.is_u64() => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return Err(members.wrong(key, "is not a whole number")),
    };
    Amount::parse(&text).map(|_| text).map_err(|_| members.wrong(key, "is not a whole number"))
}

/// A number where JSON of other languages takes one, else its text.
pub(super) fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}
