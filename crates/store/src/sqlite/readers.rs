//! The threads that read.
//!
//! A query may wait for the disk, so none runs where requests are answered. One thread looks up records and one goes
//! through books, so that a look-up never waits for a scan. Queries that wait share one snapshot, which costs more than
//! a look-up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread::JoinHandle;

use groat_core::Fault;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{OpenError, schema};

/// Queries that wait; more callers wait for a place.
const QUEUE_MAX: usize = 1024;
/// Most queries in one snapshot: an old one keeps the write-ahead log from being taken back into the file.
const SNAPSHOT_QUERIES_MAX: usize = 64;

type Query = Box<dyn FnOnce(&Connection) + Send>;

/// A thread with a connection that only reads. Dropping it waits until everything queued is answered.
#[derive(Debug)]
pub(super) struct Reader {
    queries: Option<mpsc::Sender<Query>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(super) fn start(path: &Path, name: &str) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Sqlite { path: path.to_owned(), error };
        let connection = schema::connect_reader(path).map_err(failed)?;
        let (queries, queue) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&connection, queue))
            .map_err(|error| OpenError::File { path: path.to_owned(), error })?;
        Ok(Self { queries: Some(queries), thread: Some(thread) })
    }

    /// The answer to a query, which sees everything that was committed before it was asked.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let gone = || Fault::unavailable("store", "the reader has stopped");
        let (answer, answered) = oneshot::channel();
        let query: Query = Box::new(move |connection| {
            // Whoever does not wait any more asks again when it matters.
            let _ = answer.send(query(connection));
        });
        self.queries.as_ref().ok_or_else(gone)?.send(query).await.map_err(|_| gone())?;
        let answer = answered.await.map_err(|_| Fault::unavailable("store", "a query has failed"))?;
        answer.map_err(|error| Fault::unavailable("store", error))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.queries.take());
        if let Some(thread) = self.thread.take() {
            // It has no caller left to tell.
            let _ = thread.join();
        }
    }
}

fn work(connection: &Connection, mut queue: mpsc::Receiver<Query>) {
    let mut queries = Vec::with_capacity(SNAPSHOT_QUERIES_MAX);
    while queue.blocking_recv_many(&mut queries, SNAPSHOT_QUERIES_MAX) > 0 {
        // Taken after the last of them was asked. Where there is none each query takes its own.
        let snapshot = (queries.len() > 1).then(|| connection.unchecked_transaction());
        queries.drain(..).for_each(|query| run(connection, query));
        drop(snapshot);
    }
}

fn run(connection: &Connection, query: Query) {
    if catch_unwind(AssertUnwindSafe(|| query(connection))).is_err() {
        tracing::error!("a query panicked: this is a bug");
    }
}
