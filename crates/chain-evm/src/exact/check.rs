//! The first, pure third of verification: everything that can be said without asking the chain.

use alloy_primitives::{Address, B256, U256};
use groat_core::{Offer, Payment, Reason, Timestamp};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

use super::proof::{EcdsaBytes, Proof, Signature};
use super::typed_data::{Domain, seconds};
use crate::chain::ChainLimits;
use crate::{account, assets};

/// A payment that is well formed, with what was found on the way.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// The proof.
    pub(super) proof: Proof,
    /// Token and chain.
    pub(super) domain: Domain,
    /// What was signed.
    pub(super) digest: B256,
    /// The price.
    pub(super) amount: U256,
    /// Whether the ECDSA signature is the payer's; says nothing yet for contracts.
    pub(super) ecdsa_fits: bool,
    /// The first thing wrong with the terms, told only after the signature was judged (as the official SDK does).
    pub(super) terms: Result<(), Reason>,
}

/// Reads and checks shape, scheme, network, domain, factory, and computes the rest for later judgement.
pub(super) fn check(
    payment: &Payment,
    offer: &Offer,
    limits: &ChainLimits,
    signers: &[Address],
    now: Timestamp,
) -> Result<Checked, Reason> {
    accepted_fits(payment, offer)?;
    let domain = domain(offer)?;
    if payment.network != offer.network {
        return Err(Reason::NetworkMismatch);
    }
    if assets::find(&offer.network, domain.asset).is_none() && !limits.assets.contains(&domain.asset) {
        return Err(Reason::AssetNotAllowed);
    }
    let proof = Proof::read(&payment.proof)?;
    let pay_to = account::parse(&offer.pay_to).ok_or(Reason::InvalidRequirements)?;
    payee_allowed(pay_to, domain.asset, limits, signers)?;
    let amount = offer.amount.as_u256();
    if limits.min_prices.iter().any(|(asset, least)| *asset == domain.asset && amount < *least) {
        return Err(Reason::PriceBelowMinimum);
    }
    if signers.contains(&proof.authorization.from) {
        return Err(Reason::PayerNotAllowed);
    }
    if let Signature::Counterfactual { factory, .. } = &proof.signature
        && !limits.factories.contains(factory)
    {
        return Err(Reason::FactoryNotAllowed);
    }
    let digest = domain.digest(&proof.authorization);
    let ecdsa_fits = match &proof.signature {
        Signature::Ecdsa(bytes) => recover(digest, bytes) == Some(proof.authorization.from),
        // Whoever has a key of his own needs no wallet deployed at our expense (threat row E18).
        Signature::Counterfactual { inner, .. } if signed_by_key(digest, inner, proof.authorization.from) => {
            return Err(Reason::InvalidSignature);
        }
        _ => false,
    };
    let terms = terms_fit(&proof, offer, pay_to, limits, now);
    Ok(Checked { amount, proof, domain, digest, ecdsa_fits, terms })
}

/// The signed domain: from our own table where the token is known, else from the seller's offer (threat row E02).
pub(crate) fn domain(offer: &Offer) -> Result<Domain, Reason> {
    let member = |name| offer.extra.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let (Some(name), Some(version)) = (member("name"), member("version")) else {
        return Err(Reason::MissingDomain);
    };
    let chain_id = offer.network.chain_id().ok_or(Reason::InvalidNetwork)?;
    let asset = account::parse(&offer.asset).ok_or(Reason::InvalidRequirements)?;
    if let Some(known) = assets::find(&offer.network, asset) {
        if known.name != name {
            return Err(Reason::TokenNameMismatch);
        }
        if known.version != version {
            return Err(Reason::TokenVersionMismatch);
        }
    }
    Ok(Domain { name, version, chain_id, asset })
}

/// The buyer's copy of the offer must not name another scheme or network (threat row B05: only ours is used).
fn accepted_fits(payment: &Payment, offer: &Offer) -> Result<(), Reason> {
    if payment.scheme != super::SCHEME || offer.scheme != super::SCHEME {
        return Err(Reason::InvalidScheme);
    }
    Ok(())
}

/// Nobody pays the zero account, the token itself or one of our signers by accident (threat row E23).
pub(crate) fn payee_allowed(
    pay_to: Address,
    asset: Address,
    limits: &ChainLimits,
    signers: &[Address],
) -> Result<(), Reason> {
    let nobody = pay_to.is_zero() || pay_to == asset || signers.contains(&pay_to);
    let unlisted = !limits.pay_to.is_empty() && !limits.pay_to.contains(&pay_to);
    if nobody || unlisted { Err(Reason::PayToNotAllowed) } else { Ok(()) }
}

fn terms_fit(
    proof: &Proof,
    offer: &Offer,
    pay_to: Address,
    limits: &ChainLimits,
    now: Timestamp,
) -> Result<(), Reason> {
    let authorization = &proof.authorization;
    if authorization.to != pay_to {
        return Err(Reason::RecipientMismatch);
    }
    if authorization.valid_before < U256::from(now.plus(limits.margin_s).0) {
        return Err(Reason::Expired);
    }
    if authorization.valid_after > U256::from(now.0) {
        return Err(Reason::NotYetValid);
    }
    if seconds(authorization.valid_before) > now.plus(limits.window_s_max).0 {
        return Err(Reason::WindowTooLong);
    }
    if authorization.value != offer.amount.as_u256() || authorization.value.is_zero() {
        return Err(Reason::AmountMismatch);
    }
    Ok(())
}

fn signed_by_key(digest: B256, signature: &[u8], account: Address) -> bool {
    let ecdsa = <[u8; 65]>::try_from(signature).ok();
    ecdsa.and_then(|bytes| recover(digest, &EcdsaBytes(bytes))) == Some(account)
}

/// Who signed; `None` for a signature that is out of range or malleable (high s, threat row E21).
pub(crate) fn recover(digest: B256, bytes: &EcdsaBytes) -> Option<Address> {
    let v = match bytes.0[64] {
        v @ (27 | 28) => v - 27,
        v @ (0 | 1) => v,
        _ => return None,
    };
    let id = RecoveryId::try_from(i32::from(v)).ok()?;
    let signature = RecoverableSignature::from_compact(&bytes.0[..64], id).ok()?;
    let mut low = signature.to_standard();
    low.normalize_s();
    if low.serialize_compact() != bytes.0[..64] {
        return None;
    }
    let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).ok()?;
    Some(crate::gas_key::address_of(&key))
}
