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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyKind;

    fn offer() -> Offer {
        Offer {
            scheme: "exact".into(),
            network: Network::eip155(84532),
            asset: "token".into(),
            amount: Amount::from_units(2),
            pay_to: "payee".into(),
            timeout_s: 60,
            extra: serde_json::Map::new(),
            price: None,
            dialect: None,
            currency: None,
            verbatim: None,
        }
    }

    fn claim() -> Claim {
        Claim {
            key: PaymentKey::new(KeyKind::Eip3009, &Network::eip155(84532), &[]),
            network: Network::eip155(84532),
            asset: "TOKEN".into(),
            payer: "payer".into(),
            pay_to: "Payee".into(),
            amount: Amount::from_units(2),
            valid_from: Timestamp(0),
            valid_until: Timestamp(9),
            alone: false,
            funds: None,
        }
    }

    fn refused(claim: Claim, offer: &Offer) -> Option<Reason> {
        Verified::compare(claim, offer, str::eq_ignore_ascii_case).err()
    }

    #[test]
    fn b01_b02_b03_only_the_offered_sum_of_the_offered_token_to_the_offered_payee_fits() {
        assert_eq!(refused(claim(), &offer()), None);
        let network = Claim { network: Network::eip155(8453), ..claim() };
        assert_eq!(refused(network, &offer()), Some(Reason::NetworkMismatch));
        let asset = Claim { asset: "tokens".into(), ..claim() };
        assert_eq!(refused(asset, &offer()), Some(Reason::AssetNotAllowed));
        let payee = Claim { pay_to: "payer".into(), ..claim() };
        assert_eq!(refused(payee, &offer()), Some(Reason::RecipientMismatch));
        for units in [0, 1, 3] {
            let amount = Claim { amount: Amount::from_units(units), ..claim() };
            assert_eq!(refused(amount, &offer()), Some(Reason::AmountMismatch));
        }
        let nothing = Claim { amount: Amount::ZERO, ..claim() };
        assert_eq!(
            refused(nothing, &Offer { amount: Amount::ZERO, ..offer() }),
            Some(Reason::AmountMismatch)
        );
    }
}
