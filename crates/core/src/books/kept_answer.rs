//! An answer that is given again to whoever repeats a request under the same idempotency key.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Aggregate, Book};
use crate::Timestamp;

/// What is known under one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// A hash of caller, method, path and key.
    pub scope: String,
    /// A hash of the body.
    pub fingerprint: String,
    /// Where the request stands.
    #[serde(flatten)]
    pub state: KeptState,
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum KeptState {
    /// Somebody works on it.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It is answered.
    Kept {
        /// When.
        at: Timestamp,
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Value,
    },
    /// It came to nothing that lasts: the key is free.
    Free,
}

/// What can happen to it.
#[derive(Debug, Clone, PartialEq)]
pub enum KeptEvent {
    /// A request with this body is worked on.
    Begin {
        /// A hash of the body.
        fingerprint: String,
    },
    /// This is the answer.
    Keep {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Value,
    },
    /// There is no answer that lasts.
    Release,
}

/// So long an answer is given again.
const KEPT_S: u64 = 86_400;
/// Whoever has worked for so long is gone: no request takes longer.
const RUNNING_S: u64 = 120;

impl KeptAnswer {
    /// Whether the key may be used for a new request.
    pub fn is_free(&self, now: Timestamp) -> bool {
        match &self.state {
            KeptState::Running { since } => since.plus(RUNNING_S) < now,
            KeptState::Kept { at, .. } => at.plus(KEPT_S) < now,
            KeptState::Free => true,
        }
    }
}

impl Aggregate for KeptAnswer {
    type Event = KeptEvent;
    const BOOK: Book = Book::Answers;

    fn key(&self) -> String {
        self.scope.clone()
    }

    fn state(&self) -> &'static str {
        match self.state {
            KeptState::Running { .. } => "running",
            KeptState::Kept { .. } => "kept",
            KeptState::Free => "free",
        }
    }

    fn is_final(&self) -> bool {
        // What a crash leaves running is free again after a while.
        true
    }

    fn apply(mut self, event: KeptEvent, now: Timestamp) -> Option<Self> {
        self.state = match (&self.state, event) {
            (_, KeptEvent::Begin { fingerprint }) if self.is_free(now) => {
                self.fingerprint = fingerprint;
                KeptState::Running { since: now }
            }
            (KeptState::Running { .. }, KeptEvent::Keep { status, body }) => {
                KeptState::Kept { at: now, status, body }
            }
            (KeptState::Running { .. }, KeptEvent::Release) => KeptState::Free,
            _ => return None,
        };
        Some(self)
    }
}
