//! Reading a chain: window by window, each in one commit with the place up to which was read.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use groat_chain_evm::{Block, Chain, Contracts, EventKind, PaidEvent, history, history_of};
use groat_core::books::{Aggregate, IndexCursor, IndexCursorEvent, IndexedPayment, IndexedPaymentEvent};
use groat_core::ports::{Clock, Store, Write};
use groat_core::{Amount, Fault, Timestamp};
use groat_store::{Entry, Journal};
use tokio::sync::Mutex;

use crate::rows::{At, Page, Query, Rows, Stats};

/// How a chain is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexerOptions {
    /// The first block that is read: where the contracts were made.
    pub first_block: u64,
    /// How many blocks a block must have upon it before it is read.
    pub lag: u64,
    /// Blocks in one question for events.
    pub window: u64,
}

impl Default for IndexerOptions {
    fn default() -> Self {
        Self { first_block: 0, lag: 2, window: 100 }
    }
}

/// What one look at the chain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Polled {
    /// Payments that were written down.
    pub found: usize,
    /// Payments that a reorganisation has taken away.
    pub undone: usize,
}

/// The index of one chain's contracts.
pub struct Indexer {
    chain: Chain,
    contracts: Contracts,
    options: IndexerOptions,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    payments: Journal<IndexedPayment>,
    cursors: Journal<IndexCursor>,
    rows: RwLock<Rows>,
    /// Where it is; `None` when that has to be read again, because a commit is in doubt.
    place: Mutex<Option<Entry<IndexCursor>>>,
    /// The same for whoever asks.
    status: RwLock<(u64, Timestamp)>,
}

/// Records that are read from the store, or undone, at a time.
const PAGE: usize = 512;
/// So far below the newest block each is asked for by its hash: behind one URL there may be nodes that do not have it yet, and by
/// its number they would say that nothing happened in it.
const NEW_BLOCKS: u64 = 64;
/// So many of them at a time.
const NEW_WINDOW: u64 = 16;

impl Indexer {
    /// An index in this store, taken up where it stands. A store has one index, of one chain and set of contracts.
    pub async fn open(
        chain: Chain,
        contracts: Contracts,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        options: IndexerOptions,
    ) -> Result<Self, Fault> {
        let indexer = Self {
            chain,
            contracts,
            options,
            clock,
            payments: Journal::new(Arc::clone(&store)),
            cursors: Journal::new(Arc::clone(&store)),
            store,
            rows: RwLock::default(),
            place: Mutex::new(None),
            status: RwLock::default(),
        };
        let place = indexer.load().await?;
        *indexer.place.lock().await = Some(place);
        Ok(indexer)
    }

    /// Reads everything that is new. On an error what was read so far stays, and the place is that of the last commit.
    pub async fn poll(&self) -> Result<Polled, Fault> {
        let mut place = self.place.lock().await;
        let mut polled = Polled::default();
        loop {
            // None after a commit that nobody knows the end of.
            let entry = match place.take() {
                Some(entry) => entry,
                None => self.load().await?,
            };
            *place = Some(entry.clone());
            if let Some(kept) = self.fork(&entry.record).await? {
                let back = self.turn_back(&mut place, entry, kept).await?;
                tracing::warn!(undone = back, "a reorganisation is followed");
                polled.undone += back;
                continue;
            }
            let head = self.chain.rpc().head().await?.number.to::<u64>();
            let first = entry.record.last().map_or(self.options.first_block, |(block, _)| block + 1);
            let Some(safe) = head.checked_sub(self.options.lag).filter(|safe| *safe >= first) else {
                return Ok(polled);
            };
            // A wide window ends where the new blocks begin.
            let old = head.checked_sub(NEW_BLOCKS).filter(|old| first <= *old);
            let (is_new, end, window_max) = match old {
                Some(old) => (false, safe.min(old), u64::MAX),
                None => (true, safe, NEW_WINDOW),
            };
            let to = end.min(first.saturating_add(self.options.window.clamp(1, window_max) - 1));
            polled.found += self.read(&mut place, entry, first, to, is_new).await?;
        }
    }

