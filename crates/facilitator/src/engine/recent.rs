//! Payments that were seen good a moment ago, so that a stranger's submission in between is recognised as payment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use groat_core::books::Settlement;
use groat_core::{PaymentId, Timestamp};

/// A bounded memory. Losing it costs nothing but the recognition of a stranger's submission after a restart.
#[derive(Default)]
pub(super) struct Recent(Mutex<HashMap<PaymentId, Box<Settlement>>>);

const RECENT_MAX: usize = 16_384;

impl Recent {
    /// Remembers what was just verified.
    pub(super) fn remember(&self, held: Settlement, now: Timestamp) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= RECENT_MAX {
            recent.retain(|_, held| held.valid_until > now);
            if recent.len() >= RECENT_MAX {
                recent.clear();
            }
        }
        recent.insert(held.id, Box::new(held));
    }

    /// Gives it back, once.
    pub(super) fn take(&self, id: &PaymentId) -> Option<Settlement> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id).map(|held| *held)
    }
}
