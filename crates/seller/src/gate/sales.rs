//! The book of sales: a journal, and the one question a gate has about a write.

use std::sync::Arc;

use groat_core::books::{Sale, SaleEvent, SaleState};
use groat_core::ports::Store;
use groat_core::{Fault, PaymentId, Timestamp};
use groat_store::{Applied, Entry, Journal};

/// The book.
pub(crate) struct Sales {
    journal: Journal<Sale>,
}

/// A sale as it lies in the book.
pub(crate) struct Held(Entry<Sale>);

impl Held {
    pub(crate) fn sale(&self) -> &Sale {
        &self.0.record
    }

    /// Whether the handler's run has begun and is nobody else's: what another instance has finished is not run again.
    pub(crate) fn has_started(&self) -> bool {
        matches!(
            self.0.record.state,
            SaleState::Held { started: true } | SaleState::Paid { started: true, .. }
        )
    }
}

impl Sales {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { journal: Journal::new(store) }
    }

    pub(crate) async fn load(&self, id: &PaymentId) -> Result<Option<Held>, Fault> {
        Ok(self.journal.load(&id.to_string()).await?.map(Held))
    }

    /// Writes a new sale; `None` when there is one already.
    pub(crate) async fn create(&self, sale: Sale) -> Result<Option<Held>, Fault> {
        Ok(self.journal.create(sale).await?.map(Held))
    }

    /// Applies an event; `None` when somebody else wrote first or the event does not fit any more.
    pub(crate) async fn apply(
        &self,
        held: Held,
        event: SaleEvent,
        now: Timestamp,
    ) -> Result<Option<Held>, Fault> {
        Ok(match self.journal.apply(held.0, event, now).await? {
            Applied::Done(entry) => Some(Held(entry)),
            Applied::Stale | Applied::Impossible(_) => None,
        })
    }

    /// Open sales after `after` in key order.
    pub(crate) async fn open(&self, after: Option<&str>, count_max: usize) -> Result<Vec<Held>, Fault> {
        Ok(self.journal.scan_open(after, count_max).await?.into_iter().map(Held).collect())
    }
}
