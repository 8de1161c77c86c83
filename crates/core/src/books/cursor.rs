//! How far the events of a contract have been read.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::{Network, Timestamp};

/// One contract on one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The chain.
    pub network: Network,
    /// The contract.
    pub contract: String,
    /// The first block that has not been read.
    pub next: u64,
    /// The hash of the block before it, to notice a reorganisation.
    pub hash: String,
}

/// What can happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorEvent {
    /// Everything before this block has been read, or has to be read again from it.
    Move {
        /// The first block that has not been read.
        next: u64,
        /// The hash of the block before it.
        hash: String,
    },
}

impl Cursor {
    /// The key of a cursor.
    pub fn key_of(network: &Network, contract: &str) -> String {
        format!("{network}/{contract}")
    }
}

impl Aggregate for Cursor {
    type Event = CursorEvent;
    const BOOK: Book = Book::Cursors;

    fn key(&self) -> String {
        Self::key_of(&self.network, &self.contract)
    }

    fn state(&self) -> &'static str {
        "reading"
    }

    fn is_final(&self) -> bool {
        // Nothing has to be taken up after a crash.
        true
    }

    fn apply(self, event: CursorEvent, _now: Timestamp) -> Option<Self> {
        let CursorEvent::Move { next, hash } = event;
        Some(Self { next, hash, ..self })
    }
}