    /// One window.
    async fn read(
        &self,
        place: &mut Option<Entry<IndexCursor>>,
        entry: Entry<IndexCursor>,
        from: u64,
        to: u64,
        is_new: bool,
    ) -> Result<usize, Fault> {
        let not_there = || Fault::garbled("chain", "a block below the head is not there");
        let hash = self.hash(to).await?.ok_or_else(not_there)?;
        let mut events = Vec::new();
        if is_new {
            let mut parent = entry.record.last().map(|(_, hash)| hash.clone());
            for number in from..=to {
                let block = self.block(number).await?.ok_or_else(not_there)?;
                // Two nodes may be on two branches.
                if parent
                    .replace(block.hash.to_string())
                    .is_some_and(|hash| hash != block.parent_hash.to_string())
                {
                    return Err(reorganised());
                }
                events.extend(history_of(&self.chain, &self.contracts, block).await?);
            }
        } else {
            events = history(&self.chain, &self.contracts, from, to).await?;
        }
        // The same chain before and after, and it goes on from where we were.
        let is_same =
            self.hash(to).await?.as_ref() == Some(&hash) && self.fork(&entry.record).await?.is_none();
        if !is_same {
            return Err(reorganised());
        }
        let mut writes = Vec::with_capacity(events.len() + 1);
        let mut rows = Vec::with_capacity(events.len());
        for payment in events.into_iter().map(indexed) {
            match self.payments.load(&payment.key()).await? {
                None => writes.push(self.payments.stage_create(&payment)),
                Some(old) => {
                    let event = IndexedPaymentEvent::Replace(Box::new(payment.clone()));
                    let next = old.record.clone().apply(event, self.clock.now());
                    let Some(next) = next else {
                        // It is there and was not undone: what we know is not what lies in the store.
                        *place = None;
                        return Err(taken());
                    };
                    writes.push(self.payments.stage(&old, &next));
                }
            }
            rows.push(payment);
        }
        let found = rows.len();
        self.commit(place, entry, IndexCursorEvent::Advance(to, hash), writes).await?;
        let mut all = self.rows_mut();
        rows.into_iter().for_each(|payment| all.insert(payment));
        Ok(found)
    }

    /// How many of the remembered places are still on the chain, when not all of them are.
    async fn fork(&self, cursor: &IndexCursor) -> Result<Option<usize>, Fault> {
        let Some((last, hash)) = cursor.last() else { return Ok(None) };
        let known = self.hash(*last).await?.ok_or_else(|| {
            Fault::unavailable(
                "chain",
                format!("the node does not have block {last}, which was read before: it is behind"),
            )
        })?;
        if known == *hash {
            return Ok(None);
        }
        for (index, (block, hash)) in cursor.read.iter().enumerate().rev().skip(1) {
            if self.hash(*block).await?.as_ref() == Some(hash) {
                return Ok(Some(index + 1));
            }
        }
        // Deeper than is remembered: all is read anew.
        Ok(Some(0))
    }

    async fn turn_back(
        &self,
        place: &mut Option<Entry<IndexCursor>>,
        entry: Entry<IndexCursor>,
        kept: usize,
    ) -> Result<usize, Fault> {
        let block =
            kept.checked_sub(1).and_then(|index| entry.record.read.get(index)).map(|(block, _)| *block);
        let gone: Vec<At> = self.rows().after(block);
        // The newest first, and the place last: whoever is stopped on the way has undone some, and finds the rest again.
        let mut pages: Vec<&[At]> = gone.rchunks(PAGE).collect();
        let last = pages.pop().unwrap_or_default();
        for page in pages {
            let writes = self.undo(page).await?;
            *place = None;
            if !self.store.commit(writes).await? {
                return Err(taken());
            }
            self.forget(page);
        }
        let writes = self.undo(last).await?;
        self.commit(place, entry, IndexCursorEvent::Return(kept), writes).await?;
        self.forget(last);
        Ok(gone.len())
    }

    async fn undo(&self, gone: &[At]) -> Result<Vec<Write>, Fault> {
        let mut writes = Vec::with_capacity(gone.len() + 1);
        for (block, log_index) in gone {
            let key = format!("{block:020}/{log_index:010}");
            let garbled = || Fault::garbled("store", format!("the indexed payment {key} is not as it was"));
            let old = self.payments.load(&key).await?.ok_or_else(garbled)?;
            let next = old.record.clone().apply(IndexedPaymentEvent::Undo, self.clock.now());
            writes.push(self.payments.stage(&old, &next.ok_or_else(garbled)?));
        }
        Ok(writes)
    }

    fn forget(&self, gone: &[At]) {
        let mut rows = self.rows_mut();
        gone.iter().for_each(|at| rows.remove(*at));
    }

