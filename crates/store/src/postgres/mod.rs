//! Books in a PostgreSQL database, for several processes at once.
//!
//! One table holds all books, and a person can read it:
//!
//! ```text
//! psql "$GROAT_STORE" -c "SELECT key, state, updated_at, body::json FROM groat.records
//!                         WHERE book = 'settlements' AND NOT is_final"
//! ```
//!
//! There are no leases and no owner. Whoever writes says which version he has seen, and the transaction that writes
//! compares ([`group`] says why that is enough); a process that slept for an hour and wakes up with what it knew then
//! overwrites nothing.

mod decide;
mod doubts;
mod group;
mod password;
mod readers;
mod schema;
mod session;
mod target;
mod writers;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use groat_core::Fault;
use groat_core::books::Book;
use groat_core::ports::{Record, Store, Write};

use doubts::Doubts;
use readers::Readers;
use target::Target;
use writers::Writers;

/// Why a database cannot be the store. No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The URL makes no sense. It is not quoted, because what went wrong may be in its password.
    #[error(
        "the store's URL cannot be read: write postgres://user@host:5432/database, with % codes for special characters \
         of a password, and of options only what groat knows (sslmode=disable or sslmode=require among them)"
    )]
    Url,
    /// Nothing says whether the way to another machine is private.
    #[error(
        "{0} is another machine: add ?sslmode=require for TLS with a certificate that this machine trusts, or \
         ?sslmode=disable where the network between is private"
    )]
    TlsUnsaid(String),
    /// TLS cannot be set up.
    #[error("TLS to the store cannot be set up: {0}")]
    Tls(String),
    /// Others could read the password.
    #[error("{0} can be read by others: run `chmod 600 {0}`")]
    Readable(PathBuf),
    /// It does not answer, or not as it must.
    #[error("the store {place} cannot be used: {why}")]
    Unusable {
        /// The URL without the password.
        place: String,
        /// Why.
        why: String,
    },
    /// A newer groat has changed the tables so that this one would spoil them.
    #[error(
        "the store {place} has the format {found}, and this groat knows formats up to {known}: use a newer groat"
    )]
    Newer {
        /// The URL without the password.
        place: String,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
}

/// A store in a PostgreSQL database (13 or newer). Clones share its connections.
///
/// While the database is away, full or read-only every call is a fault within seconds; nothing is kept in memory to be
/// written later. It resumes by itself (threat row O08). A commit whose future is dropped may still happen.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    writers: Arc<Writers>,
    readers: Arc<Readers>,
}

impl PostgresStore {
    /// Connects to `postgres://user@host:port/database`, and makes or updates the tables.
    ///
    /// A password that the URL lacks comes from `PGPASSWORD`, else from the file `PGPASSFILE` or `~/.pgpass`.
    pub async fn open(url: &str) -> Result<Self, PostgresError> {
        let target = Arc::new(Target::parse(url)?);
        schema::prepare(&target).await?;
        let doubts = Arc::new(Doubts::default());
        let readers = Arc::new(Readers::new(&target, &doubts)?);
        Ok(Self { writers: Arc::new(Writers::start(&target, &doubts)), readers })
    }

    /// The URL without its password, for people; and why a text is no URL of a database.
    pub fn place(url: &str) -> Result<String, PostgresError> {
        Target::parse(url).map(|target| target.place().to_owned())
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        self.readers.get(book, key).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        crate::assert_distinct(&writes);
        self.writers.commit(writes).await
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        self.readers.scan(book, after, open_only, count_max).await
    }
}

fn unavailable(why: impl std::fmt::Display) -> Fault {
    Fault::unavailable("store", why)
}
