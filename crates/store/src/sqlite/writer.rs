//! The one thread that writes.

use std::fs::File;
use std::thread::JoinHandle;

use groat_core::Fault;
use groat_core::ports::{Expect, Write};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::schema::sql;

/// Most commits made durable together.
const GROUP_MAX: usize = 256;
/// A group is closed when its bodies have this size, so that small commits do not wait long behind large ones.
const GROUP_BYTES: usize = 4 << 20;
/// Commits that wait; more callers wait for a place.
const QUEUE_MAX: usize = 1024;

/// The way to the thread. Dropping it waits until everything queued is written.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Job {
    writes: Vec<Write>,
    answer: oneshot::Sender<Result<bool, Fault>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, lock: Option<File>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("groat-store".to_owned()).spawn(move || {
            Desk { connection, in_doubt: false }.work(queue);
            drop(lock);
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        let gone = || Fault::unavailable("store", "the writer has stopped");
        let (answer, answered) = oneshot::channel();
        self.jobs.as_ref().ok_or_else(gone)?.send(Job { writes, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It has no caller left to tell.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Desk {
    connection: Connection,
    /// A write went wrong and none has succeeded since.
    in_doubt: bool,
}

impl Desk {
    fn work(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let group = gather(first, &mut queue);
            match self.write(&group) {
                Ok(fits) => {
                    for (job, fits) in group.into_iter().zip(fits) {
                        // Whoever does not wait any more finds the record in the book.
                        let _ = job.answer.send(Ok(fits));
                    }
                }
                Err(error) => {
                    for job in group {
                        let _ = job.answer.send(Err(Fault::unavailable("store", &error)));
                    }
                }
            }
        }
    }

    /// All of the group or, by an error, nothing that is promised.
    fn write(&mut self, group: &[Job]) -> rusqlite::Result<Vec<bool>> {
        if self.in_doubt {
            probe(&self.connection)?;
            self.in_doubt = false;
            tracing::info!("the store can write again");
        }
        write_group(&mut self.connection, group).inspect_err(|error| {
            // Another process writes for longer than we wait: nothing was begun.
            self.in_doubt = error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy);
            // A log that holds the group but could not be synced would bring it back after a crash, when callers have
            // long read that it is not there. Overwriting the log now makes "not there" true; failing that, the next
            // group has to do it before anything else is promised.
            if self.in_doubt && probe(&self.connection).is_ok() {
                self.in_doubt = false;
            }
            tracing::error!(%error, refusing = self.in_doubt, "the store cannot write");
        })
    }
}

/// What waits, up to a limit.
fn gather(first: Job, queue: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let size = |job: &Job| job.writes.iter().map(|write| write.body.len()).sum::<usize>();
    let mut bytes = size(&first);
    let mut group = vec![first];
    while group.len() < GROUP_MAX && bytes < GROUP_BYTES {
        let Ok(job) = queue.try_recv() else { break };
        bytes += size(&job);
        group.push(job);
    }
    group
}

/// Writes something small all the way to the disk.
fn probe(connection: &Connection) -> rusqlite::Result<()> {
    let probe = "INSERT INTO meta VALUES ('probes', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1";
    connection.execute(probe, []).map(drop)
}

/// One transaction, one fsync. A job whose expectations do not hold leaves no trace.
fn write_group(connection: &mut Connection, group: &[Job]) -> rusqlite::Result<Vec<bool>> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let fits =
        group.iter().map(|job| write_job(&mut transaction, &job.writes)).collect::<Result<Vec<_>, _>>()?;
    transaction.commit()?;
    Ok(fits)
}

fn write_job(transaction: &mut Transaction<'_>, writes: &[Write]) -> rusqlite::Result<bool> {
    // A single write is all or nothing by itself.
    if let [write] = writes {
        return put(transaction, write);
    }
    let savepoint = transaction.savepoint()?;
    for write in writes {
        if !put(&savepoint, write)? {
            // Takes back what was put before.
            savepoint.finish()?;
            return Ok(false);
        }
    }
    savepoint.commit()?;
    Ok(true)
}

/// Writes where the expectation holds.
fn put(connection: &Connection, write: &Write) -> rusqlite::Result<bool> {
    let Write { book, key, expect, state, is_final, body } = write;
    let rows = match expect {
        Expect::Absent => {
            connection.prepare_cached(sql(*book).insert)?.execute(params![key, state, !is_final, body])?
        }
        Expect::Version(version) => connection.prepare_cached(sql(*book).update)?.execute(params![
            key,
            state,
            !is_final,
            body,
            version.cast_signed()
        ])?,
    };
    Ok(rows == 1)
}