    /// Payments and place in one commit.
    async fn commit(
        &self,
        place: &mut Option<Entry<IndexCursor>>,
        entry: Entry<IndexCursor>,
        event: IndexCursorEvent,
        mut writes: Vec<Write>,
    ) -> Result<(), Fault> {
        let next = entry.record.clone().apply(event, self.clock.now());
        let next = next.ok_or_else(|| Fault::garbled("store", "the place of the index does not fit"))?;
        writes.push(self.cursors.stage(&entry, &next));
        // Until it is known to be written it is not known what is.
        *place = None;
        if !self.store.commit(writes).await? {
            return Err(taken());
        }
        self.tell(&next);
        *place = Some(Entry { version: entry.version + 1, record: next });
        Ok(())
    }

    /// Reads the whole index from the store.
    async fn load(&self) -> Result<Entry<IndexCursor>, Fault> {
        let fresh = IndexCursor { source: self.source(), read: Vec::new(), moved_at: self.clock.now() };
        let entry = match self.cursors.load(&fresh.key()).await? {
            Some(entry) => entry,
            None => match self.cursors.create(fresh).await? {
                Some(entry) => entry,
                None => return Err(Fault::unavailable("store", "another indexer has just begun here")),
            },
        };
        if entry.record.source != self.source() {
            let problem = format!(
                "the index in this store is of {}, not of {}: name another store",
                entry.record.source,
                self.source()
            );
            return Err(Fault::garbled("store", problem));
        }
        let mut rows = Rows::default();
        let mut after: Option<String> = None;
        loop {
            let page = self.payments.scan_all(after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.record.key());
            page.into_iter().filter(|entry| !entry.record.undone).for_each(|entry| rows.insert(entry.record));
        }
        *self.rows_mut() = rows;
        self.tell(&entry.record);
        Ok(entry)
    }

    fn source(&self) -> String {
        let Contracts { payments, subscriptions } = self.contracts;
        let subscriptions = subscriptions.map_or_else(|| "-".to_owned(), |account| account.to_string());
        format!("{} {payments} {subscriptions} from {}", self.chain.network(), self.options.first_block)
    }

    async fn block(&self, number: u64) -> Result<Option<Block>, Fault> {
        let block = self.chain.rpc().block(number).await?;
        Ok(block.filter(|block| block.number.to::<u64>() == number))
    }

    async fn hash(&self, number: u64) -> Result<Option<String>, Fault> {
        Ok(self.block(number).await?.map(|block| block.hash.to_string()))
    }

    fn tell(&self, cursor: &IndexCursor) {
        let block = cursor.last().map_or(0, |(block, _)| *block);
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = (block, cursor.moved_at);
    }

    fn rows(&self) -> RwLockReadGuard<'_, Rows> {
        // Nothing panics while it is held.
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows_mut(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Payments of an account.
    pub fn page(&self, query: &Query) -> Page {
        self.rows().page(query)
    }

    /// Sums over an account.
    pub fn stats(&self, account: &str) -> Stats {
        self.rows().stats(account)
    }

    /// The last block that was read, and when; 0 before the first.
    pub fn status(&self) -> (u64, Timestamp) {
        *self.status.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store can be asked.
    pub async fn check_store(&self) -> Result<(), Fault> {
        self.store.get(IndexCursor::BOOK, "agentxpay").await.map(drop)
    }
}

impl std::fmt::Debug for Indexer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Indexer").field("source", &self.source()).finish_non_exhaustive()
    }
}

fn reorganised() -> Fault {
    Fault::unavailable("chain", "it is reorganised while it is read")
}

fn taken() -> Fault {
    Fault::unavailable("store", "another indexer writes into the same index")
}

fn indexed(event: PaidEvent) -> IndexedPayment {
    let kind = match event.kind {
        EventKind::Payment => "payment",
        EventKind::Subscription => "subscription",
    };
    IndexedPayment {
        event_type: kind.to_owned(),
        service_id: Amount::from_u256(event.service_id),
        payer: format!("{:#x}", event.payer),
        provider: format!("{:#x}", event.provider),
        amount: Amount::from_u256(event.amount),
        platform_fee: Amount::from_u256(event.platform_fee),
        block: event.block,
        block_time: Timestamp(event.block_time),
        transaction: event.transaction.to_string(),
        log_index: event.log_index,
        undone: false,
    }
}
