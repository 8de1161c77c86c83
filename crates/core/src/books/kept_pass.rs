//! A pass as its buyer keeps it.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::Timestamp;

/// The newest pass for one method and path of one seller. It is shown to nobody but that seller.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPass {
    /// A hash of method, origin and path.
    pub place: String,
    /// What is shown.
    pub token: String,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
    /// Whether it is shown as `Authorization: Bearer`, not in a field of its own.
    #[serde(default)]
    pub bearer: bool,
}

impl std::fmt::Debug for KeptPass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptPass").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What can happen to it.
#[derive(Clone, PartialEq, Eq)]
pub enum KeptPassEvent {
    /// A newer one takes its place.
    Replace(KeptPass),
    /// The seller takes it no more.
    Forget,
}

impl Aggregate for KeptPass {
    type Event = KeptPassEvent;
    const BOOK: Book = Book::KeptPasses;

    fn key(&self) -> String {
        self.place.clone()
    }

    fn state(&self) -> &'static str {
        if self.token.is_empty() { "forgotten" } else { "kept" }
    }

    fn is_final(&self) -> bool {
        // Nothing has to be taken up after a crash.
        true
    }

    fn apply(self, event: KeptPassEvent, _now: Timestamp) -> Option<Self> {
        match event {
            KeptPassEvent::Replace(newer) => (newer.place == self.place).then_some(newer),
            KeptPassEvent::Forget => Some(Self { token: String::new(), ..self }),
        }
    }
}
