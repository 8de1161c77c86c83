//! Payments that were seen in a block that is gone: looked for again by whoever asks how they stand, and by the sweep until
//! they are final, because nobody may ever settle them again.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groat_core::books::{Mined, Settlement, SettlementEvent, SettlementState};
use groat_core::ports::Observer;
use groat_core::{Depth, Failure, Fault, PaymentId};
use groat_store::Entry;
use tokio::task::JoinHandle;

use super::Engine;
use super::depth::DEPTH_TIMEOUT;

/// Payments that are looked after at once; what comes beyond them is looked for only when somebody asks.
const YOUNG_MAX: usize = 16_384;
/// Payments that a sweep begins to look for: each takes some questions to the node, for some seconds.
const SEARCHES_MAX: usize = 32;

/// Which payments are looked for in this process, each once, however many ask; and which may have to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Sought(Arc<Mutex<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    sought: HashSet<PaymentId>,
    /// Seen, and not final as far as is known. In an order, so that the same run is the same run.
    young: BTreeSet<PaymentId>,
}

/// The duty to look for one.
struct Search(Sought, PaymentId);

impl Sought {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: PaymentId) -> Option<Search> {
        self.lock().sought.insert(id).then(|| Search(self.clone(), id))
    }

    /// From now on until it is final.
    pub(super) fn look_after(&self, id: PaymentId) {
        let mut lists = self.lock();
        if lists.young.len() < YOUNG_MAX {
            lists.young.insert(id);
        }
    }

    fn young(&self) -> Vec<PaymentId> {
        self.lock().young.iter().copied().collect()
    }

    fn forget(&self, id: &PaymentId) {
        self.lock().young.remove(id);
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.0.lock().sought.remove(&self.1);
    }
}

impl Engine {
    /// A payment as it stands, and how deep it lies. One that is no longer where it was seen is looked for; that goes on
    /// when whoever asked has no time to wait for it.
    pub(super) async fn standing(&self, entry: Entry<Settlement>) -> (Settlement, Option<Depth>) {
        let record = entry.record;
        let depth = self.depth(&record).await;
        let Some(observer) = self.who_saw(&record) else { return (record, depth) };
        self.0.sought.look_after(record.id);
        let search = is_gone(&record, depth).then(|| self.search(observer, record.id)).flatten();
        let Some(search) = search else { return (record, depth) };
        match tokio::time::timeout(DEPTH_TIMEOUT, search).await {
            Ok(Ok(Some(found))) => {
                let depth = self.depth(&found).await;
                (found, depth)
            }
            _ => (record, depth),
        }
    }

    /// Looks once whether the payments that were seen in this process are where they were.
    pub(super) async fn look_after_seen(&self) -> Result<(), Fault> {
        let mut searches = 0;
        for id in self.0.sought.young() {
            let Some(entry) = self.0.journal.load(&id.to_string()).await? else { continue };
            let (record, depth) = (&entry.record, self.depth(&entry.record).await);
            let is_lost = record.state == SettlementState::Released && record.valid_until < self.now();
            let Some(observer) = self.who_saw(record).filter(|_| !is_lost) else {
                self.0.sought.forget(&id);
                continue;
            };
            if is_gone(record, depth) {
                searches += usize::from(self.search(observer, id).is_some());
            } else if depth.is_some_and(|depth| depth.finalized) {
                self.0.sought.forget(&id);
            }
            // A node that cannot tell of one tells of none.
            if searches >= SEARCHES_MAX || depth.is_none() && record.state != SettlementState::Released {
                break;
            }
        }
        Ok(())
    }

    /// Who has looked at a payment that nobody here has sent.
    fn who_saw(&self, record: &Settlement) -> Option<&Arc<dyn Observer>> {
        let is_seen = match &record.state {
            SettlementState::Settled(settled) => settled.by_other,
            SettlementState::Released => record.told,
            SettlementState::Submitted { .. } | SettlementState::Failed { .. } => false,
        };
        is_seen.then(|| self.observer(&record.offer)).flatten()
    }

    /// Looks for a payment, unless somebody does already.
    fn search(&self, observer: &Arc<dyn Observer>, id: PaymentId) -> Option<JoinHandle<Option<Settlement>>> {
        let search = self.0.sought.begin(id)?;
        let (engine, observer) = (self.clone(), Arc::clone(observer));
        Some(tokio::spawn(async move {
            let _search = search;
            let found = engine.look_for(observer.as_ref(), &id).await;
            let told =
                |trouble: &Failure| tracing::debug!(payment = %id, %trouble, "is not where it was seen");
            found.inspect_err(told).ok().flatten()
        }))
    }

    async fn look_for(&self, observer: &dyn Observer, id: &PaymentId) -> Result<Option<Settlement>, Failure> {
        let Some(entry) = self.0.journal.load(&id.to_string()).await? else { return Ok(None) };
        let record = &entry.record;
        let failure = match self.see_again(observer, entry.clone(), &record.payment, &record.offer).await {
            Ok(found) => return Ok(Some(found)),
            Err(failure @ (Failure::Refused(_) | Failure::Fault(Fault::Pending { .. }))) => failure,
            Err(fault) => return Err(fault),
        };
        let SettlementState::Settled(settled) = &record.state else { return Err(failure) };
        // A chain that is not as long may only be a node that is behind.
        if observer.has(&record.network, &Mined::from(settled)).await? != Some(false) {
            return Err(failure);
        }
        Ok(self.change(&entry, SettlementEvent::Vanish).await?)
    }
}

fn is_gone(record: &Settlement, depth: Option<Depth>) -> bool {
    record.state == SettlementState::Released || depth.is_some_and(|depth| depth.confirmations == 0)
}
