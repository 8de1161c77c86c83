//! One kind of record in a store: typed reads, and events applied under compare-and-set.

use std::marker::PhantomData;
use std::sync::Arc;

use groat_core::books::Aggregate;
use groat_core::ports::{Expect, Record, Store, Write};
use groat_core::{Fault, Timestamp};

/// A book of one kind of record. Cheap to clone.
pub struct Journal<A> {
    store: Arc<dyn Store>,
    _records: PhantomData<fn() -> A>,
}

impl<A> Clone for Journal<A> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), _records: PhantomData }
    }
}

/// A record as it was read, with the version that a write must find again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<A> {
    /// Counts the writes.
    pub version: u64,
    /// The record.
    pub record: A,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied<A> {
    /// It is written.
    Done(Entry<A>),
    /// Somebody else wrote first: load again and decide anew.
    Stale,
    /// The state machine does not accept it; nothing is written.
    Impossible(Entry<A>),
}

impl<A: Aggregate> Journal<A> {
    /// The book in this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, _records: PhantomData }
    }

    /// The record with this key.
    pub async fn load(&self, key: &str) -> Result<Option<Entry<A>>, Fault> {
        self.store.get(A::BOOK, key).await?.map(read).transpose()
    }

    /// Writes a new record; `None` when there is one with its key already.
    ///
    /// After an error it is not known whether it was written: load it.
    pub async fn create(&self, record: A) -> Result<Option<Entry<A>>, Fault> {
        let written = self.store.commit(vec![self.stage_create(&record)]).await?;
        Ok(written.then_some(Entry { version: 1, record }))
    }

    /// Applies an event. After an error it is not known whether it was written: load the record.
    pub async fn apply(&self, entry: Entry<A>, event: A::Event, now: Timestamp) -> Result<Applied<A>, Fault> {
        let Some(next) = entry.record.clone().apply(event, now) else {
            return Ok(Applied::Impossible(entry));
        };
        if self.store.commit(vec![self.stage(&entry, &next)]).await? {
            return Ok(Applied::Done(Entry { version: entry.version + 1, record: next }));
        }
        Ok(Applied::Stale)
    }

    /// The write that creates a record, to be committed together with others.
    pub fn stage_create(&self, record: &A) -> Write {
        write(record, Expect::Absent)
    }

    /// The write that turns `entry` into `next`, to be committed together with others.
    pub fn stage(&self, entry: &Entry<A>, next: &A) -> Write {
        write(next, Expect::Version(entry.version))
    }

    /// All writes or none; `false` when one of them found something else than it expects.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        self.store.commit(writes).await
    }

    /// Up to `count_max` records that are not final, after the key `after`, in key order.
    pub async fn scan_open(&self, after: Option<&str>, count_max: usize) -> Result<Vec<Entry<A>>, Fault> {
        self.scan(after, true, count_max).await
    }

    /// Up to `count_max` records after the key `after`, in key order.
    pub async fn scan_all(&self, after: Option<&str>, count_max: usize) -> Result<Vec<Entry<A>>, Fault> {
        self.scan(after, false, count_max).await
    }

    async fn scan(
        &self,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Entry<A>>, Fault> {
        let records = self.store.scan(A::BOOK, after, open_only, count_max).await?;
        records.into_iter().map(read).collect()
    }
}

fn read<A: Aggregate>(record: Record) -> Result<Entry<A>, Fault> {
    let garbled = |why: String| {
        Fault::garbled("store", format!("{} {} cannot be read: {why}", A::BOOK.table(), record.key))
    };
    // The place and not the message: that may quote the body, and the body may hold what nobody must read in a log.
    let body: A = serde_json::from_str(&record.body)
        .map_err(|error| garbled(format!("line {} column {}", error.line(), error.column())))?;
    if body.key() != record.key {
        return Err(garbled("it belongs to another key".to_owned()));
    }
    Ok(Entry { version: record.version, record: body })
}

fn write<A: Aggregate>(record: &A, expect: Expect) -> Write {
    Write {
        book: A::BOOK,
        key: record.key(),
        expect,
        state: record.state(),
        is_final: record.is_final(),
        // A record is plain data: strings, numbers, maps with string keys. JSON can hold all of it.
        body: serde_json::to_string(record).expect("a record is plain data"),
    }
}
