//! A payment that has been compared with the offer it pays: the only thing that can be settled.

use crate::{Amount, Network, Offer, PaymentKey, Reason, Timestamp};

/// What a payment says about itself once a mechanism has checked that its payer really said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The replay key.
    pub key: PaymentKey,
    /// The chain.
    pub network: Network,
    /// The token, in the spelling of the mechanism.
    pub asset: String,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// How much.
    pub amount: Amount,
    /// From when on the chain may accept it; later than now means not yet.
    pub valid_from: Timestamp,
    /// From when on the chain will refuse it.
    pub valid_until: Timestamp,
    /// Whether no other payment may share its transaction: strangers' code takes part in it.
    pub alone: bool,
    /// What the payer has of the token, where that was asked.
    pub funds: Option<Funds>,
}

/// A balance, as seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Funds {
    /// Atomic units.
    pub amount: Amount,
    /// After this block.
    pub block: u64,
}

/// Proof that a claim fits an offer. It cannot be made up, copied or dropped in silence:
///
/// ```compile_fail
/// # use groat_core::{Verified, Claim, Offer};
/// fn forge(claim: Claim, offer: Offer) -> Verified { Verified { claim, offer } }
/// ```
/// ```compile_fail
/// # use groat_core::Verified;
/// fn twice(verified: &Verified) -> Verified { verified.clone() }
/// ```
#[derive(Debug)]
#[must_use = "a verified payment has to be settled or released"]
pub struct Verified {
    claim: Claim,
    offer: Offer,
}

impl Verified {
    /// Compares what the payer signed with what the seller asks. `same_account` decides whether two spellings
    /// of an account of this network are the same account.
    pub fn compare(
        claim: Claim,
        offer: &Offer,
        same_account: impl Fn(&str, &str) -> bool,
    ) -> Result<Self, Reason> {
        if claim.network != offer.network {
            return Err(Reason::NetworkMismatch);
        }
        if !same_account(&claim.asset, &offer.asset) {
            return Err(Reason::AssetNotAllowed);
        }
        if !same_account(&claim.pay_to, &offer.pay_to) {
            return Err(Reason::RecipientMismatch);
        }
        if claim.amount != offer.amount || claim.amount.is_zero() {
            return Err(Reason::AmountMismatch);
        }
        Ok(Self { claim, offer: offer.clone() })
    }

    /// What the payer said.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// What it pays.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Takes it apart at the end of its life.
    pub fn into_parts(self) -> (Claim, Offer) {
        (self.claim, self.offer)
    }
}
