//! A few connections that only read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use groat_core::Fault;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{OpenError, schema};

/// Reads at the same time; more wait for their turn without holding a thread.
const COUNT: usize = 3;

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let connections: rusqlite::Result<Vec<_>> =
            (0..COUNT).map(|_| schema::connect_reader(path)).collect();
        let connections = connections.map_err(|error| OpenError::Sqlite { path: path.to_owned(), error })?;
        Ok(Self { free: Arc::new(Mutex::new(connections)), turns: Arc::new(Semaphore::new(COUNT)) })
    }

    /// Runs a query where it may wait for the disk without holding up other tasks.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|error| Fault::unavailable("store", error))?;
        let free = Arc::clone(&self.free);
        // The turn goes with the work: it is not over when the caller stops waiting.
        let work = tokio::task::spawn_blocking(move || Lent::take(free, turn).run(query));
        match work.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Fault::unavailable("store", error)),
            Err(error) => Err(Fault::unavailable("store", error)),
        }
    }
}

/// A connection that goes back when its query is done, also by a panic.
struct Lent {
    connection: Option<Connection>,
    free: Arc<Mutex<Vec<Connection>>>,
    _turn: OwnedSemaphorePermit,
}

impl Lent {
    fn take(free: Arc<Mutex<Vec<Connection>>>, turn: OwnedSemaphorePermit) -> Self {
        let connection = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { connection, free, _turn: turn }
    }

    fn run<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        query(self.connection.as_ref().expect("as many turns as connections"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}
