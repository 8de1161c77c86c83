//! One transaction from its broadcast until its block is final: sends it again, pays more for it, tells its payments
//! what became of them, and takes that back when a reorganisation does.

use std::collections::HashSet;
use std::sync::Arc;

use groat_core::books::{
    Aggregate, Attempt, Mined, Settlement, SettlementEvent, SettlementState, Slot, SlotEvent, SlotState,
};
use groat_core::ports::{Look, Outcome, Place as NoncePlace, Replacement, Standing, Write};
use groat_core::{Failure, Fault, PaymentId, Reason, Refusal};
use groat_failpoints::reach;
use groat_store::Entry;

use super::Engine;
use super::queue::{Place, Queue};
use super::terms::ended;

/// Watches a slot. Dropping it leaves the slot to the next sweep.
pub(super) struct Watch {
    engine: Engine,
    queue: Arc<Queue>,
    key: String,
    slot: Entry<Slot>,
    /// The payments without an end, and the versions of their records.
    records: Vec<Settlement>,
    versions: Vec<u64>,
    /// Payments that somebody else has paid in, and where: that block may be replaced as well.
    elsewhere: Vec<(PaymentId, Mined)>,
    place: Option<Place>,
    /// The newest block that was looked at.
    seen: u64,
    /// The newest block when it was sent last.
    sent_at: Option<u64>,
    looks: u32,
    /// How often its nonce was spent and none of our transactions was there.
    strange: u32,
}

/// Replacements of one transaction: each costs an eighth more than the last.
const ATTEMPTS_MAX: usize = 20;
/// How much slower than a fresh transaction an old block is looked at.
const SLOWER_MAX: u32 = 8;
/// A node may be behind itself; this often in a row it is not.
const STRANGE_MAX: u32 = 3;

impl Watch {
    /// Takes up a slot; `None` when somebody in this process watches it.
    pub(super) fn begin(
        engine: &Engine,
        queue: &Arc<Queue>,
        slot: Entry<Slot>,
        riders: Vec<Entry<Settlement>>,
        place: Option<Place>,
        seen: u64,
    ) -> Option<Self> {
        let key = slot.record.key();
        if !engine.0.watched.begin(&key, &riders) {
            return None;
        }
        let mut watch = Self {
            engine: engine.clone(),
            queue: Arc::clone(queue),
            key,
            slot,
            records: Vec::new(),
            versions: Vec::new(),
            elsewhere: Vec::new(),
            place,
            seen,
            sent_at: None,
            looks: 0,
            strange: 0,
        };
        watch.board(riders);
        Some(watch)
    }

    /// Takes payments in, each once and as it is in the book.
    fn board(&mut self, riders: Vec<Entry<Settlement>>) {
        for Entry { version, record } in riders {
            if let Some(at) = self.records.iter().position(|known| known.id == record.id) {
                self.records.remove(at);
                self.versions.remove(at);
            }
            self.elsewhere.retain(|(known, _)| *known != record.id);
            match &record.state {
                SettlementState::Submitted { slot, .. } if *slot == self.key => {
                    self.engine.0.flights.exposure.settling(&record);
                    self.records.push(record);
                    self.versions.push(version);
                }
                SettlementState::Settled(settled) if settled.by_other => {
                    self.elsewhere.push((record.id, Mined::from(settled)));
                }
                _ => {}
            }
        }
    }

    fn board_late(&mut self) {
        let late = self.engine.0.watched.late(&self.key);
        self.board(late);
    }

    /// How many payments wait for it.
    pub(super) fn count(&self) -> usize {
        self.records.len()
    }

    /// Until the block is final, or the nonce is lost.
    pub(super) async fn run(mut self) {
        loop {
            self.carry().await;
            self.place = None;
            match self.slot.record.state.clone() {
                SlotState::Mined(mined) => {
                    if self.guard(mined).await {
                        return;
                    }
                }
                SlotState::Open | SlotState::Final(_) | SlotState::Lost => return,
            }
        }
    }

