//! Reads the events of the contract, block by block: a cursor in the store that moves only past what has been heeded,
//! goes back after a reorganisation, and payments in blocks that are gone are taken back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use groat_core::books::{Asked, AskedEvent, AskedState, Cursor, CursorEvent, Mined};
use groat_core::ports::{BlockMark, Standing};
use groat_core::{Fault, Network, Timestamp};
use groat_store::{Applied, Entry};

use super::Requests;

/// Blocks in one question; hosted nodes refuse more (threat row C17).
const BLOCKS: u64 = 1_000;
/// So far back is read again after a reorganisation: deeper ones are none any more.
const REWIND: u64 = 64;
/// So far back a request is searched for that was told of late. A request lives for an hour at most.
const SEARCH: u64 = 4_000;
/// Records in one page.
const PAGE: usize = 256;

impl Requests {
    /// Looks every `interval` for as long as the process lives.
    pub fn watch(&self, interval: Duration) -> tokio::task::JoinHandle<()> {
        let requests = self.clone();
        tokio::spawn(async move {
            loop {
                if let Err(fault) = requests.look().await {
                    tracing::warn!(%fault, "events of requests cannot be read: again in a while");
                }
                tokio::time::sleep(interval).await;
            }
        })
    }

    /// Looks at every chain once. One that cannot be read stops no other.
    pub async fn look(&self) -> Result<(), Fault> {
        let mut trouble = Ok(());
        let mut open = 0;
        for (network, contract) in self.0.chain.contracts() {
            match self.look_at(&network, &contract).await {
                Ok(count) => open += count,
                Err(fault) => trouble = Err(fault),
            }
        }
        if trouble.is_ok() {
            self.0.open.store(open, Ordering::Relaxed);
        }
        trouble
    }

    /// One chain; how many of its requests are open.
    async fn look_at(&self, network: &Network, contract: &str) -> Result<usize, Fault> {
        let head = self.block(network, None).await?;
        let to = head.number.saturating_sub(self.0.lag);
        let end = self.block(network, Some(to)).await?;
        let mut cursor = self.cursor(network, contract, &end).await?;
        self.take_back(network).await?;
        cursor = self.check(cursor).await?;
        while cursor.record.next <= to {
            cursor = self.read_on(cursor, to).await?;
        }
        self.sort(&cursor.record, end.at).await
    }

    async fn block(&self, network: &Network, number: Option<u64>) -> Result<BlockMark, Fault> {
        let block = self.0.chain.block(network, number).await?;
        block.ok_or_else(|| Fault::unavailable("chain", "a block is gone: it is asked for again"))
    }

    /// Where reading goes on. The first time it begins at the end: what was paid before is searched for one by one.
    async fn cursor(
        &self,
        network: &Network,
        contract: &str,
        end: &BlockMark,
    ) -> Result<Entry<Cursor>, Fault> {
        let key = Cursor::key_of(network, contract);
        if let Some(there) = self.0.cursors.load(&key).await? {
            return Ok(there);
        }
        let first = Cursor {
            network: network.clone(),
            contract: contract.to_owned(),
            next: end.number + 1,
            hash: end.hash.clone(),
        };
        match self.0.cursors.create(first).await? {
            Some(there) => Ok(there),
            None => self.0.cursors.load(&key).await?.ok_or_else(written_by_other),
        }
    }

    /// The block before the cursor must still be the one that was read.
    async fn check(&self, cursor: Entry<Cursor>) -> Result<Entry<Cursor>, Fault> {
        let Cursor { network, next, hash, .. } = &cursor.record;
        let Some(last) = next.checked_sub(1) else { return Ok(cursor) };
        let there = self.0.chain.block(network, Some(last)).await?;
        if there.is_some_and(|there| there.hash == *hash) {
            return Ok(cursor);
        }
        tracing::warn!(%network, block = last, "blocks were replaced: their events are read again");
        let back = (*next).min(last.saturating_sub(REWIND));
        let hash = match back.checked_sub(1) {
            Some(before) => self.block(network, Some(before)).await?.hash,
            None => String::new(),
        };
        self.go(cursor, back, hash).await
    }

    /// One page of blocks. The cursor moves when everything in them is written, and they are still there.
    async fn read_on(&self, cursor: Entry<Cursor>, to: u64) -> Result<Entry<Cursor>, Fault> {
        let (network, from) = (cursor.record.network.clone(), cursor.record.next);
        let last = to.min(from + BLOCKS - 1);
        let before = self.block(&network, Some(last)).await?;
        for event in self.0.chain.paid(&network, from, last, None).await? {
            self.heed(&network, &event).await?;
        }
        let after = self.block(&network, Some(last)).await?;
        if before != after {
            return Err(Fault::unavailable("chain", "blocks were replaced while they were read"));
        }
        self.go(cursor, last + 1, after.hash).await
    }

    async fn go(&self, cursor: Entry<Cursor>, next: u64, hash: String) -> Result<Entry<Cursor>, Fault> {
        let moved = CursorEvent::Move { next, hash };
        match self.0.cursors.apply(cursor, moved, self.0.clock.now()).await? {
            Applied::Done(cursor) => Ok(cursor),
            Applied::Stale | Applied::Impossible(_) => Err(written_by_other()),
        }
    }

    /// Requests whose block is gone are open again, and searched for; those whose block is final are done.
    async fn take_back(&self, network: &Network) -> Result<(), Fault> {
        for entry in self.open(network).await? {
            let AskedState::Settled(paid) = &entry.record.state else { continue };
            let event = match self.0.chain.standing(network, &Mined::from(paid)).await? {
                Standing::Standing => continue,
                Standing::Final => AskedEvent::Finish,
                Standing::Replaced => AskedEvent::Reorganise,
            };
            self.change(entry, &event).await?;
        }
        Ok(())
    }

    /// Looks behind the cursor for payments of requests that were told of later, and closes what nobody can pay any more
    /// because every block of its time has been read. How many requests are left open.
    async fn sort(&self, cursor: &Cursor, time: Timestamp) -> Result<usize, Fault> {
        let mut open = 0;
        for entry in self.open(&cursor.network).await? {
            let Asked { state, searched, expires, .. } = &entry.record;
            match state {
                AskedState::Open if !searched => {
                    self.search(&entry.record.topic, cursor).await?;
                    // Of one that was found paid nothing more can be said.
                    self.change(entry, &AskedEvent::Search).await?;
                    open += 1;
                }
                AskedState::Open if *expires < time => self.change(entry, &AskedEvent::Expire).await?,
                _ => open += 1,
            }
        }
        Ok(open)
    }

    async fn search(&self, topic: &str, cursor: &Cursor) -> Result<(), Fault> {
        let mut from = cursor.next.saturating_sub(SEARCH);
        while from < cursor.next {
            let to = (cursor.next - 1).min(from + BLOCKS - 1);
            for event in self.0.chain.paid(&cursor.network, from, to, Some(topic)).await? {
                self.heed(&cursor.network, &event).await?;
            }
            from = to + 1;
        }
        Ok(())
    }

    /// Every request of a chain that something can still happen to.
    async fn open(&self, network: &Network) -> Result<Vec<Entry<Asked>>, Fault> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.0.asked.scan_open(after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(Asked::key_of(&last.record.topic, &last.record.caller));
            all.extend(page.into_iter().filter(|entry| entry.record.network == *network));
        }
    }
}

fn written_by_other() -> Fault {
    Fault::unavailable("store", "another instance reads the same events")
}
