//! The outbox of the engine: events are written in the commit that makes them true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use groat_core::books::{EventKind, PaymentEvent, Settlement};
use groat_core::ports::Write;
use groat_core::{Fault, Timestamp};
use groat_store::Journal;
use tokio::sync::{Mutex, Notify};

use super::Engine;

/// How often a commit is tried again because somebody else took the number of its event.
const TRIES_MAX: usize = 8;

/// The book of events.
pub(super) struct Outbox {
    pub(super) journal: Journal<PaymentEvent>,
    /// The newest event that was seen here; others may have written more.
    seen: AtomicU64,
    /// Who writes events waits here for its turn, and not for the next block because another took its number.
    turn: Mutex<()>,
    bell: Arc<Bell>,
}

/// Tells whoever sends events on that there are some, and the engine that somebody does.
#[derive(Debug, Default)]
pub struct Bell {
    every: AtomicBool,
    rung: Notify,
}

/// Events that are written, to be told.
pub(super) struct News(Vec<PaymentEvent>);

impl Bell {
    /// Whether every settlement goes into the outbox, and not only what contradicts an answer. Which costs each of them
    /// a write, so it is for those whom somebody listens to.
    pub(crate) fn want_every(&self, every: bool) {
        self.every.store(every, Ordering::Relaxed);
    }

    pub(crate) fn wants_every(&self) -> bool {
        self.every.load(Ordering::Relaxed)
    }

    /// Until it rings, or at once if it has since the last time.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }

    pub(crate) fn ring(&self) {
        self.rung.notify_one();
    }
}

impl Outbox {
    pub(super) fn new(journal: Journal<PaymentEvent>) -> Self {
        Self { journal, seen: AtomicU64::new(0), turn: Mutex::default(), bell: Arc::default() }
    }

    /// The number of the newest event.
    async fn newest(&self) -> Result<u64, Fault> {
        let newest = newest(&self.journal, self.seen.load(Ordering::Relaxed)).await?;
        self.seen.fetch_max(newest, Ordering::Relaxed);
        Ok(newest)
    }
}

/// The number of the newest event, when there is one with the number `seen` (or that is 0). Numbers have no gaps, so that
/// a few looks find the last of a million.
pub(crate) async fn newest(journal: &Journal<PaymentEvent>, seen: u64) -> Result<u64, Fault> {
    let (mut there, mut step) = (seen, 1);
    while journal.load(&PaymentEvent::key_of(there + step)).await?.is_some() {
        there += step;
        step *= 2;
    }
    while step > 1 {
        step /= 2;
        if journal.load(&PaymentEvent::key_of(there + step)).await?.is_some() {
            there += step;
        }
    }
    Ok(there)
}

impl Engine {
    /// The bell of its outbox.
    pub fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.0.outbox.bell)
    }

    /// What a change is worth telling.
    pub(super) fn event(
        &self,
        before: &Settlement,
        after: &Settlement,
        now: Timestamp,
    ) -> Option<PaymentEvent> {
        match self.0.outbox.bell.wants_every() {
            true => PaymentEvent::of_every(before, after, now),
            false => PaymentEvent::of(before, after, now),
        }
    }

    /// Commits changes together with the events that tell of them; `None` when one of the changes found something else
    /// than it expects. The number of an event can be written once: when another instance was first, the next is tried.
    pub(super) async fn commit_with(
        &self,
        writes: Vec<Write>,
        mut events: Vec<PaymentEvent>,
    ) -> Result<Option<News>, Fault> {
        let outbox = &self.0.outbox;
        if events.is_empty() {
            return Ok(self.0.journal.commit(writes).await?.then_some(News(events)));
        }
        let _turn = outbox.turn.lock().await;
        let mut newest = outbox.newest().await?;
        for _ in 0..TRIES_MAX {
            (newest + 1..).zip(&mut events).for_each(|(number, event)| event.number = number);
            let staged = events.iter().map(|event| outbox.journal.stage_create(event));
            if self.0.journal.commit(writes.iter().cloned().chain(staged).collect()).await? {
                return Ok(Some(News(events)));
            }
            let now = outbox.newest().await?;
            if now == newest {
                break;
            }
            newest = now;
        }
        Ok(None)
    }

    /// A write and what it is worth telling, in one commit; `false` when somebody else wrote first.
    pub(crate) async fn commit_telling(
        &self,
        write: Write,
        event: Option<PaymentEvent>,
    ) -> Result<bool, Fault> {
        let news = self.commit_with(vec![write], event.into_iter().collect()).await?;
        Ok(news.map(|news| news.tell(self)).is_some())
    }
}

impl News {
    /// They are written.
    pub(super) fn tell(self, engine: &Engine) {
        if !self.0.is_empty() {
            engine.0.outbox.bell.ring();
        }
        for event in self.0 {
            let (payment, kind) = (event.payment, event.kind.word());
            if let Some(request) = &event.request {
                tracing::info!(%payment, request, transaction = event.transaction, "{kind}");
                continue;
            }
            match event.kind {
                EventKind::Reverted => {
                    let (payer, transaction) = (event.payer, event.transaction);
                    tracing::error!(%payment, payer, transaction, "{kind}: told as settled, and undone");
                    metrics::counter!("groat_payments_reverted_total").increment(1);
                }
                EventKind::Settled => tracing::info!(%payment, "{kind}"),
            }
        }
    }
}