    /// Until the nonce is spent and every payment has its end.
    async fn carry(&mut self) {
        while self.slot.record.state == SlotState::Open || !self.records.is_empty() {
            if self.slot.record.state == SlotState::Lost {
                return;
            }
            let timeout = self.engine.0.options.look_interval;
            self.seen = self.queue.settler.wait_block(&self.queue.network, self.seen, timeout).await;
            reach("KP8");
            self.board_late();
            if let Err(fault) = self.look().await {
                tracing::debug!(slot = self.key, %fault, "cannot look");
            }
        }
    }

    async fn look(&mut self) -> Result<(), Fault> {
        let attempts = &self.slot.record.attempts;
        let look = self.queue.settler.look(&self.queue.network, &self.records, attempts).await?;
        let Look { mined, outcomes, gas, head } = look;
        let share = gas / u64::try_from(self.slot.record.payments.len()).unwrap_or(u64::MAX).max(1);
        let now = self.engine.now();
        let mut writes = Vec::new();
        let (mut slot, is_absent, mut doubted) = (None, mined.is_none(), Vec::new());
        if let (Some(mined), SlotState::Open) = (mined, &self.slot.record.state) {
            for (write, entry) in self.doubted(&mined).await? {
                writes.push(write);
                doubted.push(entry);
            }
            slot = self.slot.record.clone().apply(SlotEvent::Mine(mined), now);
            writes.extend(slot.as_ref().map(|next| self.engine.0.slots.stage(&self.slot, next)));
        }
        if let (None, SlotState::Mined(mined)) = (&slot, &self.slot.record.state)
            && is_absent
            && self.queue.settler.standing(&self.queue.network, mined).await? == Standing::Replaced
        {
            let gone = mined.clone();
            self.reorganise(&gone).await?;
            return Ok(());
        }
        let (mut changed, mut events) = (Vec::new(), Vec::new());
        for (index, outcome) in outcomes.into_iter().enumerate() {
            let Some((record, version)) = self.records.get(index).zip(self.versions.get(index)) else {
                break;
            };
            let (event, reverted) = match outcome {
                // What carried it is over.
                Outcome::Unknown if self.slot.record.is_final() => {
                    (SettlementEvent::Abandon, self.transaction())
                }
                Outcome::Unknown => continue,
                Outcome::Landed(settled) => (SettlementEvent::Confirm(settled), None),
                Outcome::Failed { reason, transaction } => {
                    (SettlementEvent::Fail { reason, transaction }, None)
                }
                Outcome::Reverted { transaction } => (SettlementEvent::Abandon, Some(transaction)),
            };
            let Some(mut next) = record.clone().apply(event, now) else { continue };
            next.gas = next.gas.saturating_add(share);
            let entry = Entry { version: *version, record: record.clone() };
            writes.push(self.engine.0.journal.stage(&entry, &next));
            events.extend(self.engine.event(record, &next, now));
            changed.push((Entry { version: version + 1, record: next }, reverted));
        }
        if writes.is_empty() {
            return self.tend(head).await;
        }
        let Some(news) = self.engine.commit_with(writes, events).await? else {
            return self.reload().await;
        };
        reach("KP13");
        news.tell(&self.engine);
        if let Some(record) = slot {
            self.place = None;
            self.slot = Entry { version: self.slot.version + 1, record };
        }
        self.tell(changed);
        self.board(doubted);
        Ok(())
    }

