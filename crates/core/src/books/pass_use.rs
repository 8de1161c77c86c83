//! How often a pass was used that is good for a number of requests.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::{PaymentId, Timestamp};

/// One pass. Written before the request is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassUse {
    /// The payment that it was given for.
    pub payment: PaymentId,
    /// How many requests it is good for.
    pub uses_max: u32,
    /// How many it was used for.
    pub uses: u32,
    /// From then on nobody asks.
    pub expires_at: Timestamp,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassUseEvent {
    /// One more request is let in.
    Use,
    /// The last one came to nothing.
    GiveBack,
}

impl Aggregate for PassUse {
    type Event = PassUseEvent;
    const BOOK: Book = Book::Passes;

    fn key(&self) -> String {
        self.payment.to_string()
    }

    fn state(&self) -> &'static str {
        if self.uses < self.uses_max { "good" } else { "used_up" }
    }

    fn is_final(&self) -> bool {
        // Nothing has to be taken up after a crash.
        true
    }

    fn apply(mut self, event: PassUseEvent, now: Timestamp) -> Option<Self> {
        self.uses = match event {
            PassUseEvent::Use if self.uses < self.uses_max && now < self.expires_at => self.uses + 1,
            PassUseEvent::Use => return None,
            PassUseEvent::GiveBack => self.uses.checked_sub(1)?,
        };
        Some(self)
    }
}
