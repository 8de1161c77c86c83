//! Payments that were made before they were shown: looked at, and written down once.

use std::sync::Arc;

use groat_core::books::{Settlement, SettlementState};
use groat_core::ports::{Observer, Seen};
use groat_core::{Claim, Failure, Network, Offer, Payment, Reason, Receipt, Verified};

use super::Engine;
use super::terms::{ended, same_terms};

impl Engine {
    /// Who looks for payments of this offer, when they are made without us.
    pub(super) fn observer(&self, offer: &Offer) -> Option<&Arc<dyn Observer>> {
        let fits = |observer: &&Arc<dyn Observer>| {
            observer.scheme() == offer.scheme && observer.speaks(&offer.network)
        };
        self.0.observers.iter().find(fits)
    }

    pub(super) fn observer_of(&self, network: &Network) -> Option<&Arc<dyn Observer>> {
        self.0.observers.iter().find(|observer| observer.speaks(network))
    }

    /// Whether the payment is there and has bought nothing yet.
    pub(super) async fn verify_seen(
        &self,
        observer: &dyn Observer,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<Claim, Failure> {
        let (key, _) = observer.key(payment, offer)?;
        if let Some(entry) = self.0.journal.load(&key.id().to_string()).await? {
            return Err(Failure::from(Reason::NonceAlreadyUsed).by(&entry.record.payer));
        }
        let (verified, _) = self.see(observer, payment, offer).await?;
        Ok(verified.into_parts().0)
    }

    /// Takes the payment, once: whoever writes it into the book first has it.
    pub(super) async fn settle_seen(
        &self,
        observer: &dyn Observer,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<Receipt, Failure> {
        let (key, _) = observer.key(payment, offer)?;
        let known = self.0.journal.load(&key.id().to_string()).await?;
        let record = match known {
            Some(entry) => entry.record,
            None => {
                let (verified, seen) = self.see(observer, payment, offer).await?;
                let settled = SettlementState::Settled(seen.settled);
                let record = Settlement { told: true, state: settled, ..self.held(verified, payment) };
                match self.0.journal.create(record).await? {
                    Some(entry) => entry.record,
                    // Another instance was faster; what it wrote counts.
                    None => match self.0.journal.load(&key.id().to_string()).await? {
                        Some(entry) => entry.record,
                        None => return Err(Reason::SettlementPending.into()),
                    },
                }
            }
        };
        if !same_terms(record.amount, &record.pay_to, offer, observer) {
            return Err(Reason::AmountMismatch.into());
        }
        ended(&record).unwrap_or_else(|| Err(Reason::SettlementPending.into()))
    }

    async fn see(
        &self,
        observer: &dyn Observer,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<(Verified, Seen), Failure> {
        let seen = observer.observe(payment, offer, self.now()).await?;
        let payer = seen.claim.payer.clone();
        let same = |one: &str, other: &str| observer.same_account(one, other);
        let verified = Verified::compare(seen.claim.clone(), offer, same);
        Ok((verified.map_err(|reason| Failure::from(reason).by(&payer))?, seen))
    }
}
