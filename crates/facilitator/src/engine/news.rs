//! The outbox of the engine: events are written in the commit that makes them true.

use std::sync::atomic::{AtomicU64, Ordering};

use groat_core::Fault;
use groat_core::books::{EventKind, PaymentEvent};
use groat_core::ports::Write;
use groat_store::Journal;

use super::{Engine, PAGE};

/// The book of events.
pub(super) struct Outbox {
    pub(super) journal: Journal<PaymentEvent>,
    /// The newest event that was seen here; others may have written more.
    seen: AtomicU64,
}

/// Events with their numbers, to be written and then told.
pub(super) struct News(Vec<PaymentEvent>);

impl Outbox {
    pub(super) fn new(journal: Journal<PaymentEvent>) -> Self {
        Self { journal, seen: AtomicU64::new(0) }
    }

    /// The number of the newest event.
    async fn newest(&self) -> Result<u64, Fault> {
        loop {
            let seen = self.seen.load(Ordering::Relaxed);
            let page = self.journal.scan_all(Some(&PaymentEvent::key_of(seen)), PAGE).await?;
            let Some(last) = page.last() else { return Ok(seen) };
            self.seen.fetch_max(last.record.number, Ordering::Relaxed);
        }
    }
}

impl Engine {
    /// Gives numbers to events. A number can be written once: of two commits with the same one fails, and is tried
    /// again by whoever made it.
    pub(super) async fn number(&self, mut events: Vec<PaymentEvent>) -> Result<News, Fault> {
        if !events.is_empty() {
            let newest = self.0.outbox.newest().await?;
            (newest + 1..).zip(&mut events).for_each(|(number, event)| event.number = number);
        }
        Ok(News(events))
    }
}

impl News {
    /// To be committed together with what they tell of.
    pub(super) fn writes(&self, engine: &Engine) -> impl Iterator<Item = Write> {
        self.0.iter().map(|event| engine.0.outbox.journal.stage_create(event))
    }

    /// They are written.
    pub(super) fn tell(self) {
        for event in self.0 {
            let (payment, kind) = (event.payment, event.kind.word());
            match event.kind {
                EventKind::Reverted => {
                    let (payer, transaction) = (event.payer, event.transaction);
                    tracing::error!(%payment, payer, transaction, "{kind}: told as settled, and undone");
                    metrics::counter!("groat_payments_reverted_total").increment(1);
                }
                EventKind::Settled => tracing::warn!(%payment, "{kind}: settled after it was undone"),
            }
        }
    }
}
