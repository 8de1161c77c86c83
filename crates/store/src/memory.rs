//! A store that forgets everything: for tests, and for universes that live as long as their process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use groat_core::Fault;
use groat_core::books::Book;
use groat_core::ports::{Expect, Record, Store, Write};

/// Records in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    records: BTreeMap<(Book, String), Kept>,
    trouble: Vec<Trouble>,
    is_down: bool,
}

#[derive(Debug, Clone)]
struct Kept {
    version: u64,
    is_final: bool,
    body: String,
}

/// What can be made to go wrong with the next call that it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A read fails.
    GetFails,
    /// A scan fails.
    ScanFails,
    /// A commit fails and writes nothing.
    CommitFails,
    /// A commit is written and its answer is lost.
    CommitAnswerLost,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next fitting call go wrong; may be called again for more.
    pub fn trouble(&self, trouble: Trouble) {
        self.lock().trouble.push(trouble);
    }

    /// Forgets what was asked to go wrong and has not yet.
    pub fn calm(&self) {
        self.lock().trouble.clear();
    }

    /// While it is down every call fails and nothing is written.
    pub fn set_down(&self, down: bool) {
        self.lock().is_down = down;
    }

    /// How many records a book holds.
    pub fn count(&self, book: Book) -> usize {
        self.lock().records.keys().filter(|(of, _)| *of == book).count()
    }
}

impl Shelf {
    /// The first trouble that fits, used up.
    fn strikes(&mut self, fits: &[Trouble]) -> Result<Option<Trouble>, Fault> {
        if self.is_down {
            return Err(simulated());
        }
        let index = self.trouble.iter().position(|trouble| fits.contains(trouble));
        Ok(index.map(|index| self.trouble.remove(index)))
    }

    fn holds(&self, write: &Write) -> bool {
        let found = self.records.get(&(write.book, write.key.clone()));
        match (write.expect, found) {
            (Expect::Absent, None) => true,
            (Expect::Version(version), Some(kept)) => kept.version == version,
            _ => false,
        }
    }
}

fn simulated() -> Fault {
    Fault::unavailable("store", "simulated trouble")
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        let mut shelf = self.lock();
        if shelf.strikes(&[Trouble::GetFails])?.is_some() {
            return Err(simulated());
        }
        let found = shelf.records.get(&(book, key.to_owned()));
        Ok(found.map(|kept| Record { key: key.to_owned(), version: kept.version, body: kept.body.clone() }))
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        crate::assert_distinct(&writes);
        let mut shelf = self.lock();
        let trouble = shelf.strikes(&[Trouble::CommitFails, Trouble::CommitAnswerLost])?;
        if trouble == Some(Trouble::CommitFails) {
            return Err(simulated());
        }
        let fits = writes.iter().all(|write| shelf.holds(write));
        if fits {
            for write in writes {
                let version = if let Expect::Version(version) = write.expect { version + 1 } else { 1 };
                let kept = Kept { version, is_final: write.is_final, body: write.body };
                shelf.records.insert((write.book, write.key), kept);
            }
        }
        if trouble == Some(Trouble::CommitAnswerLost) { Err(simulated()) } else { Ok(fits) }
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        let mut shelf = self.lock();
        if shelf.strikes(&[Trouble::ScanFails])?.is_some() {
            return Err(simulated());
        }
        let start = match after {
            Some(key) => Bound::Excluded((book, key.to_owned())),
            None => Bound::Included((book, String::new())),
        };
        let records = shelf
            .records
            .range((start, Bound::Unbounded))
            .take_while(|((of, _), _)| *of == book)
            .filter(|(_, kept)| !(open_only && kept.is_final))
            .take(count_max)
            .map(|((_, key), kept)| Record {
                key: key.clone(),
                version: kept.version,
                body: kept.body.clone(),
            })
            .collect();
        Ok(records)
    }
}
