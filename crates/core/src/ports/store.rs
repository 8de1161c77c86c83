//! Where books are kept.

use async_trait::async_trait;

use crate::Fault;
use crate::books::Book;

/// What a write expects to find, so that two writers never overwrite each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No record with this key.
    Absent,
    /// The record at this version.
    Version(u64),
}

/// One change: the record becomes `body` at the next version (1 when it was absent).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The table.
    pub book: Book,
    /// The key in it.
    pub key: String,
    /// What must be there.
    pub expect: Expect,
    /// The state word, kept beside the body so that open records are found without reading all.
    pub state: &'static str,
    /// Whether nothing will happen to it any more.
    pub is_final: bool,
    /// The record as JSON text.
    pub body: String,
}

/// A record as it lies in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: String,
    /// Counts the writes, from 1.
    pub version: u64,
    /// JSON text.
    pub body: String,
}

/// Durable, linearisable key-value tables with compare-and-set over several records at once.
///
/// When `commit` has answered `Ok(true)`, the writes survive a crash of process and machine.
/// After an `Err` it is unknown whether they happened: read before you go on.
#[async_trait]
pub trait Store: Send + Sync {
    /// The record with this key.
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault>;

    /// All writes or none; `false` when an expectation did not hold.
    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault>;

    /// Up to `count_max` records after `after` in key order; only those not final when `open_only`.
    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault>;
}
