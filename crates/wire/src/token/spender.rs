//! Permits that name who may take the money and not whom it is for: Permit2 and EIP-2612.
//!
//! Their offers are of the scheme `permit` and say in `extra` which kind they want (`permitType`) and who is paid in the end
//! (`payee`); `pay_to` is the contract that may take the money and can give it to the payee only.
//!
//! The package knows Permit2. It decides by the name of the currency which kind it signs, so only components that it would sign
//! right stand where it looks; the others are in `permit_components`, which it does not read.

use groat_core::offer::Verbatim;
use groat_core::{Network, Offer, Payment, Reason};
use serde_json::{Map, Value, json};

use super::permit::{Signature, count, joined, number};
use super::{ID, PERMIT_SCHEME};
use crate::WireError;
use crate::members::Members;

const PLACE: &str = "permit";
/// The kinds, and what each calls the amount.
const KINDS: [(&str, &str); 2] = [("Permit2", "amount"), ("EIP2612", "value")];
/// Currencies that the package pays by authorization (ERC-3009) and never by Permit2.
const AUTHORIZED: [&str; 4] = ["USDC", "EURC", "AXLUSDC", "USDBC"];

fn kind_of(kind: &str) -> Option<(&'static str, &'static str)> {
    KINDS.into_iter().find(|(name, _)| *name == kind)
}

/// Whether a kind of permit is one of these.
pub(super) fn is_kind(kind: &str) -> bool {
    kind_of(kind).is_some()
}

/// Whether an offer is paid by such a permit.
pub(super) fn takes(offer: &Offer) -> bool {
    offer.scheme == PERMIT_SCHEME && offer.dialect.as_ref() == Some(&ID) && told(offer).is_some()
}

/// The kind of permit that an offer wants, and who is paid.
fn told(offer: &Offer) -> Option<(&'static str, &str)> {
    let text = |key| offer.extra.get(key).and_then(Value::as_str);
    Some((kind_of(text("permitType")?)?.0, text("payee")?))
}

/// Whether the package would sign this offer as it is meant.
pub(super) fn is_of_package(offer: &Offer) -> bool {
    let symbol = offer.currency.as_ref().map(|currency| currency.symbol.to_ascii_uppercase());
    told(offer).is_some_and(|(kind, _)| kind == "Permit2")
        && symbol.is_some_and(|symbol| !AUTHORIZED.contains(&symbol.as_str()))
}

/// What a component of such an offer says beside that of any token.
pub(super) fn add(component: &mut Value, offer: &Offer) {
    if let Some((kind, payee)) = told(offer) {
        component["permit_type"] = kind.into();
        component["payee"] = payee.into();
    }
}

/// The offer of a component that names its kind of permit; `None` where it is one that nobody here knows.
pub(super) fn offer(component: &Members<'_>, mut offer: Offer) -> Option<Offer> {
    let (kind, _) = kind_of(component.word("permit_type").ok()?)?;
    offer.scheme = PERMIT_SCHEME.to_owned();
    offer.dialect = Some(ID);
    offer.extra.insert("permitType".to_owned(), kind.into());
    offer.extra.insert("payee".to_owned(), component.word("payee").ok()?.into());
    Some(offer)
}

/// The permit of a payment that we signed; `None` for one of another scheme.
pub(super) fn write(payment: &Payment) -> Option<Result<Value, WireError>> {
    (payment.scheme == PERMIT_SCHEME).then(|| try_write(payment))
}

fn try_write(payment: &Payment) -> Result<Value, WireError> {
    let wrong = |problem: &str| WireError::malformed(PLACE, problem);
    let proof = Members::of(&payment.proof, PLACE)?;
    let (kind, amount) = kind_of(proof.word("permitType")?).ok_or_else(|| wrong("is of an unknown kind"))?;
    let signed = Members::of(proof.required("permit")?, PLACE)?;
    let signature = Signature::read(proof.text("signature")?).ok_or_else(|| {
        wrong("only the signature of a plain account, 65 bytes, can be written as a permit")
    })?;
    let chain_id = payment.network.chain_id().ok_or_else(|| wrong("is for EVM chains only"))?;
    let mut permit = json!({
        "permit_type": kind,
        "signature": { "signature_type": kind, "v": signature.v, "r": signature.r, "s": signature.s },
        "owner": signed.text("owner")?,
        "spender": signed.text("spender")?,
        "token": signed.text("token")?,
        "nonce": number(signed.text("nonce")?),
        "deadline": number(signed.text("deadline")?),
        "chain_id": chain_id,
    });
    permit[amount] = number(signed.text("amount")?);
    if let Some(permit2) = signed.text_or_none("permit2")? {
        permit["permit2_address"] = permit2.into();
    }
    Ok(permit)
}

/// The payment that such a permit is.
pub(super) fn read(kind: &str, value: &Value) -> Result<Payment, WireError> {
    let permit = Members::of(value, PLACE)?;
    let (kind, amount) = kind_of(kind).ok_or_else(|| permit.wrong("permit_type", "is not known"))?;
    let network = Network::parse(&format!("eip155:{}", count(&permit, "chain_id")?))
        .map_err(|_| permit.wrong("chain_id", "is not a chain that we know"))?;
    let signature = Members::of(permit.required("signature")?, "permit.signature")?;
    let token = permit.word("token")?;
    let mut signed = json!({
        "owner": permit.word("owner")?,
        "spender": permit.word("spender")?,
        "token": token,
        "amount": count(&permit, amount)?,
        // Of the package it is above 2^53; what is above 2^64 has to come as a text, because JSON numbers lose digits there.
        "nonce": count(&permit, "nonce")?,
        "deadline": count(&permit, "deadline")?,
    });
    if let Some(permit2) = permit.text_or_none("permit2_address")? {
        signed["permit2"] = permit2.into();
    }
    Ok(Payment {
        dialect: ID,
        scheme: PERMIT_SCHEME.to_owned(),
        network,
        proof: json!({ "permitType": kind, "permit": signed, "signature": joined(&signature)? }),
        accepted: Some(accepted(token)),
        resource: None,
        extensions: Map::new(),
    })
}

/// What such a permit repeats of its offer.
fn accepted(asset: &str) -> Verbatim {
    super::permit::accepted(asset)
}

/// The offer that a permit pays: of its kind, on its chain, in its token. One with exactly its amount and taker is meant before
/// one that only verification can turn down.
pub(super) fn choose<'o>(payment: &Payment, offers: &'o [Offer]) -> Result<&'o Offer, Reason> {
    let kind = payment.proof.get("permitType").and_then(Value::as_str);
    let signed = |key| payment.proof.get("permit").and_then(|permit| permit.get(key)?.as_str());
    let fits = |offer: &&Offer| {
        takes(offer)
            && offer.network == payment.network
            && offer.extra.get("permitType").and_then(Value::as_str) == kind
            && signed("token").is_some_and(|token| token.eq_ignore_ascii_case(&offer.asset))
    };
    let exact = |offer: &&Offer| {
        signed("amount") == Some(offer.amount.to_string().as_str())
            && signed("spender").is_some_and(|spender| spender.eq_ignore_ascii_case(&offer.pay_to))
    };
    let mut fitting = offers.iter().filter(fits);
    let first = fitting.clone().next().ok_or(Reason::NoMatchingRequirements)?;
    Ok(fitting.find(exact).unwrap_or(first))
}
