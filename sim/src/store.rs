//! A store that survives crashes and misbehaves: the durable part outlives the handles, a handle dies with its process.

use std::sync::Arc;

use async_trait::async_trait;
use groat_core::Fault as StoreFault;
use groat_core::books::Book;
use groat_core::ports::{Expect, Record, Store, Write};
use groat_store::MemoryStore;

use crate::Planted;
use crate::fault::Fault;
use crate::life::Life;
use crate::stage::Stage;

/// One process's handle.
pub(crate) struct SimStore {
    pub(crate) stage: Arc<Stage>,
    pub(crate) life: Arc<Life>,
    pub(crate) disk: MemoryStore,
}

fn trouble() -> StoreFault {
    StoreFault::unavailable("store", "simulated")
}

impl SimStore {
    async fn read(&self) -> Result<(), StoreFault> {
        self.life.step().await;
        self.stage.travel().await;
        if self.stage.strikes(Fault::ReadFailed) { Err(trouble()) } else { Ok(()) }
    }

    /// The writes with expectations that always hold.
    async fn blind(&self, mut writes: Vec<Write>) -> Vec<Write> {
        for write in &mut writes {
            let found = self.disk.get(write.book, &write.key).await.ok().flatten();
            write.expect = found.map_or(Expect::Absent, |record| Expect::Version(record.version));
        }
        writes
    }

    fn forgets(&self) -> bool {
        self.stage.planted(Planted::ForgottenCommit) && self.stage.chance(30)
    }
}

#[async_trait]
impl Store for SimStore {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, StoreFault> {
        self.read().await?;
        let found = self.disk.get(book, key).await;
        self.life.step().await;
        found
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, StoreFault> {
        self.life.step().await;
        self.stage.travel().await;
        // Between the two the process may have died by somebody else's hand: then nothing is written.
        self.life.step().await;
        if self.stage.strikes(Fault::CommitFailed) {
            return Err(trouble());
        }
        let is_use = writes.iter().any(|write| write.book == Book::Passes);
        if self.forgets() || is_use && self.stage.planted(Planted::ForgottenUses) {
            return Ok(true);
        }
        for write in &writes {
            self.stage.note("writes", write.book as u64, || {
                format!("{} {} {}", write.key, write.state, write.body)
            });
        }
        let writes = if self.stage.planted(Planted::BlindWrites) { self.blind(writes).await } else { writes };
        let written = self.disk.commit(writes).await;
        self.stage.note("written", u64::from(matches!(written, Ok(true))), || format!("{written:?}"));
        self.life.step().await;
        if self.stage.strikes(Fault::CommitReplyLost) {
            return Err(trouble());
        }
        self.stage.travel().await;
        self.life.step().await;
        written
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, StoreFault> {
        self.read().await?;
        let found = self.disk.scan(book, after, open_only, count_max).await;
        self.life.step().await;
        found
    }
}
