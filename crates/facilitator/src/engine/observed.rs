//! Payments that were made before they were shown: looked at, and written down once.

use std::sync::Arc;

use groat_core::books::{Aggregate, Found, Mined, Settled, Settlement, SettlementEvent, SettlementState};
use groat_core::ports::{Observer, Seen};
use groat_core::{
    Claim, Failure, Fault, Network, Offer, Payment, PaymentId, Reason, Receipt, Timestamp, Verified,
};
use groat_store::Entry;

use super::Engine;
use super::terms::{ended, fitting};

/// So long what was seen when a payment was verified need not be looked for again when it is settled.
const JUST_NOW_S: u64 = 5;

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
        let (verified, seen) = self.see(observer, payment, offer, self.now()).await?;
        let claim = verified.claim().clone();
        self.0.recent.remember(self.settled(verified, seen.settled, payment), self.now());
        Ok(claim)
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
                let record = match self.seen_just_now(observer, &key.id(), payment, offer).await? {
                    Some(record) => record,
                    None => {
                        let (verified, seen) = self.see(observer, payment, offer, self.now()).await?;
                        self.settled(verified, seen.settled, payment)
                    }
                };
                self.write_down(record).await?.0
            }
        };
        // How much has moved says the chain, and not who was the first to ask: it was seen for this offer.
        if !observer.same_account(&record.pay_to, &offer.pay_to) {
            return Err(Reason::RecipientMismatch.into());
        }
        ended(&record).unwrap_or_else(|| Err(Reason::SettlementPending.into()))
    }

    /// What was found out when this payment was verified for this offer, if that was just now and its block is still there.
    async fn seen_just_now(
        &self,
        observer: &dyn Observer,
        id: &PaymentId,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<Option<Settlement>, Fault> {
        let is_it = |seen: &Settlement| {
            seen.payment == *payment && seen.offer == *offer && self.now() <= seen.held_at.plus(JUST_NOW_S)
        };
        let Some(seen) = self.0.recent.take(id).filter(is_it) else { return Ok(None) };
        Ok(still_there(observer, &seen).await?.then_some(seen))
    }

    /// A payment that has moved its money already.
    pub(super) fn settled(&self, verified: Verified, settled: Settled, payment: &Payment) -> Settlement {
        Settlement { told: true, state: SettlementState::Settled(settled), ..self.held(verified, payment) }
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
        let before = match &record.state {
            SettlementState::Settled(settled) => Some(settled),
            // It was in no block any more when somebody looked last.
            SettlementState::Released => None,
            SettlementState::Submitted { .. } | SettlementState::Failed { .. } => return Ok(entry.record),
        };
        let is_same = record.payment == *payment && record.offer == *offer;
        if is_same && still_there(observer, record).await? {
            return Ok(entry.record);
        }
        let (verified, seen) = self.see(observer, payment, offer, record.held_at).await?;
        if before == Some(&seen.settled) && offer.amount <= record.amount {
            return Ok(entry.record);
        }
        let payer = verified.into_parts().0.payer;
        let is_other = before.is_some_and(|before| before.transaction != seen.settled.transaction);
        if is_other && still_there(observer, record).await? {
            // It is paid twice. The first has it; who paid in vain is told so.
            return match observer.same_account(&payer, &record.payer) {
                true => Ok(entry.record),
                false => Err(Failure::from(Reason::NonceAlreadyUsed).by(&payer)),
            };
        }
        let (payment, offer) = (payment.clone(), offer.clone());
        let found = Box::new(Found { settled: seen.settled, payer, payment, offer });
        let moved = self.change(&entry, SettlementEvent::Move(found)).await?;
        moved.ok_or_else(|| Reason::SettlementPending.into())
    }

    /// Applies an event, with what has to be told of it; `None` when it is not possible or somebody else wrote first.
    pub(super) async fn change(
        &self,
        entry: &Entry<Settlement>,
        event: SettlementEvent,
    ) -> Result<Option<Settlement>, Fault> {
        let now = self.now();
        let Some(next) = entry.record.clone().apply(event, now) else { return Ok(None) };
        let news = self.event(&entry.record, &next, now);
        let write = self.0.journal.stage(entry, &next);
        Ok(self.commit_telling(write, news).await?.then_some(next))
    }

    /// Writes a payment down that has moved its money already, with what has to be told of it. Gives back what the book
    /// says, and whether this call was the first.
    pub(super) async fn write_down(&self, record: Settlement) -> Result<(Settlement, bool), Fault> {
        let before = Settlement { told: false, state: SettlementState::Released, ..record.clone() };
        let news = self.event(&before, &record, self.now());
        if self.commit_telling(self.0.journal.stage_create(&record), news).await? {
            self.0.sought.look_after(record.id);
            return Ok((record, true));
        }
        // Another call was faster; what it wrote counts.
        match self.0.journal.load(&record.id.to_string()).await? {
            Some(entry) => Ok((entry.record, false)),
            None => Err(Fault::unavailable("store", "too many write events at once")),
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
        Ok((fitting(seen.claim.clone(), offer, observer)?, seen))
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
        let record = self.settled(verified, seen.settled.clone(), payment);
        Ok(self.write_down(record).await?.1)
    }

    /// The id of a payment of one of our own schemes.
    pub(crate) fn payment_id(&self, payment: &Payment, offer: &Offer) -> Result<PaymentId, Reason> {
        Ok(self.settler(&offer.scheme, &offer.network)?.key(payment, offer)?.0.id())
    }
}

/// Whether the chain still has the block that a payment was seen in.
async fn still_there(observer: &dyn Observer, record: &Settlement) -> Result<bool, Fault> {
    match &record.state {
        SettlementState::Settled(settled) => {
            Ok(observer.has(&record.network, &Mined::from(settled)).await? == Some(true))
        }
        _ => Ok(false),
    }
}
