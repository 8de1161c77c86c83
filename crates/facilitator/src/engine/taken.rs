//! Payments out of a book of ours: taken in one commit there, and then written down here.

use std::sync::Arc;

use groat_core::ports::{Cashier, Seen};
use groat_core::{Claim, Failure, Network, Offer, Payment, Reason, Receipt};
use groat_failpoints::reach;

use super::Engine;
use super::terms::{ended, fitting, same_terms};

impl Engine {
    /// Who takes payments of this offer out of a book of ours.
    pub(super) fn cashier(&self, offer: &Offer) -> Option<&Arc<dyn Cashier>> {
        let fits =
            |cashier: &&Arc<dyn Cashier>| cashier.scheme() == offer.scheme && cashier.speaks(&offer.network);
        self.0.cashiers.iter().find(fits)
    }

    /// Whether this network has no blocks that could be replaced.
    pub(super) fn is_taken_from(&self, network: &Network) -> bool {
        self.0.cashiers.iter().any(|cashier| cashier.speaks(network))
    }

    /// Whether the payment could be taken now.
    pub(super) async fn verify_taken(
        &self,
        cashier: &dyn Cashier,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<Claim, Failure> {
        let (key, _) = cashier.key(payment, offer)?;
        let known = self.0.journal.load(&key.id().to_string()).await?.map(|entry| entry.record.payer);
        let known = match known {
            Some(payer) => Some(payer),
            None => cashier.taken(payment, offer).await?.map(|seen| seen.claim.payer),
        };
        if let Some(payer) = known {
            return Err(Failure::from(Reason::NonceAlreadyUsed).by(&payer));
        }
        let claim = match cashier.verify(payment, offer, self.now()).await {
            Err(Failure::Refused(refusal)) if refusal.reason == Reason::InsufficientBalance => {
                let taken = cashier.taken(payment, offer).await?;
                return Err(match taken {
                    Some(seen) => Failure::from(Reason::NonceAlreadyUsed).by(&seen.claim.payer),
                    None => refusal.into(),
                });
            }
            claim => claim?,
        };
        Ok(fitting(claim, offer, cashier)?.into_parts().0)
    }

    /// Takes the payment, once. What was taken before a crash and not written down here is found where it was taken.
    pub(super) async fn settle_taken(
        &self,
        cashier: &dyn Cashier,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<Receipt, Failure> {
        let (key, _) = cashier.key(payment, offer)?;
        let id = key.id().to_string();
        let record = match self.0.journal.load(&id).await? {
            Some(entry) => entry.record,
            None => {
                let seen = match cashier.taken(payment, offer).await? {
                    Some(seen) => seen,
                    None => match self.take_anew(cashier, payment, offer).await {
                        // Perhaps because another call has taken this very payment since we asked.
                        Err(Failure::Refused(refusal)) if refusal.reason == Reason::InsufficientBalance => {
                            cashier.taken(payment, offer).await?.ok_or(refusal)?
                        }
                        taken => taken?,
                    },
                };
                let Seen { claim, settled } = seen;
                let verified = fitting(claim, offer, cashier)?;
                self.write_down(self.settled(verified, settled, payment)).await?.0
            }
        };
        if !same_terms(record.amount, &record.pay_to, offer, cashier) {
            return Err(Reason::AmountMismatch.into());
        }
        ended(&record).unwrap_or_else(|| Err(Reason::SettlementPending.into()))
    }
}

impl Engine {
    async fn take_anew(
        &self,
        cashier: &dyn Cashier,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<Seen, Failure> {
        let claim = cashier.verify(payment, offer, self.now()).await?;
        let payer = claim.payer.clone();
        let verified = fitting(claim, offer, cashier)?;
        let taken = cashier.take(&verified, self.now()).await;
        reach("KP21");
        taken.map_err(|failure| failure.by(&payer))
    }
}
