//! Books in one SQLite file, readable with the `sqlite3` shell.
//!
//! One thread writes. It takes every commit that waits, checks each against what the earlier ones of the group will
//! leave behind, and makes all of them durable with one fsync (write-ahead log, `synchronous=FULL`). Readers have a
//! connection of their own and see whatever has been answered.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use groat_core::Fault;
use groat_core::books::Book;
use groat_core::ports::{Expect, Record, Store, Write};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

/// A store in an SQLite file. Clones share it.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    reader: Arc<Mutex<Connection>>,
    writer: mpsc::Sender<Job>,
}

/// Why a file cannot be the store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Others could read keys of payments and answers.
    #[error("{0} can be read by others: run `chmod 600 {0}`")]
    Readable(PathBuf),
    /// Two writers would not see each other's reservations in memory.
    #[error("{0} is in use by another groat process: stop it, or name another folder with --data-dir")]
    InUse(PathBuf),
    /// A newer groat has written it.
    #[error("{path} has the format {found}, and this groat knows formats up to {known}: use a newer groat")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The folder or file cannot be made.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// SQLite does not like it.
    #[error("{path}: {error}")]
    Sqlite {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}

struct Job {
    writes: Vec<Write>,
    answer: oneshot::Sender<Result<bool, Fault>>,
}

/// The format of the file; a change that older programs cannot read counts it up.
const FORMAT: i64 = 1;
/// Most commits made durable together.
const GROUP_MAX: usize = 256;

impl SqliteStore {
    /// Opens or makes the file, for this process alone.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        Self::start(path, Some(lock))
    }

    /// Opens or makes the file beside other processes. Compare-and-set holds across them all; only whoever keeps
    /// reservations in memory needs [`SqliteStore::open`].
    pub fn open_shared(path: &Path) -> Result<Self, OpenError> {
        Self::start(path, None)
    }

    fn start(path: &Path, lock: Option<File>) -> Result<Self, OpenError> {
        make_private(path)?;
        let sqlite = |error| OpenError::Sqlite { path: path.to_owned(), error };
        let connection = connect(path).map_err(sqlite)?;
        prepare(&connection).map_err(sqlite)?;
        let found: i64 = connection
            .query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0))
            .map_err(sqlite)?;
        if found > FORMAT {
            return Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT });
        }
        let reader = Arc::new(Mutex::new(connect(path).map_err(sqlite)?));
        let (writer, jobs) = mpsc::channel();
        let spawned = std::thread::Builder::new().name("groat-store".to_owned()).spawn(move || {
            write_all(connection, &jobs);
            drop(lock);
        });
        spawned.map_err(|error| OpenError::File { path: path.to_owned(), error })?;
        Ok(Self { reader, writer })
    }

    /// Runs a query where it may wait for the disk without holding up other tasks.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let reader = Arc::clone(&self.reader);
        let result = tokio::task::spawn_blocking(move || {
            let connection = reader.lock().unwrap_or_else(PoisonError::into_inner);
            query(&connection)
        });
        match result.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Fault::unavailable("store", error)),
            Err(error) => Err(Fault::unavailable("store", error)),
        }
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = path.with_added_extension("lock");
    make_private(&lock_path)?;
    let failed = |error| OpenError::File { path: lock_path.clone(), error };
    let file = OpenOptions::new().write(true).open(&lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Makes the file with mode 0600 in a folder with mode 0700; refuses one that others can read (threat row K09).
fn make_private(path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::File { path: path.to_owned(), error };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let made =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
    if made.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(OpenError::Readable(path.to_owned()));
    }
    Ok(())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    let mut schema = String::from(
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
         INSERT OR IGNORE INTO meta VALUES ('format', 1);",
    );
    for book in Book::ALL {
        let table = book.table();
        schema += &format!(
            "CREATE TABLE IF NOT EXISTS {table} (
                 key TEXT PRIMARY KEY, version INTEGER NOT NULL, state TEXT NOT NULL, open INTEGER NOT NULL,
                 body TEXT NOT NULL, updated_at TEXT NOT NULL
             ) STRICT, WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS {table}_open ON {table} (key) WHERE open = 1;"
        );
    }
    connection.execute_batch(&(schema + "COMMIT;"))
}

