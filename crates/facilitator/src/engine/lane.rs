//! A signer at work: takes payments from the queue, signs one transaction for them, writes it down, sends it.
//!
//! Nonces are given out in the same commit that stores the signed transaction, and never asked of the node once a lane
//! exists: two payments can then never share a nonce, nor one payment hold two (invariants I1, I8). The version of the
//! lane's record is its fence: whoever has slept since it was read writes nothing, in whatever process it lives.

use std::sync::Arc;

use groat_core::books::{Aggregate, Attempt, Book, Settlement, SettlementEvent, Slot, SlotState};
use groat_core::ports::{Expect, Outcome, Place as NoncePlace, Settler, Write};
use groat_core::{Failure, Fault, Network, PaymentId, Reason};
use groat_failpoints::{pause, reach};
use groat_store::Entry;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Engine;
use super::flights::Landing;
use super::queue::{Job, Place, Queue};
use super::terms::ended;
use super::watch::Watch;

/// One signer on one network, as it lies in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lane {
    /// The nonce of the next transaction.
    pub(super) next: u64,
    /// Somebody else uses the account: nothing more is signed until a person has looked.
    #[serde(default)]
    pub(super) halted: bool,
}

/// Lanes per page of a scan.
const PAGE: usize = 64;
/// How often a batch is signed anew because somebody else wrote first.
const TRIES_MAX: usize = 16;

impl Engine {
    /// Works until there is nothing to do.
    pub(super) async fn work(self, queue: Arc<Queue>, signer: String) {
        while !queue.is_halted(&signer) {
            let Some(place) = queue.place(&signer).await else { return };
            let count_max = queue.settler.batch_max(&queue.network);
            let Some(jobs) = queue.take(&signer, count_max).await else { return };
            self.submit(&queue, &signer, jobs, place).await;
        }
    }

    /// One transaction: everything that can be asked is asked before the nonce is taken; sign; write; send.
    async fn submit(&self, queue: &Arc<Queue>, signer: &str, jobs: Vec<Job>, place: Place) {
        let mut planned = match self.plan(queue, signer, jobs).await {
            Ok(planned) => planned,
            Err((jobs, fault)) => return strand(jobs, &fault),
        };
        for _ in 0..TRIES_MAX {
            if planned.jobs.is_empty() {
                return;
            }
            match self.write(queue, signer, &planned).await {
                Ok(Written::Done(slot)) => {
                    reach("KP5");
                    return self.send(queue, slot, planned.jobs, place).await;
                }
                // Of this lane or of one of the payments.
                Ok(Written::Stale) => planned.jobs = self.sort_out(planned.jobs).await,
                Ok(Written::Halted) => {
                    // Somebody else has to fetch them; without anybody they are told.
                    queue.give_back(planned.jobs);
                    queue.halt(signer);
                    return self.wake(queue);
                }
                Err(fault) => return strand(planned.jobs, &fault),
            }
        }
        strand(planned.jobs, &Fault::unavailable("store", "too many write at once"));
    }

    /// Who would be refused by the chain is told so; who does not fit goes back.
    async fn plan(
        &self,
        queue: &Arc<Queue>,
        signer: &str,
        mut jobs: Vec<Job>,
    ) -> Result<Planned, (Vec<Job>, Fault)> {
        let batch: Vec<_> = jobs.iter().map(|job| job.settlement.clone()).collect();
        let plan = match queue.settler.plan(&queue.network, signer, &batch).await {
            Ok(plan) => plan,
            Err(fault) => return Err((jobs, fault)),
        };
        if plan.verdicts.len() < jobs.len() {
            queue.give_back(jobs.split_off(plan.verdicts.len()));
        }
        let mut good = Vec::with_capacity(jobs.len());
        for (job, verdict) in jobs.into_iter().zip(plan.verdicts) {
            match verdict {
                Ok(()) => good.push(job),
                Err(failure) => self.turn_down(queue.settler.as_ref(), job, failure, false).await,
            }
        }
        Ok(Planned { jobs: good, terms: plan.terms })
    }

