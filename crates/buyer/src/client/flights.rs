//! Purchases that this process is working on, so that none of them is taken for a lost one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The keys of purchases under way. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashSet<String>>>);

/// A purchase is under way as long as this lives.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Flights,
    key: String,
}

impl Flights {
    /// Takes off; `None` when somebody else in this process has.
    pub(super) fn begin(&self, key: &str) -> Option<Flight> {
        self.lock().insert(key.to_owned()).then(|| Flight { flights: self.clone(), key: key.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}
