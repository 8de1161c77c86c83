//! Payments that were seen in a block that is gone: looked for again by whoever asks how they stand, because nobody may
//! ever settle them again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groat_core::books::{Settlement, SettlementState};
use groat_core::ports::Observer;
use groat_core::{Depth, Failure, PaymentId};
use groat_store::Entry;

use super::Engine;
use super::depth::DEPTH_TIMEOUT;

/// Which payments are looked for in this process: each once, however many ask.
#[derive(Debug, Clone, Default)]
pub(super) struct Sought(Arc<Mutex<HashSet<PaymentId>>>);

/// The duty to look for one.
struct Search(Sought, PaymentId);

impl Sought {
    fn lock(&self) -> MutexGuard<'_, HashSet<PaymentId>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: PaymentId) -> Option<Search> {
        self.lock().insert(id).then(|| Search(self.clone(), id))
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Engine {
    /// A payment as it stands, and how deep it lies. One that is no longer where it was seen is looked for; that goes on
    /// when whoever asked has no time to wait for it.
    pub(super) async fn standing(&self, entry: Entry<Settlement>) -> (Settlement, Option<Depth>) {
        let record = entry.record;
        let depth = self.depth(&record).await;
        let is_gone = depth.is_some_and(|depth| depth.confirmations == 0);
        let Some(observer) = self.who_saw(&record).filter(|_| is_gone) else { return (record, depth) };
        let Some(search) = self.0.sought.begin(record.id) else { return (record, depth) };
        let (engine, observer, id) = (self.clone(), Arc::clone(observer), record.id);
        let found = tokio::spawn(async move {
            let _search = search;
            let found = engine.look_for(observer.as_ref(), &id).await;
            found.inspect_err(|trouble| tracing::debug!(payment = %id, %trouble, "is not where it was seen"))
        });
        match tokio::time::timeout(DEPTH_TIMEOUT, found).await {
            Ok(Ok(Ok(Some(found)))) => {
                let depth = self.depth(&found).await;
                (found, depth)
            }
            _ => (record, depth),
        }
    }

    /// Who has looked at a payment that nobody here has sent.
    fn who_saw(&self, record: &Settlement) -> Option<&Arc<dyn Observer>> {
        match &record.state {
            SettlementState::Settled(settled) if settled.by_other => self.observer(&record.offer),
            _ => None,
        }
    }

    async fn look_for(&self, observer: &dyn Observer, id: &PaymentId) -> Result<Option<Settlement>, Failure> {
        let Some(entry) = self.0.journal.load(&id.to_string()).await? else { return Ok(None) };
        let (payment, offer) = (entry.record.payment.clone(), entry.record.offer.clone());
        self.see_again(observer, entry, &payment, &offer).await.map(Some)
    }
}
