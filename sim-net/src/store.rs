//! Disks that survive crashes, and a store on one that misbehaves.
//!
//! A commit is on the disk at one moment between its beginning and its answer. A process that dies before that moment
//! has written nothing; one that dies after it has written everything, whether or not it knew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use groat_core::Fault as Trouble;
use groat_core::books::Book;
use groat_core::ports::{Expect, Record, Store, Write};
use groat_store::MemoryStore;

use crate::fault::{Fault, Planted};
use crate::stage::{Stage, lock};

/// What a process leaves behind.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Platter>>);

#[derive(Default)]
struct Platter {
    store: MemoryStore,
    /// Everything that was written, to be able to forget the end of it.
    log: Vec<Vec<Write>>,
}

impl Disk {
    pub(crate) fn store(&self) -> MemoryStore {
        lock(&self.0).store.clone()
    }

    fn write(&self, writes: Vec<Write>) -> Result<bool, Trouble> {
        let mut platter = lock(&self.0);
        // A store in memory answers at once.
        let done = platter.store.commit(writes.clone()).now_or_never().unwrap_or(Ok(false))?;
        if done {
            platter.log.push(writes);
        }
        Ok(done)
    }

    /// Forgets the last commit, as a disk that lies about having written does when the power goes.
    pub(crate) fn forget_last(&self) {
        let mut platter = lock(&self.0);
        platter.log.pop();
        let store = MemoryStore::default();
        for writes in &platter.log {
            let _ = store.commit(writes.clone()).now_or_never();
        }
        platter.store = store;
    }
}

/// A process's way to its disk.
pub(crate) struct SimStore {
    pub(crate) stage: Arc<Stage>,
    pub(crate) disk: Disk,
    pub(crate) stopped: Stopped,
}

/// Until when a process is stopped, in milliseconds of the run.
#[derive(Clone, Default)]
pub(crate) struct Stopped(Arc<AtomicU64>);

impl Stopped {
    pub(crate) fn until(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }

    async fn wait(&self, stage: &Stage) {
        while stage.now_ms() < self.0.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn trouble() -> Trouble {
    Trouble::unavailable("store", "simulated")
}

impl SimStore {
    async fn read(&self) -> Result<MemoryStore, Trouble> {
        self.stopped.wait(&self.stage).await;
        if self.stage.chance(200) {
            self.stage.pause_ms(1, 20).await;
        }
        if self.stage.strikes(Fault::ReadFailed) { Err(trouble()) } else { Ok(self.disk.store()) }
    }

    /// Writes whatever is expected to be there.
    async fn blind(&self, mut writes: Vec<Write>) -> Vec<Write> {
        for write in &mut writes {
            let found = self.disk.store().get(write.book, &write.key).await;
            write.expect =
                found.ok().flatten().map_or(Expect::Absent, |record| Expect::Version(record.version));
        }
        writes
    }
}

#[async_trait]
impl Store for SimStore {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Trouble> {
        self.read().await?.get(book, key).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Trouble> {
        let stage = &self.stage;
        self.stopped.wait(stage).await;
        if stage.strikes(Fault::CommitFailed) {
            return Err(trouble());
        }
        let slow = stage.strikes(Fault::SlowDisk);
        stage.pause_ms(1, if slow { 4_000 } else { 20 }).await;
        let writes = if stage.planted(Planted::BlindWrites) { self.blind(writes).await } else { writes };
        let words = writes.iter().map(|write| format!("{:?} {} {}", write.book, write.key, write.state));
        let words = words.collect::<Vec<_>>().join(", ");
        let written = self.disk.write(writes);
        stage.note("written", u64::from(matches!(written, Ok(true))), || words);
        stage.pause_ms(1, if slow { 2_000 } else { 10 }).await;
        self.stopped.wait(stage).await;
        if stage.strikes(Fault::CommitReplyLost) {
            return Err(trouble());
        }
        written
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Trouble> {
        self.read().await?.scan(book, after, open_only, count_max).await
    }
}
