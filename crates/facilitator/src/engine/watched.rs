//! Which slots are watched in this process.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groat_core::books::Settlement;
use groat_store::Entry;

/// Which slots are watched in this process, one watch each, and whom else it shall take in: another instance may have
/// put a payment under way again.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched(Arc<Mutex<HashMap<String, Vec<Entry<Settlement>>>>>);

impl Watched {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Entry<Settlement>>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody watches it, and now the caller does. If somebody does, the riders go there.
    pub(super) fn begin(&self, key: &str, riders: &[Entry<Settlement>]) -> bool {
        match self.lock().entry(key.to_owned()) {
            MapEntry::Vacant(place) => {
                place.insert(Vec::new());
                true
            }
            MapEntry::Occupied(mut late) => {
                let waits = |entry: &&Entry<Settlement>| entry.record.slot() == Some(key);
                late.get_mut().extend(riders.iter().filter(waits).cloned());
                false
            }
        }
    }

    /// Who came late.
    pub(super) fn late(&self, key: &str) -> Vec<Entry<Settlement>> {
        self.lock().get_mut(key).map(std::mem::take).unwrap_or_default()
    }

    /// The watch is over; returns who came too late for it.
    pub(super) fn end(&self, key: &str) -> Vec<Entry<Settlement>> {
        self.lock().remove(key).unwrap_or_default()
    }
}