    /// Nothing was signed. If the authorization turns out to be used, somebody else has paid it in: that counts
    /// (threat row E09).
    pub(super) async fn turn_down(
        &self,
        settler: &dyn Settler,
        job: Job,
        failure: Failure,
        by_us_only: bool,
    ) {
        let used =
            matches!(&failure, Failure::Refused(refusal) if refusal.reason == Reason::NonceAlreadyUsed);
        let payer = job.settlement.payer.clone();
        if !used {
            return job.landing.end(Err(failure.by(&payer)));
        }
        let end = match self.paid_already(settler, &job, by_us_only).await {
            Ok(Found::InBook(record)) => match ended(&record) {
                Some(end) => return job.landing.end_by(&record, end),
                None => return self.follow(&record, job.landing).await,
            },
            Ok(Found::Nothing) => Err(failure.by(&payer)),
            Err(fault) => Err(fault.into()),
        };
        job.landing.end(end);
    }

    /// Looks for a used authorization on the chain; if it paid what was agreed, that is written down.
    async fn paid_already(&self, settler: &dyn Settler, job: &Job, by_us_only: bool) -> Result<Found, Fault> {
        let Job { settlement, version, .. } = job;
        let look = settler.look(&settlement.network, std::slice::from_ref(settlement), &[]).await?;
        let event = match look.outcomes.into_iter().next() {
            Some(Outcome::Landed(settled)) if by_us_only && settled.by_other => return Ok(Found::Nothing),
            Some(Outcome::Landed(settled)) => SettlementEvent::Confirm(settled),
            Some(Outcome::Failed { reason, transaction }) => SettlementEvent::Fail { reason, transaction },
            Some(Outcome::Unknown) => return Err(Fault::Pending { transaction: None }),
            Some(Outcome::Reverted { .. }) | None => return Ok(Found::Nothing),
        };
        let Some(next) = settlement.clone().apply(event, self.now()) else { return Ok(Found::Nothing) };
        let event = self.event(settlement, &next, self.now());
        let writes = vec![self.stage(*version, settlement, &next)];
        if let Some(news) = self.commit_with(writes, event.into_iter().collect()).await? {
            news.tell(self);
            return Ok(Found::InBook(next.into()));
        }
        // Another instance was first, and its transaction is the one that was seen.
        let there = self.0.journal.load(&settlement.id.to_string()).await?;
        match there.map(|entry| entry.record) {
            Some(record) if record.slot().is_some() || ended(&record).is_some() => {
                Ok(Found::InBook(record.into()))
            }
            // Or others took every number that was tried: nothing is known against this payment.
            _ => Err(Fault::unavailable("store", "too many write at once")),
        }
    }

    fn stage(&self, version: Option<u64>, from: &Settlement, to: &Settlement) -> Write {
        match version {
            None => self.0.journal.stage_create(to),
            Some(version) => self.0.journal.stage(&Entry { version, record: from.clone() }, to),
        }
    }

    /// The payments, the lane and the slot, in one commit.
    async fn write(&self, queue: &Queue, signer: &str, planned: &Planned) -> Result<Written, Fault> {
        let (settler, network) = (queue.settler.as_ref(), &queue.network);
        let key = lane_key(network, signer);
        let (expect, lane) = self.lane(settler, network, signer).await?;
        if lane.halted {
            return Ok(Written::Halted);
        }
        let batch: Vec<_> = planned.jobs.iter().map(|job| job.settlement.clone()).collect();
        let place = NoncePlace { network, signer, nonce: lane.next, now: self.now() };
        let attempt = settler.prepare(place, &batch, &planned.terms)?;
        let slot = slot(place, settler.scheme(), &planned.jobs, attempt.clone());
        let mut writes = Vec::with_capacity(batch.len() + 2);
        for (job, settlement) in planned.jobs.iter().zip(batch) {
            let event =
                SettlementEvent::Submit { slot: slot.key(), transaction: attempt.transaction.clone() };
            let next = settlement.apply(event, place.now).ok_or_else(impossible)?;
            writes.push(self.stage(job.version, &job.settlement, &next));
        }
        writes.push(write_lane(&key, expect, Lane { next: lane.next + 1, ..lane })?);
        // The safety net under all locks: this key can be created once, whatever else goes wrong.
        writes.push(self.0.slots.stage_create(&slot));
        pause("KP15");
        match self.0.journal.commit(writes).await {
            Ok(true) => Ok(Written::Done(Entry { version: 1, record: slot })),
            Ok(false) => Ok(Written::Stale),
            Err(fault) => match self.0.slots.load(&slot.key()).await {
                // It is written: only the answer was lost.
                Ok(Some(there)) if there.record.attempts == slot.attempts => Ok(Written::Done(there)),
                // Should it be written yet, the next sweep finds it; until then nobody knows.
                _ => Err(fault),
            },
        }
    }

