//! Where the three books lie: back ends of the store port, and the [`Journal`] that keeps one kind of record in them.
//!
//! Every back end passes one shared suite (`tests/it/suite.rs`). [`MemoryStore`] forgets everything and can be told to
//! misbehave, for tests; [`SqliteStore`] is the default on disk; [`PostgresStore`] is for several processes on several
//! machines.

mod journal;
mod memory;
mod postgres;
mod sqlite;

pub use journal::{Applied, Entry, Journal};
pub use memory::{MemoryStore, Trouble};
pub use postgres::{PostgresError, PostgresStore};
pub use sqlite::{OpenError, SqliteStore};

use groat_core::ports::Write;

/// A commit that names a record twice has no meaning that all back ends share: a bug in the caller, found in its first
/// test.
fn assert_distinct(writes: &[Write]) {
    for (index, write) in writes.iter().enumerate() {
        let twice = writes[..index].iter().any(|other| (other.book, &other.key) == (write.book, &write.key));
        assert!(!twice, "a commit names {} {} twice", write.book.table(), write.key);
    }
}
