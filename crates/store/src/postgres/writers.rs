//! The few connections that write, and the commits that wait for them.

use std::sync::Arc;
use std::time::Duration;

use groat_core::Fault;
use groat_core::ports::Write;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::doubts::Doubts;
use super::session::{Backend, Failure, Session};
use super::target::Target;
use super::{group, unavailable};

/// Connections that write: while one waits for the disk, the next group is on its way.
const COUNT: usize = 2;
/// Most commits made durable together.
const GROUP_MAX: usize = 256;
/// A group is closed when its bodies have this size, so that small commits do not wait long behind large ones.
const GROUP_BYTES: usize = 4 << 20;
/// Bytes of commits that wait. What comes on top is refused at once: a queue that only grows helps nobody.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// What a write weighs besides its body, so that the count of those that wait is bounded as well.
const WRITE_BYTES: usize = 1 << 10;
/// How long a group is tried again after deadlocks, lost races for new keys and lost connections.
const TRY_FOR: Duration = Duration::from_secs(5);
/// Between two tries to find out how a commit ended, and the unit of the pauses between two tries of a group.
const PAUSE: Duration = Duration::from_millis(20);

/// The way to the connections. When it is dropped, what waits is still written.
#[derive(Debug)]
pub(super) struct Writers {
    jobs: mpsc::UnboundedSender<Job>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Job {
    writes: Vec<Write>,
    answer: oneshot::Sender<Result<bool, Fault>>,
    _room: OwnedSemaphorePermit,
}

impl Writers {
    pub(super) fn start(target: &Arc<Target>, doubts: &Arc<Doubts>) -> Self {
        let (jobs, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(Queue(Mutex::new(queue)));
        for _ in 0..COUNT {
            let (target, queue, doubts) = (Arc::clone(target), Arc::clone(&queue), Arc::clone(doubts));
            tokio::spawn(Writer { target, queue, doubts, session: None }.work());
        }
        Self { jobs, room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)) }
    }

    pub(super) async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        let bytes = u32::try_from(weight(&writes)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        let _room = room.map_err(|_| unavailable("too many commits wait for the database"))?;
        let gone = || unavailable("the writers have stopped");
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { writes, answer, _room }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn weight(writes: &[Write]) -> usize {
    writes.iter().map(|write| write.body.len() + write.key.len() + WRITE_BYTES).sum()
}

/// The commits that wait, for whichever connection is free.
struct Queue(Mutex<mpsc::UnboundedReceiver<Job>>);

impl Queue {
    /// What waits, up to a limit; `None` when nothing will come any more. Callers that have left are left out.
    async fn gather(&self) -> Option<Vec<Job>> {
        let mut queue = self.0.lock().await;
        let first = queue.recv().await?;
        let mut bytes = weight(&first.writes);
        let mut group = vec![first];
        while group.len() < GROUP_MAX && bytes < GROUP_BYTES {
            let Ok(job) = queue.try_recv() else { break };
            bytes += weight(&job.writes);
            group.push(job);
        }
        group.retain(|job| !job.answer.is_closed());
        Some(group)
    }

    /// Sends everybody away who waits: behind a database that is gone they would only wait longer.
    fn refuse(&self, why: &Failure) {
        // Whoever holds the lock waits for the next commit, so nobody waits for him.
        let Ok(mut queue) = self.0.try_lock() else { return };
        while let Ok(job) = queue.try_recv() {
            let _ = job.answer.send(Err(unavailable(why)));
        }
    }
}

/// One connection, made when it is needed.
struct Writer {
    target: Arc<Target>,
    queue: Arc<Queue>,
    doubts: Arc<Doubts>,
    session: Option<Session>,
}

impl Writer {
    async fn work(mut self) {
        while let Some(group) = self.queue.gather().await {
            self.settle(group).await;
        }
    }

    /// Writes a group and answers everybody in it.
    async fn settle(&mut self, group: Vec<Job>) {
        match self.write(&group).await {
            // One of them cannot be stored: the others are written without it.
            Err((Failure::Spoiled(_), _)) if group.len() > 1 => {
                for job in group {
                    let alone = [job];
                    let result = self.write(&alone).await;
                    self.answer(alone.into(), result).await;
                }
            }
            result => self.answer(group, result).await,
        }
    }

    async fn answer(&mut self, group: Vec<Job>, result: Result<Vec<bool>, (Failure, Option<Backend>)>) {
        let (failure, backend) = match result {
            Ok(fits) => {
                for (job, fits) in group.into_iter().zip(fits) {
                    // Whoever does not wait any more finds the record in the book.
                    let _ = job.answer.send(Ok(fits));
                }
                return;
            }
            Err(failed) => failed,
        };
        tracing::error!(%failure, commits = group.len(), "the store cannot write");
        let unknown = matches!(failure, Failure::Unknown(_)).then_some(backend).flatten();
        if unknown.is_some() {
            self.doubts.arise();
        }
        for job in group {
            let _ = job.answer.send(Err(unavailable(&failure)));
        }
        if matches!(failure, Failure::Gone(_)) {
            self.queue.refuse(&failure);
        }
        if let Some(backend) = unknown {
            self.wait_for_the_end(backend).await;
            self.doubts.end();
        }
    }

    /// Tries for as long as it makes sense. With a failure comes the backend that met it.
    async fn write(&mut self, group: &[Job]) -> Result<Vec<bool>, (Failure, Option<Backend>)> {
        let writes: Vec<&[Write]> = group.iter().map(|job| job.writes.as_slice()).collect();
        let (start, mut tries) = (Instant::now(), 0);
        loop {
            let session = match self.session.take() {
                Some(session) if !session.client.is_closed() => session,
                _ => Session::open(&self.target).await.map_err(|failure| (failure, None))?,
            };
            let backend = session.backend;
            match group::write(&session, &writes).await {
                Ok(fits) => {
                    self.session = Some(session);
                    return Ok(fits);
                }
                Err(failure) => {
                    match failure {
                        Failure::Raced => self.session = Some(session),
                        // In the middle of a transaction: the server rolls it back when it sees the connection end.
                        _ => session.cut(),
                    }
                    let again = matches!(failure, Failure::Raced | Failure::Again(_));
                    if !again || start.elapsed() > TRY_FOR {
                        return Err((failure, Some(backend)));
                    }
                    tracing::debug!(%failure, "a group of commits is tried again");
                }
            }
            // The first time at once: whoever won the race has finished.
            tokio::time::sleep(PAUSE * tries.min(10)).await;
            tries += 1;
        }
    }

    /// Returns when the server's process that was told to commit has ended: its commit then stands, or never will.
    async fn wait_for_the_end(&mut self, backend: Backend) {
        loop {
            let ended = match Session::open(&self.target).await {
                Ok(session) => {
                    let ended = session.end(backend).await;
                    self.session = Some(session);
                    ended
                }
                Err(failure) => Err(failure),
            };
            match ended {
                Ok(true) => return,
                Ok(false) => tokio::time::sleep(PAUSE).await,
                Err(failure) => {
                    tracing::debug!(%failure, "how a commit ended is not known yet");
                    self.queue.refuse(&failure);
                    tokio::time::sleep(PAUSE * 10).await;
                }
            }
        }
    }
}