    /// The lane as it lies in the book.
    pub(super) async fn written_lane(
        &self,
        network: &Network,
        signer: &str,
    ) -> Result<Option<(Expect, Lane)>, Fault> {
        let record = self.0.store.get(Book::Lanes, &lane_key(network, signer)).await?;
        record.map(|record| Ok((Expect::Version(record.version), read(&record.body)?))).transpose()
    }

    /// A new lane begins where the chain says.
    async fn lane(
        &self,
        settler: &dyn Settler,
        network: &Network,
        signer: &str,
    ) -> Result<(Expect, Lane), Fault> {
        Ok(match self.written_lane(network, signer).await? {
            Some(written) => written,
            None => {
                let next = settler.chain_nonce(network, signer).await?;
                (Expect::Absent, Lane { next, halted: false })
            }
        })
    }

    /// Stops a signer whose account somebody else uses, in every instance and for good.
    pub(super) async fn halt(
        &self,
        settler: &dyn Settler,
        network: &Network,
        signer: &str,
    ) -> Result<(), Fault> {
        loop {
            let (expect, lane) = self.lane(settler, network, signer).await?;
            let write = write_lane(&lane_key(network, signer), expect, Lane { halted: true, ..lane })?;
            if lane.halted || self.0.store.commit(vec![write]).await? {
                return Ok(());
            }
        }
    }

    /// Whether nonces are spent that nobody here has signed for. At the start that means a book that was put back or
    /// is new, and the lane goes on after them (kill point KP16); later the signer is halted.
    pub(super) async fn catch_up(
        &self,
        settler: &dyn Settler,
        network: &Network,
        signer: &str,
        halt: bool,
    ) -> Result<bool, Fault> {
        // In this order: what is sent was written before.
        let spent = settler.spent_nonces(network, signer).await?;
        let (expect, lane) = self.lane(settler, network, signer).await?;
        if lane.halted || spent <= lane.next {
            return Ok(false);
        }
        tracing::error!(%network, signer, from = lane.next, to = spent, halt, "nonces were spent that are not in the book");
        if halt {
            self.halt(settler, network, signer).await?;
            return Ok(true);
        }
        let write = write_lane(&lane_key(network, signer), expect, Lane { next: spent, ..lane })?;
        self.0.store.commit(vec![write]).await?;
        Ok(true)
    }