    /// What failed while its transaction could still be mined, and has not any more now that it is: the block that
    /// spoke against it was replaced since.
    async fn doubted(&self, mined: &Mined) -> Result<Vec<(Write, Entry<Settlement>)>, Fault> {
        let known: HashSet<_> = self.records.iter().map(|record| record.id).collect();
        let mut failed = Vec::new();
        for id in self.slot.record.payments.iter().filter(|id| !known.contains(id)) {
            let entry = self.engine.0.journal.load(&id.to_string()).await?;
            failed.extend(entry.filter(|entry| matches!(entry.record.state, SettlementState::Failed { .. })));
        }
        if failed.is_empty() {
            return Ok(Vec::new());
        }
        let records: Vec<_> = failed.iter().map(|entry| entry.record.clone()).collect();
        let attempts = &self.slot.record.attempts;
        let look = self.queue.settler.look(&self.queue.network, &records, attempts).await?;
        let doubted = failed.into_iter().zip(look.outcomes).filter_map(|(entry, outcome)| {
            let back_to = (self.key.clone(), mined.transaction.clone());
            let (write, record) = match outcome {
                Outcome::Failed { .. } => return None,
                _ => self.take_back(&entry, mined, back_to)?,
            };
            Some((write, Entry { version: entry.version + 1, record }))
        });
        Ok(doubted.collect())
    }

    /// What is written is told, and leaves.
    fn tell(&mut self, changed: Vec<(Entry<Settlement>, Option<String>)>) {
        let gone: HashSet<_> = changed.iter().map(|(entry, _)| entry.record.id).collect();
        let mut versions = std::mem::take(&mut self.versions).into_iter();
        let kept = std::mem::take(&mut self.records).into_iter().filter_map(|record| {
            let version = versions.next()?;
            (!gone.contains(&record.id)).then_some((record, version))
        });
        (self.records, self.versions) = kept.unzip();
        let shared = self.slot.record.payments.len() > 1;
        for (entry, reverted) in changed {
            self.engine.0.flights.exposure.ended(&entry.record, self.engine.now());
            if let SettlementState::Settled(settled) = &entry.record.state
                && settled.by_other
            {
                self.elsewhere.push((entry.record.id, Mined::from(settled)));
            }
            match (ended(&entry.record), reverted) {
                (Some(end), _) => self.engine.0.flights.end(&entry.record, end),
                // Perhaps another's fault. Alone it is seen whose.
                (None, _) if entry.record.told || (shared && !entry.record.alone) => {
                    let record = Settlement { alone: true, ..entry.record };
                    self.engine.requeue(&self.queue, Entry { record, ..entry });
                }
                (None, transaction) => {
                    let payer = Some(entry.record.payer.clone());
                    let refusal = Refusal { payer, transaction, ..Reason::TransactionFailed.into() };
                    self.engine.0.flights.end(&entry.record, Err(refusal.into()));
                }
            }
        }
    }

