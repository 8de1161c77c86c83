//! Payments that were made before they were shown: looked at, and written down once.

use std::sync::Arc;

use groat_core::books::{Found, Settlement, SettlementEvent, SettlementState};
use groat_core::ports::{Observer, Seen};
use groat_core::{
    Claim, Failure, Fault, Network, Offer, Payment, PaymentId, Reason, Receipt, Timestamp, Verified,
};
use groat_store::{Applied, Entry};

use super::Engine;
use super::terms::ended;
use super::watch::block_of;

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
        let (verified, _) = self.see(observer, payment, offer, self.now()).await?;
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
            Some(entry) => self.see_again(observer, entry, payment, offer).await?,
            None => {
                let (verified, seen) = self.see(observer, payment, offer, self.now()).await?;
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
        // How much has moved says the chain, and not who was the first to ask: it was seen for this offer.
        if !observer.same_account(&record.pay_to, &offer.pay_to) {
            return Err(Reason::RecipientMismatch.into());
        }
        ended(&record).unwrap_or_else(|| Err(Reason::SettlementPending.into()))
    }

    /// Looks a second time at a payment that the book knows, where that can tell something else: when it is shown for
    /// something else (its run came to nothing), it must be good for that; and after a reorganisation it may be in another
    /// block, or its payer may have sent another transaction. It has become no older than it was.
    pub(super) async fn see_again(
        &self,
        observer: &dyn Observer,
        entry: Entry<Settlement>,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<Settlement, Failure> {
        let record = &entry.record;
        let SettlementState::Settled(settled) = &record.state else { return Ok(entry.record) };
        let (network, before) = (&record.network, block_of(settled));
        let is_same = record.payment == *payment && record.offer == *offer;
        if is_same && observer.has(network, &before).await? == Some(true) {
            return Ok(entry.record);
        }
        let (verified, seen) = self.see(observer, payment, offer, record.held_at).await?;
        if seen.settled == *settled && offer.amount <= record.amount {
            return Ok(entry.record);
        }
        let payer = verified.into_parts().0.payer;
        if seen.settled.transaction != settled.transaction
            && observer.has(network, &before).await? == Some(true)
        {
            // It is paid twice. The first has it; who paid in vain is told so.
            return match observer.same_account(&payer, &record.payer) {
                true => Ok(entry.record),
                false => Err(Failure::from(Reason::NonceAlreadyUsed).by(&payer)),
            };
        }
        let found = Found { settled: seen.settled, payer, payment: payment.clone(), offer: offer.clone() };
        match self.0.journal.apply(entry, SettlementEvent::Move(Box::new(found)), self.now()).await? {
            Applied::Done(entry) => Ok(entry.record),
            Applied::Stale | Applied::Impossible(_) => Err(Reason::SettlementPending.into()),
        }
    }

    pub(crate) async fn see(
        &self,
        observer: &dyn Observer,
        payment: &Payment,
        offer: &Offer,
        now: Timestamp,
    ) -> Result<(Verified, Seen), Failure> {
        let seen = observer.observe(payment, offer, now).await?;
        let payer = seen.claim.payer.clone();
        let same = |one: &str, other: &str| observer.same_account(one, other);
        let verified = Verified::compare(seen.claim.clone(), offer, same);
        Ok((verified.map_err(|reason| Failure::from(reason).by(&payer))?, seen))
    }

    /// Whether a payment that was seen has bought nothing yet.
    pub(crate) async fn is_unused(&self, seen: &Seen) -> Result<bool, Fault> {
        Ok(self.0.journal.load(&seen.claim.key.id().to_string()).await?.is_none())
    }

    /// Takes a payment that was seen. Of all who do, one is told that it was the first.
    pub(crate) async fn take(
        &self,
        verified: Verified,
        seen: &Seen,
        payment: &Payment,
    ) -> Result<bool, Fault> {
        let settled = SettlementState::Settled(seen.settled.clone());
        let record = Settlement { told: true, state: settled, ..self.held(verified, payment) };
        Ok(self.0.journal.create(record).await?.is_some())
    }

    /// The id of a payment of one of our own schemes.
    pub(crate) fn payment_id(&self, payment: &Payment, offer: &Offer) -> Result<PaymentId, Reason> {
        Ok(self.settler(&offer.scheme, &offer.network)?.key(payment, offer)?.0.id())
    }
}
