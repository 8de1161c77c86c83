//! Tables, statements and how a connection is set up.

use std::path::Path;
use std::time::Duration;

use groat_core::books::Book;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::OpenError;

/// The format of the file; a change that older programs cannot read counts it up.
const FORMAT: i64 = 1;
/// How long to wait for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The statements of one book.
pub(super) struct Sql {
    /// `key` → key, version, body.
    pub(super) get: &'static str,
    /// `after, from the start?, limit` → the same, in key order.
    pub(super) scan: &'static str,
    /// The same without the final ones.
    pub(super) scan_open: &'static str,
    /// `key, state, open, body`; nothing happens when the key exists.
    pub(super) insert: &'static str,
    /// `key, state, open, body, version`; nothing happens when the version is another.
    pub(super) update: &'static str,
}

macro_rules! sql {
    ($table:literal) => {
        Sql {
            get: concat!("SELECT key, version, body FROM ", $table, " WHERE key = ?1"),
            // `key >= ?1` is the range, the rest only drops the bound itself: an OR alone would read from the start.
            scan: concat!(
                "SELECT key, version, body FROM ",
                $table,
                " WHERE key >= ?1 AND (?2 OR key > ?1) ORDER BY key LIMIT ?3"
            ),
            scan_open: concat!(
                "SELECT key, version, body FROM ",
                $table,
                " INDEXED BY ",
                $table,
                "_open WHERE open = 1 AND key >= ?1 AND (?2 OR key > ?1) ORDER BY key LIMIT ?3"
            ),
            insert: concat!(
                "INSERT INTO ",
                $table,
                " (key, version, state, open, body, updated_at) VALUES (?1, 1, ?2, ?3, ?4, datetime('now'))
                 ON CONFLICT (key) DO NOTHING"
            ),
            update: concat!(
                "UPDATE ",
                $table,
                " SET version = version + 1, state = ?2, open = ?3, body = ?4, updated_at = datetime('now')
                 WHERE key = ?1 AND version = ?5"
            ),
        }
    };
}

pub(super) fn sql(book: Book) -> &'static Sql {
    match book {
        Book::Purchases => &const { sql!("purchases") },
        Book::Sales => &const { sql!("sales") },
        Book::Settlements => &const { sql!("settlements") },
        Book::Nonces => &const { sql!("nonces") },
        Book::Lanes => &const { sql!("lanes") },
        Book::Gates => &const { sql!("gates") },
        Book::Events => &const { sql!("events") },
        Book::Budgets => &const { sql!("budgets") },
        Book::Passes => &const { sql!("passes") },
        Book::KeptPasses => &const { sql!("kept_passes") },
        Book::Endpoints => &const { sql!("webhook_endpoints") },
        Book::Deliveries => &const { sql!("webhook_deliveries") },
        Book::Requests => &const { sql!("requests") },
        Book::Cursors => &const { sql!("cursors") },
        Book::Answers => &const { sql!("answers") },
        Book::Indexed => &const { sql!("indexed") },
        Book::IndexCursors => &const { sql!("index_cursors") },
        Book::Accounts => &const { sql!("accounts") },
        Book::Postings => &const { sql!("postings") },
        Book::StatementLines => &const { sql!("statement_lines") },
        Book::Checkouts => &const { sql!("checkouts") },
        Book::OrderKeys => &const { sql!("order_keys") },
    }
}

/// The first connection to a file: makes the tables where there are none.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::Sqlite { path: path.to_owned(), error };
    let mut connection = connect(path).map_err(sqlite)?;
    // Before anything is changed in what may be somebody else's file.
    let ours = "SELECT count(*) = 0 OR sum(name = 'meta') > 0 FROM sqlite_schema";
    if !connection.query_row(ours, [], |row| row.get::<_, bool>(0)).map_err(sqlite)? {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    write_ahead(&connection).map_err(sqlite)?;
    let found = prepare(&mut connection).map_err(sqlite)?;
    if found > FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(connection)
}

/// A further connection to a file that [`open`] has prepared.
pub(super) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // The file exists already, with the right mode; a path that begins with `file:` is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Without it fsync on macOS leaves the bytes in the drive's cache. Elsewhere it means nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Readers and the writer do not wait for each other. Remembered in the file.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            // SQLite does not wait here when another process is making the same change.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && tries < 100 => {
                tries += 1;
                std::thread::sleep(BUSY_TIMEOUT / 100);
            }
            result => return result,
        }
    }
}

/// Makes what is missing and answers the format of the file; a newer file stays as it is.
fn prepare(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;",
    )?;
    transaction.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?1)", [FORMAT])?;
    let found = transaction.query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0))?;
    if found > FORMAT {
        return Ok(found);
    }
    for table in Book::ALL.map(Book::table) {
        transaction.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (
                 key TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, state TEXT NOT NULL,
                 open INTEGER NOT NULL, body TEXT NOT NULL, updated_at TEXT NOT NULL
             ) STRICT;
             CREATE INDEX IF NOT EXISTS {table}_open ON {table} (key) WHERE open = 1;"
        ))?;
    }
    transaction.commit()?;
    Ok(found)
}

#[cfg(test)]
mod tests;
