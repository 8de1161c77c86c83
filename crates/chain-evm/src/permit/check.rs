//! The first, pure third of verification: everything that can be said without asking the chain.

use alloy_primitives::{Address, B256, U256};
use groat_core::{Offer, Payment, Reason, Timestamp};

use super::{Permit, PermitKind, SCHEME, Taking, typed_data};
use crate::assets;
use crate::chain::ChainLimits;
use crate::exact::{domain, payee_allowed, recover};

/// A payment that is well formed and signed for this offer.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) permit: Permit,
    pub(super) till: Address,
    pub(super) payee: Address,
    /// What the token must say of its domain; Permit2's is the same everywhere.
    pub(super) separator: Option<B256>,
}

/// Garbage costs no question to the node (threat rows E01, O03): all of it is refused here. Only plain accounts sign permits:
/// the 65 bytes must be the owner's.
pub(super) fn check(
    payment: &Payment,
    offer: &Offer,
    limits: &ChainLimits,
    signers: &[Address],
    now: Timestamp,
) -> Result<Checked, Reason> {
    if payment.scheme != SCHEME || offer.scheme != SCHEME {
        return Err(Reason::InvalidScheme);
    }
    if payment.network != offer.network {
        return Err(Reason::NetworkMismatch);
    }
    let Taking { kind, payee, till, asset } = Taking::of(offer)?;
    // From our table or the seller's offer, never from the payment (threat row E02).
    let domain = domain(offer)?;
    if assets::find(&offer.network, asset).is_none() && !limits.assets.contains(&asset) {
        return Err(Reason::AssetNotAllowed);
    }
    let permit = Permit::read(&payment.proof)?;
    if permit.kind != kind {
        return Err(Reason::InvalidPayload);
    }
    payee_allowed(payee, asset, limits, signers)?;
    let price = offer.amount.as_u256();
    if limits.min_prices.iter().any(|(listed, least)| *listed == asset && price < *least) {
        return Err(Reason::PriceBelowMinimum);
    }
    // Whoever pays themselves pays nobody.
    if signers.contains(&permit.owner) || permit.owner == payee {
        return Err(Reason::PayerNotAllowed);
    }
    if permit.token != asset {
        return Err(Reason::AssetNotAllowed);
    }
    if recover(typed_data::permit_digest(&permit, &domain), &permit.signature) != Some(permit.owner) {
        return Err(Reason::InvalidSignature);
    }
    terms_fit(&permit, till, price, limits, now)?;
    let separator = (kind == PermitKind::Eip2612).then(|| domain.separator());
    Ok(Checked { permit, till, payee, separator })
}

fn terms_fit(
    permit: &Permit,
    till: Address,
    price: U256,
    limits: &ChainLimits,
    now: Timestamp,
) -> Result<(), Reason> {
    if permit.spender != till {
        return Err(Reason::RecipientMismatch);
    }
    if permit.deadline < U256::from(now.plus(limits.margin_s).0) {
        return Err(Reason::Expired);
    }
    if permit.deadline > U256::from(now.plus(limits.window_s_max).0) {
        return Err(Reason::WindowTooLong);
    }
    if permit.amount != price || price.is_zero() {
        return Err(Reason::AmountMismatch);
    }
    Ok(())
}
