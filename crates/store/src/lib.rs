//! Where the three books lie: back ends of the store port, and the [`Journal`] that keeps one kind of record in them.
//!
//! Every back end passes one shared suite (`tests/it/suite.rs`). [`MemoryStore`] forgets everything and can be told to
//! misbehave, for tests; [`SqliteStore`] is the default on disk.

mod journal;
mod memory;
mod sqlite;

pub use journal::{Applied, Entry, Journal};
pub use memory::{MemoryStore, Trouble};
pub use sqlite::{OpenError, SqliteStore};
