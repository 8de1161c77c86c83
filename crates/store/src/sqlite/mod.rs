//! Books in one SQLite file, readable with the `sqlite3` shell.
//!
//! One thread writes: it makes all commits that wait durable with one fsync (write-ahead log, `synchronous=FULL`).
//! Two more read, with connections of their own, and see whatever has been answered.
//!
//! To look at a book while groat runs:
//!
//! ```text
//! sqlite3 -readonly book.db "SELECT key, state, updated_at FROM settlements WHERE open = 1"
//! ```

mod file;
mod readers;
mod schema;
mod writer;

pub use file::OpenError;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use groat_core::Fault;
use groat_core::books::Book;
use groat_core::ports::{Record, Store, Write};
use rusqlite::OptionalExtension;

use readers::Reader;
use writer::Writer;

/// A store in an SQLite file. Clones share it; when the last is dropped, everything begun is finished and the file is
/// free again.
///
/// While the disk is full or broken, commits are refused and reads go on; each commit first tries whether writing
/// works again, so that no restart is needed (threat row O08). A commit whose future is dropped may still happen.
#[derive(Debug, Clone)]
pub struct SqliteStore(Arc<Connections>);

// Readers go first, so that the writer is the last to close and takes the write-ahead log back into the file.
#[derive(Debug)]
struct Connections {
    lookups: Reader,
    scans: Reader,
    writer: Writer,
}

impl SqliteStore {
    /// Opens or makes the file, for this process alone.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = file::lock(path)?;
        Self::start(path, Some(lock))
    }

    /// Opens or makes the file beside other processes. Compare-and-set holds across them all; only whoever keeps
    /// reservations in memory needs [`SqliteStore::open`].
    pub fn open_shared(path: &Path) -> Result<Self, OpenError> {
        Self::start(path, None)
    }

    fn start(path: &Path, lock: Option<std::fs::File>) -> Result<Self, OpenError> {
        file::make_private(path)?;
        let connection = schema::open(path)?;
        let lookups = Reader::start(path, "groat-lookups")?;
        let scans = Reader::start(path, "groat-scans")?;
        let writer = Writer::start(connection, lock)
            .map_err(|error| OpenError::File { path: path.to_owned(), error })?;
        Ok(Self(Arc::new(Connections { lookups, scans, writer })))
    }
}

fn record(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { key: row.get(0)?, version: row.get::<_, i64>(1)?.cast_unsigned(), body: row.get(2)? })
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        let key = key.to_owned();
        let query = move |connection: &rusqlite::Connection| {
            connection.prepare_cached(schema::sql(book).get)?.query_row([&key], record).optional()
        };
        self.0.lookups.read(query).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        crate::assert_distinct(&writes);
        self.0.writer.commit(writes).await
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        let after = after.map(str::to_owned);
        let limit = i64::try_from(count_max).unwrap_or(i64::MAX);
        let query = move |connection: &rusqlite::Connection| {
            let sql = schema::sql(book);
            let query = if open_only { sql.scan_open } else { sql.scan };
            // The empty key is the least of all and may exist, so "from the start" is not "after the empty key".
            let first = after.is_none();
            let bound = (after.unwrap_or_default(), first, limit);
            connection.prepare_cached(query)?.query_map(bound, record)?.collect()
        };
        self.0.scans.read(query).await
    }
}