    /// Somebody else has written: from the book again.
    async fn reload(&mut self) -> Result<(), Fault> {
        let Some(slot) = self.engine.0.slots.load(&self.key).await? else {
            return Err(Fault::garbled("store", "a slot has vanished"));
        };
        self.slot = slot;
        let (records, _) = (std::mem::take(&mut self.records), std::mem::take(&mut self.versions));
        let mut left = records.into_iter();
        while let Some(record) = left.next() {
            match self.engine.0.journal.load(&record.id.to_string()).await {
                Ok(Some(entry)) => self.take_note(entry),
                Ok(None) => {}
                Err(fault) => {
                    // As they were: their writes fail until the book can be read.
                    self.versions.extend(std::iter::repeat_n(0, 1 + left.len()));
                    self.records.push(record);
                    self.records.extend(left);
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// What somebody else has written of one of our payments, or we, whose answer was lost.
    fn take_note(&mut self, entry: Entry<Settlement>) {
        match &entry.record.state {
            SettlementState::Submitted { slot, .. } if *slot == self.key => self.board(vec![entry]),
            SettlementState::Submitted { .. } => self.engine.follow_later(entry.record),
            SettlementState::Released => self.tell(vec![(entry, self.transaction())]),
            SettlementState::Settled(_) | SettlementState::Failed { .. } => self.tell(vec![(entry, None)]),
        }
    }

    /// The one that is in a block, or else the last.
    fn transaction(&self) -> Option<String> {
        match &self.slot.record.state {
            SlotState::Mined(mined) | SlotState::Final(mined) => Some(mined.transaction.clone()),
            SlotState::Open | SlotState::Lost => None,
        }
    }

    /// Nothing has come of it yet: send it again from time to time, and pay more when blocks pass it by.
    async fn tend(&mut self, head: u64) -> Result<(), Fault> {
        let first = self.sent_at.is_none();
        let sent_at = *self.sent_at.get_or_insert(head);
        // After a restart the crash may have come between writing and sending (KP5).
        if (first && self.place.is_none()) || self.looks % self.engine.0.options.looks_per_broadcast == 1 {
            let is_forgotten = self.slot.record.attempts.last().is_none_or(|last| last.raw.is_empty());
            if is_forgotten { self.sign_again().await? } else { self.broadcast().await }
        }
        self.looks = self.looks.wrapping_add(1);
        if head < sent_at + self.engine.0.options.bump_after_blocks {
            return Ok(());
        }
        self.sent_at = Some(head);
        let Slot { network, signer, nonce, .. } = &self.slot.record;
        let spent = self.queue.settler.spent_nonces(network, signer).await?;
        if spent > *nonce {
            self.strange += 1;
            return if self.strange < STRANGE_MAX { Ok(()) } else { self.lose().await };
        }
        self.strange = 0;
        // Only the first in line can be mined; and who waits behind it is not helped by money.
        let is_forgotten = self.slot.record.attempts.last().is_none_or(|last| last.raw.is_empty());
        if is_forgotten || spent < *nonce || self.slot.record.attempts.len() >= ATTEMPTS_MAX {
            return Ok(());
        }
        self.replace().await
    }

    /// Signs for the same nonce again. What nobody waits for any more need not be done, only the nonce be spent.
    async fn replace(&mut self) -> Result<(), Fault> {
        let with = if self.records.is_empty() { Replacement::Void } else { Replacement::Bump };
        let Slot { network, signer, nonce, attempts, .. } = &self.slot.record;
        let Some(last) = attempts.last() else { return Ok(()) };
        let place = NoncePlace { network, signer, nonce: *nonce, now: self.engine.now() };
        let attempt = self.queue.settler.replace(place, last, with).await?;
        tracing::warn!(slot = self.key, transaction = attempt.transaction, ?with, "stuck: signed again");
        self.add(attempt).await
    }

    /// Something else has spent the nonce. Nothing of ours can come of it, and the key is not ours alone.
    async fn lose(&mut self) -> Result<(), Fault> {
        let now = self.engine.now();
        let Some(next) = self.slot.record.clone().apply(SlotEvent::Lose, now) else { return Ok(()) };
        let mut writes = vec![self.engine.0.slots.stage(&self.slot, &next)];
        let (mut freed, mut events) = (Vec::new(), Vec::new());
        for (record, version) in self.records.iter().zip(&self.versions) {
            let Some(next) = record.clone().apply(SettlementEvent::Abandon, now) else { continue };
            let entry = Entry { version: *version, record: record.clone() };
            writes.push(self.engine.0.journal.stage(&entry, &next));
            events.extend(self.engine.event(record, &next, now));
            freed.push(Entry { version: version + 1, record: next });
        }
        let Some(news) = self.engine.commit_with(writes, events).await? else {
            return self.reload().await;
        };
        news.tell(&self.engine);
        let signer = self.slot.record.signer.clone();
        tracing::error!(signer, slot = self.key, "somebody else uses this account: the signer is halted");
        metrics::counter!("groat_signers_halted_total").increment(1);
        self.engine.halt(self.queue.settler.as_ref(), &self.queue.network, &signer).await?;
        self.queue.halt(&signer);
        self.slot = Entry { version: self.slot.version + 1, record: next };
        (self.records, self.versions) = (Vec::new(), Vec::new());
        freed.into_iter().for_each(|entry| self.engine.requeue(&self.queue, entry));
        Ok(())
    }

    /// Sends what was signed last.
    pub(super) async fn broadcast(&self) {
        let Some(last) = self.slot.record.attempts.last() else { return };
        // A lost reply means nothing (threat row C01): the next look tells.
        match self.queue.settler.broadcast(&self.queue.network, last).await {
            Ok(()) => reach("KP7"),
            Err(fault) => {
                reach("KP6");
                tracing::warn!(slot = self.key, transaction = last.transaction, %fault, "sending again later");
            }
        }
    }

    /// Until the block is final (`true`), or another has taken its place.
    async fn guard(&mut self, mined: Mined) -> bool {
        let interval = self.engine.0.options.look_interval;
        let mut pace = interval;
        loop {
            tokio::time::sleep(pace).await;
            // The deeper a block lies, the less there is to see.
            pace = (pace * 2).min(interval * SLOWER_MAX);
            self.board_late();
            if !self.records.is_empty() {
                return false;
            }
            match self.settle_down(&mined).await {
                Ok(None) => {}
                Ok(Some(is_final)) => return is_final,
                Err(fault) => tracing::debug!(slot = self.key, %fault, "cannot look"),
            }
        }
    }

    async fn settle_down(&mut self, mined: &Mined) -> Result<Option<bool>, Fault> {
        let (settler, network) = (Arc::clone(&self.queue.settler), self.queue.network.clone());
        for (id, block) in self.elsewhere.clone() {
            match settler.standing(&network, &block).await? {
                Standing::Final => self.elsewhere.retain(|(known, _)| *known != id),
                Standing::Replaced => {
                    self.take_in(id, &block).await?;
                    return Ok(Some(false));
                }
                Standing::Standing => {}
            }
        }
        match settler.standing(&network, mined).await? {
            Standing::Standing => Ok(None),
            Standing::Final if !self.elsewhere.is_empty() => Ok(None),
            Standing::Final => self.finish().await,
            Standing::Replaced => self.reorganise(mined).await,
        }
    }

    async fn finish(&mut self) -> Result<Option<bool>, Fault> {
        let Some(slot) = self.engine.0.slots.load(&self.key).await? else { return Ok(Some(true)) };
        let mut waiting = Vec::new();
        for id in &slot.record.payments {
            let entry = self.engine.0.journal.load(&id.to_string()).await?;
            waiting.extend(entry.filter(|entry| entry.record.slot() == Some(&self.key)));
        }
        if !waiting.is_empty() {
            // Another instance has taken it back.
            self.slot = slot;
            self.board(waiting);
            return Ok(Some(false));
        }
        let Some(next) = slot.record.clone().apply(SlotEvent::Finish, self.engine.now()) else {
            // Another instance was first; should it have seen a reorganisation, it has it in hand.
            return Ok(Some(true));
        };
        let write = self.engine.0.slots.stage(&slot, &next);
        Ok(self.engine.0.slots.commit(vec![write]).await?.then_some(true))
    }

    /// The block is gone: everything it carried is open again, in one commit (invariant I7).
    async fn reorganise(&mut self, gone: &Mined) -> Result<Option<bool>, Fault> {
        let Some(slot) = self.engine.0.slots.load(&self.key).await? else { return Ok(Some(true)) };
        let next = match slot.record.state {
            SlotState::Mined(ref mined) if mined == gone => {
                slot.record.clone().apply(SlotEvent::Reorganise, self.engine.now())
            }
            _ => None,
        };
        if let Some(next) = next {
            let mut writes = vec![self.engine.0.slots.stage(&slot, &next)];
            for id in &slot.record.payments {
                let back_to = (self.key.clone(), gone.transaction.clone());
                let carried = self.engine.0.journal.load(&id.to_string()).await?;
                writes.extend(carried.and_then(|entry| Some(self.take_back(&entry, gone, back_to)?.0)));
            }
            if !self.engine.0.journal.commit(writes).await? {
                return Ok(None);
            }
            tracing::warn!(slot = self.key, block = gone.block, "the block was replaced");
            metrics::counter!("groat_reorganised_total").increment(1);
        }
        for id in slot.record.payments {
            let entry = self.engine.0.journal.load(&id.to_string()).await?;
            self.board(entry.into_iter().collect());
        }
        self.slot = self.engine.0.slots.load(&self.key).await?.unwrap_or(self.slot.clone());
        (self.sent_at, self.looks) = (None, 0);
        Ok(Some(false))
    }

    /// A payment that somebody else has paid in, in a block that is gone: perhaps it is ours to settle after all.
    async fn take_in(&mut self, id: PaymentId, gone: &Mined) -> Result<(), Fault> {
        let Some(entry) = self.engine.0.journal.load(&id.to_string()).await? else { return Ok(()) };
        let back_to = (self.key.clone(), gone.transaction.clone());
        let entry = match self.take_back(&entry, gone, back_to) {
            None => entry,
            Some((write, record)) => {
                // With the slot, so that nobody finishes it meanwhile.
                let slot = self.engine.0.slots.stage(&self.slot, &self.slot.record);
                if !self.engine.0.journal.commit(vec![write, slot]).await? {
                    return self.reload().await;
                }
                self.slot.version += 1;
                Entry { version: entry.version + 1, record }
            }
        };
        self.board(vec![entry]);
        Ok(())
    }

    /// The write that takes back what a block that is gone had settled.
    fn take_back(
        &self,
        entry: &Entry<Settlement>,
        gone: &Mined,
        (slot, transaction): (String, String),
    ) -> Option<(Write, Settlement)> {
        let event = match &entry.record.state {
            SettlementState::Settled(settled) if Mined::from(settled) == *gone => {
                SettlementEvent::Reorganise { slot, transaction }
            }
            // It came to nothing in that block, and may come to something in another, whose clock may be behind.
            SettlementState::Failed { .. } => SettlementEvent::Reorganise { slot, transaction },
            SettlementState::Released => SettlementEvent::Submit { slot, transaction },
            _ => return None,
        };
        let next = entry.record.clone().apply(event, self.engine.now())?;
        Some((self.engine.0.journal.stage(entry, &next), next))
    }

    /// The bytes are forgotten, and perhaps by every node: what can still be paid is signed for the same nonce again,
    /// and if that is nothing, the nonce is spent for nothing.
    async fn sign_again(&mut self) -> Result<(), Fault> {
        let Slot { network, signer, nonce, attempts, .. } = &self.slot.record;
        let settler = Arc::clone(&self.queue.settler);
        let place = NoncePlace { network, signer, nonce: *nonce, now: self.engine.now() };
        let mut batch = self.records.clone();
        let mut terms = serde_json::Value::Null;
        if !batch.is_empty() {
            let plan = settler.plan(network, signer, &batch).await?;
            let mut verdicts = plan.verdicts.into_iter();
            batch.retain(|_| verdicts.next().is_some_and(|verdict| verdict.is_ok()));
            terms = plan.terms;
        }
        let attempt = match (batch.is_empty(), attempts.last()) {
            (true, Some(last)) => settler.replace(place, last, Replacement::Void).await?,
            (true, None) => return Ok(()),
            (false, _) => settler.prepare(place, &batch, &terms)?,
        };
        self.add(attempt).await
    }

    /// One more attempt for the nonce: written, then sent.
    async fn add(&mut self, attempt: Attempt) -> Result<(), Fault> {
        let Some(next) = self.slot.record.clone().apply(SlotEvent::Replace(attempt), self.engine.now())
        else {
            return Ok(());
        };
        let write = self.engine.0.slots.stage(&self.slot, &next);
        if !self.engine.0.slots.commit(vec![write]).await? {
            return self.reload().await;
        }
        reach("KP14");
        self.slot = Entry { version: self.slot.version + 1, record: next };
        self.broadcast().await;
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let late = self.engine.0.watched.end(&self.key);
        for record in self.records.iter().chain(late.iter().map(|entry| &entry.record)) {
            let pending: Failure = Fault::Pending { transaction: None }.into();
            self.engine.0.flights.end(record, Err(pending));
        }
    }
}