    /// Network and signer of every lane.
    pub(super) async fn lanes(&self) -> Result<Vec<(Network, String)>, Fault> {
        let mut lanes = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.0.store.scan(Book::Lanes, after.as_deref(), true, PAGE).await?;
            let Some(last) = page.last() else { return Ok(lanes) };
            after = Some(last.key.clone());
            for (network, signer) in page.iter().filter_map(|record| record.key.rsplit_once('/')) {
                lanes.extend(Network::parse(network).ok().map(|network| (network, signer.to_owned())));
            }
        }
    }

    /// Payments that somebody else has written first leave the batch.
    async fn sort_out(&self, jobs: Vec<Job>) -> Vec<Job> {
        let mut mine = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            match self.0.journal.load(&job.settlement.id.to_string()).await {
                Ok(None) if job.version.is_none() => mine.push(job),
                Ok(None) => job.landing.end(Err(impossible().into())),
                Ok(Some(entry)) => match ended(&entry.record) {
                    Some(end) => job.landing.end_by(&entry.record, end),
                    None if entry.record.slot().is_some() => self.follow(&entry.record, job.landing).await,
                    None => {
                        job.version = Some(entry.version);
                        let Settlement { gas, told, reverted, state, .. } = entry.record;
                        job.settlement = Settlement { gas, told, reverted, state, ..job.settlement };
                        mine.push(job);
                    }
                },
                Err(fault) => job.landing.end(Err(fault.into())),
            }
        }
        mine
    }

    /// Written: now it may go out.
    async fn send(&self, queue: &Arc<Queue>, slot: Entry<Slot>, jobs: Vec<Job>, place: Place) {
        let seen = queue.settler.head(&queue.network);
        let Some(first) = slot.record.attempts.first().cloned() else { return };
        let mut riders = Vec::with_capacity(jobs.len());
        for Job { settlement, version, landing, .. } in jobs {
            self.0.flights.submitted(&settlement.id, &first.transaction);
            landing.hand_over();
            // As it was written.
            let event =
                SettlementEvent::Submit { slot: slot.record.key(), transaction: first.transaction.clone() };
            if let Some(record) = settlement.apply(event, first.at) {
                riders.push(Entry { version: version.unwrap_or(0) + 1, record });
            }
        }
        // A sweep may have found it in the book already.
        if let Some(watch) = Watch::begin(self, queue, slot, riders, Some(place), seen) {
            watch.broadcast().await;
            tokio::spawn(watch.run());
        }
    }

    /// Sets an idle signer to work on what was given back.
    pub(super) fn wake(&self, queue: &Arc<Queue>) {
        if let Some(signer) = queue.rouse() {
            tokio::spawn(self.clone().work(Arc::clone(queue), signer));
        }
    }

    /// Puts a payment into the queue, and somebody to work on it.
    pub(super) fn enqueue(
        &self,
        queue: &Arc<Queue>,
        settlement: Settlement,
        version: Option<u64>,
        landing: Landing,
    ) {
        let job = Job { settlement, version, landing, since: Instant::now() };
        if let Some(signer) = queue.push(job) {
            tokio::spawn(self.clone().work(Arc::clone(queue), signer));
        }
    }

    /// A payment whose transaction came to nothing goes into another.
    pub(super) fn requeue(&self, queue: &Arc<Queue>, entry: Entry<Settlement>) {
        match self.0.flights.take_over(&entry.record) {
            Ok(landing) => self.enqueue(queue, entry.record, Some(entry.version), landing),
            Err(fault) => tracing::warn!(payment = %entry.record.id, %fault, "not taken up again"),
        }
    }
}

struct Planned {
    jobs: Vec<Job>,
    terms: serde_json::Value,
}

/// What became of an authorization that is used.
enum Found {
    /// What the book says: its end, or who has it under way.
    InBook(Box<Settlement>),
    Nothing,
}

enum Written {
    Done(Entry<Slot>),
    Stale,
    Halted,
}

fn slot(place: NoncePlace<'_>, scheme: &str, jobs: &[Job], attempt: Attempt) -> Slot {
    Slot {
        network: place.network.clone(),
        signer: place.signer.to_owned(),
        nonce: place.nonce,
        scheme: scheme.to_owned(),
        payments: jobs.iter().map(|job| job.settlement.id).collect::<Vec<PaymentId>>(),
        attempts: vec![attempt],
        state: SlotState::Open,
    }
}

/// Nobody knows: they may ask again.
fn strand(jobs: Vec<Job>, fault: &Fault) {
    tracing::warn!(payments = jobs.len(), %fault, "not submitted");
    for job in jobs {
        job.landing.end(Err(fault.clone().into()));
    }
}

fn impossible() -> Fault {
    Fault::garbled("store", "an event does not fit the record")
}

pub(super) fn lane_key(network: &Network, signer: &str) -> String {
    format!("{network}/{signer}")
}

pub(super) fn write_lane(key: &str, expect: Expect, lane: Lane) -> Result<Write, Fault> {
    let body = serde_json::to_string(&lane).map_err(|error| Fault::garbled("store", error))?;
    let state = if lane.halted { "halted" } else { "open" };
    Ok(Write { book: Book::Lanes, key: key.to_owned(), expect, state, is_final: false, body })
}

fn read(body: &str) -> Result<Lane, Fault> {
    serde_json::from_str(body).map_err(|error| Fault::garbled("store", error))
}
