//! The shared suite, run against every back end, and what only a file can show.

#![allow(clippy::unwrap_used, missing_docs)]

mod crash;
mod disk_full;
mod fsync_fails;
mod journal;
mod memory;
mod postgres;
mod postgres_crash;
mod postgres_tls;
mod sqlite_file;
mod suite;

use std::sync::Arc;

use groat_store::{MemoryStore, PostgresStore, SqliteStore};

suite::run!(memory_keeps_the_promises_of_a_store, async {
    suite::Fresh { store: Arc::new(MemoryStore::default()), keep: Box::new(()) }
});

suite::run!(sqlite_keeps_the_promises_of_a_store, async {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("deep/book.db")).unwrap());
    suite::Fresh { store, keep: Box::new(folder) }
});

suite::run!(shared_sqlite_keeps_the_promises_of_a_store, async {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open_shared(&folder.path().join("book.db")).unwrap());
    suite::Fresh { store, keep: Box::new(folder) }
});

suite::run!(postgres_keeps_the_promises_of_a_store, async {
    let store = Arc::new(PostgresStore::open(&postgres::shared().database()).await.unwrap());
    suite::Fresh { store, keep: Box::new(()) }
});