/// The writer thread: ends when every handle is gone.
fn write_all(mut connection: Connection, jobs: &mpsc::Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            match jobs.try_recv() {
                Ok(job) => group.push(job),
                Err(_) => break,
            }
        }
        match write_group(&mut connection, &group) {
            Ok(fits) => {
                for (job, fits) in group.into_iter().zip(fits) {
                    // Whoever does not wait any more finds the record in the book.
                    let _ = job.answer.send(Ok(fits));
                }
            }
            // Full disk, failed fsync, locked file: nothing of the group is promised, and the next group tries anew
            // (threat row O08). SQLite has rolled back what it could not make durable.
            Err(error) => {
                tracing::error!(%error, "the store cannot write");
                for job in group {
                    let _ = job.answer.send(Err(Fault::unavailable("store", &error)));
                }
            }
        }
    }
}

/// One transaction, one fsync. A job whose expectations do not hold leaves no trace.
fn write_group(connection: &mut Connection, group: &[Job]) -> rusqlite::Result<Vec<bool>> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut fits = Vec::with_capacity(group.len());
    for job in group {
        let mut all = true;
        for write in &job.writes {
            if !holds(&transaction, write)? {
                all = false;
                break;
            }
        }
        if all {
            for write in &job.writes {
                put(&transaction, write)?;
            }
        }
        fits.push(all);
    }
    transaction.commit()?;
    Ok(fits)
}

fn holds(connection: &Connection, write: &Write) -> rusqlite::Result<bool> {
    let query = format!("SELECT version FROM {} WHERE key = ?1", write.book.table());
    let found: Option<i64> =
        connection.prepare_cached(&query)?.query_row([&write.key], |row| row.get(0)).optional()?;
    Ok(match write.expect {
        Expect::Absent => found.is_none(),
        Expect::Version(version) => found.is_some_and(|found| found.cast_unsigned() == version),
    })
}

fn put(connection: &Connection, write: &Write) -> rusqlite::Result<()> {
    let version = if let Expect::Version(version) = write.expect { version + 1 } else { 1 };
    let statement = format!(
        "INSERT INTO {} (key, version, state, open, body, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, datetime('now'))
         ON CONFLICT (key) DO UPDATE SET version = ?2, state = ?3, open = ?4, body = ?5, updated_at = datetime('now')",
        write.book.table()
    );
    let row = params![write.key, version.cast_signed(), write.state, !write.is_final, write.body];
    connection.prepare_cached(&statement)?.execute(row).map(drop)
}

fn record(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { key: row.get(0)?, version: row.get::<_, i64>(1)?.cast_unsigned(), body: row.get(2)? })
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        let key = key.to_owned();
        self.read(move |connection| {
            let query = format!("SELECT key, version, body FROM {} WHERE key = ?1", book.table());
            connection.prepare_cached(&query)?.query_row([&key], record).optional()
        })
        .await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        let (answer, answered) = oneshot::channel();
        let gone = || Fault::unavailable("store", "the writer has stopped");
        self.writer.send(Job { writes, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        let after = after.map(str::to_owned);
        self.read(move |connection| {
            let table = book.table();
            let open = if open_only { "open = 1 AND" } else { "" };
            let query = format!(
                "SELECT key, version, body FROM {table} WHERE {open} (?1 IS NULL OR key > ?1) ORDER BY key LIMIT ?2"
            );
            let limit = i64::try_from(count_max).unwrap_or(i64::MAX);
            connection.prepare_cached(&query)?.query_map(params![after, limit], record)?.collect()
        })
        .await
    }
}
