//! What an indexer has read from a chain: the payments, and how far it has come.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::{Amount, Timestamp};

/// A payment that an event of a chain tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedPayment {
    /// `payment` or `subscription`.
    pub event_type: String,
    /// The service, a whole number.
    pub service_id: Amount,
    /// Who paid, in lower case.
    pub payer: String,
    /// Who earned, in lower case.
    pub provider: String,
    /// How much.
    pub amount: Amount,
    /// What the platform kept of it.
    pub platform_fee: Amount,
    /// In which block.
    pub block: u64,
    /// When that was made.
    pub block_time: Timestamp,
    /// In which transaction.
    pub transaction: String,
    /// Which event of the block.
    pub log_index: u64,
    /// Whether a reorganisation has taken it away.
    pub undone: bool,
}

/// What can happen to an indexed payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexedPaymentEvent {
    /// Its block is not part of the chain any more.
    Undo,
    /// What lies at its place now, after it was undone.
    Replace(Box<IndexedPayment>),
}

impl Aggregate for IndexedPayment {
    type Event = IndexedPaymentEvent;
    const BOOK: Book = Book::Indexed;

    fn key(&self) -> String {
        format!("{:020}/{:010}", self.block, self.log_index)
    }

    fn state(&self) -> &'static str {
        if self.undone { "undone" } else { "there" }
    }

    fn is_final(&self) -> bool {
        false
    }

    fn apply(self, event: IndexedPaymentEvent, _now: Timestamp) -> Option<Self> {
        match event {
            IndexedPaymentEvent::Undo if !self.undone => Some(Self { undone: true, ..self }),
            IndexedPaymentEvent::Replace(other) if self.undone && other.key() == self.key() => Some(*other),
            _ => None,
        }
    }
}

/// How far an indexer has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexCursor {
    /// What is read: chain, contracts and first block. A cursor is good for this alone.
    pub source: String,
    /// The last blocks that were read up to, with their hashes, the newest last; empty before the first.
    pub read: Vec<(u64, String)>,
    /// When it last moved.
    pub moved_at: Timestamp,
}

impl IndexCursor {
    /// Places that are remembered, to find back to after a reorganisation.
    pub const REMEMBERED: usize = 256;

    /// The newest block that was read, with its hash.
    pub fn last(&self) -> Option<&(u64, String)> {
        self.read.last()
    }
}

/// Where a cursor goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexCursorEvent {
    /// On, to this block.
    Advance(u64, String),
    /// Back, to so many of the remembered places.
    Return(usize),
}

impl Aggregate for IndexCursor {
    type Event = IndexCursorEvent;
    const BOOK: Book = Book::IndexCursors;

    fn key(&self) -> String {
        "agentxpay".to_owned()
    }

    fn state(&self) -> &'static str {
        "reading"
    }

    fn is_final(&self) -> bool {
        false
    }

    fn apply(mut self, event: IndexCursorEvent, now: Timestamp) -> Option<Self> {
        match event {
            IndexCursorEvent::Advance(block, hash) => {
                if self.last().is_some_and(|(last, _)| *last >= block) {
                    return None;
                }
                self.read.push((block, hash));
                let excess = self.read.len().saturating_sub(Self::REMEMBERED);
                self.read.drain(..excess);
            }
            IndexCursorEvent::Return(kept) => {
                if kept >= self.read.len() {
                    return None;
                }
                self.read.truncate(kept);
            }
        }
        self.moved_at = now;
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_one_by_one_and_back_to_where_it_was() {
        let cursor = IndexCursor { source: String::new(), read: Vec::new(), moved_at: Timestamp(0) };
        let go = |cursor: IndexCursor, event| cursor.apply(event, Timestamp(1));
        let at = |block| IndexCursorEvent::Advance(block, format!("0x{block}"));
        let cursor = (1..=300).fold(cursor, |cursor, block| go(cursor, at(block)).unwrap());
        assert_eq!(cursor.read.len(), IndexCursor::REMEMBERED);
        assert_eq!(go(cursor.clone(), at(300)), None);
        assert_eq!(go(cursor.clone(), IndexCursorEvent::Return(256)), None);
        let back = go(cursor, IndexCursorEvent::Return(1)).unwrap();
        assert_eq!(back.last(), Some(&(45, "0x45".to_owned())));
    }
}
