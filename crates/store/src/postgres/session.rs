//! How a connection is set up, and what its errors mean.

use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};

use super::group;
use super::target::{CONNECT_TIMEOUT, Target};

/// The server gives up a statement after 5 s; whoever waits for its answer gives up a second later.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// What every connection says first, in one round trip.
///
/// An answered commit is on the disk: a server with `fsync` off cannot promise that, so it is refused. A session that
/// sleeps in a transaction (a stopped process, a cut cable) gives its locks back after 10 s. Every statement of ours
/// begins at a key, so a plan that reads a whole table is wrong however small the planner believes the table to be.
const SETUP: &str = "
SET statement_timeout = '5s'; SET lock_timeout = '3s'; SET idle_in_transaction_session_timeout = '10s';
SET default_transaction_isolation = 'read committed'; SET client_min_messages = 'error'; SET jit = off;
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
DO $$ BEGIN
  IF current_setting('server_version_num')::int < 130000 THEN
    RAISE 'PostgreSQL is older than version 13: use a newer one';
  END IF;
  IF current_setting('fsync') = 'off' THEN
    RAISE 'the server runs with fsync = off and loses what it has promised: turn fsync on';
  END IF;
  IF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE 'the encoding of the database is not UTF8: make one with CREATE DATABASE … ENCODING ''UTF8''';
  END IF;
  IF current_setting('synchronous_commit') <> 'remote_apply' THEN
    SET synchronous_commit = on;
  END IF;
END $$";

/// Why nothing, or perhaps something, was written.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing: others wrote the same records in between. All is rolled back and the session can go on.
    Raced,
    /// Nothing; and trying at once may help: a deadlock, a connection that had died.
    Again(String),
    /// Nothing, because of what one of the commits holds.
    Spoiled(String),
    /// Nothing; and trying at once does not help.
    Refused(String),
    /// Nothing; and the next to come would wait just as long for just as little.
    Gone(String),
    /// It may have been written, or be written yet: the server was told to commit and did not answer.
    Unknown(String),
}

impl Failure {
    /// What an error means that came before the server was told to commit.
    pub(super) fn before_commit(error: &Error) -> Self {
        let text = describe(error);
        match error.code().map(SqlState::code) {
            Some(code) if code.starts_with("40") || code.starts_with("57P") => Self::Again(text),
            Some(code) if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
                Self::Spoiled(text)
            }
            Some(_) => Self::Refused(text),
            None => Self::Again(text),
        }
    }

    /// What an error means that answers the word to commit. Only the server's own "rolled back" is a "no".
    pub(super) fn of_commit(error: &Error) -> Self {
        let text = describe(error);
        match error.code().map(SqlState::code) {
            Some(code) if code.starts_with("40") => Self::Again(text),
            _ => Self::Unknown(text),
        }
    }
}

/// What a person needs to know of an error: without the details, which may quote a record.
pub(super) fn describe(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Raced => "others write the same records all the time",
            Self::Again(why)
            | Self::Spoiled(why)
            | Self::Refused(why)
            | Self::Gone(why)
            | Self::Unknown(why) => why,
        })
    }
}

/// Sets a new connection up.
pub(super) async fn set_up(client: &Client) -> Result<(), Error> {
    client.batch_execute(SETUP).await
}

/// Which backend of the server works for us. Process ids are used again, so its start belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backend {
    pid: i32,
    started: SystemTime,
}

/// A connection that writes.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) backend: Backend,
    pub(super) lock: Statement,
    pub(super) insert: Statement,
    pub(super) update: Statement,
    task: JoinHandle<()>,
}

impl Session {
    pub(super) async fn open(target: &Target) -> Result<Self, Failure> {
        let opening = tokio::time::timeout(CONNECT_TIMEOUT, Self::connect(target)).await;
        let gone = |why: String| Failure::Gone(format!("{} does not answer: {why}", target.place()));
        match opening {
            Ok(result) => result.map_err(|error| gone(describe(&error))),
            Err(_) => Err(gone("no connection in time".to_owned())),
        }
    }

    async fn connect(target: &Target) -> Result<Self, Error> {
        let (client, task) = target.connect().await?;
        set_up(&client).await?;
        let who = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let who = client.query_one(who, &[]).await?;
        let backend = Backend { pid: who.try_get(0)?, started: who.try_get(1)? };
        let lock = client.prepare(group::LOCK).await?;
        let insert = client.prepare(group::INSERT).await?;
        let update = client.prepare(group::UPDATE).await?;
        Ok(Self { client, backend, lock, insert, update, task })
    }

    /// Cuts the connection, whatever is under way on it.
    pub(super) fn cut(self) {
        self.task.abort();
    }

    /// Ends another backend of ours and tells whether it is gone; what it was doing is then done or undone for good.
    pub(super) async fn end(&self, backend: Backend) -> Result<bool, Failure> {
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2";
        let bounds: [&(dyn ToSql + Sync); 2] = [&backend.pid, &backend.started];
        let rows = tokio::time::timeout(ANSWER_TIMEOUT, self.client.query(end, &bounds));
        match rows.await {
            Ok(Ok(rows)) => Ok(rows.is_empty()),
            Ok(Err(error)) => Err(Failure::before_commit(&error)),
            Err(_) => Err(Failure::Gone("no answer in time".to_owned())),
        }
    }
}
