//! Which gates on one book live, so that what a dead one was working on is taken up soon and not when its lease is over.
//!
//! Each gate writes its record every now and then. Whoever sees no new version of another's record while it has written
//! its own several times declares the other gone, in the book. No clock takes part, and when the store is away nobody
//! dies of it. A gate that was declared gone and wakes up is stopped by the versions of the sales, as any other instance.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use groat_core::Fault;
use groat_core::books::{Book, Sale};
use groat_core::ports::{Expect, Store, Write};

use crate::pay::Shop;

/// So many beats of ours without one of another, and it is gone.
const SILENT_MAX: u32 = 3;
/// Gates on one book, per page of a scan.
const PAGE: usize = 64;
const HERE: &str = r#""here""#;
const GONE: &str = r#""gone""#;

/// This gate among others.
pub(crate) struct Presence {
    store: Arc<dyn Store>,
    name: String,
    /// The others: the version of the record, and for how many beats it has been the same.
    others: Mutex<HashMap<String, (u64, u32)>>,
}

impl Presence {
    pub(crate) fn new(store: Arc<dyn Store>, name: String) -> Self {
        Self { store, name, others: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Says that we live, and looks whether the others have said so.
    pub(crate) async fn beat(&self) -> Result<(), Fault> {
        let mine = self.store.get(Book::Gates, &self.name).await?;
        let expect = mine.map_or(Expect::Absent, |record| Expect::Version(record.version));
        // It fails only when somebody declares us gone at this moment, and the next one mends that.
        self.store.commit(vec![write(&self.name, expect, HERE)]).await?;
        for (name, version) in self.silent(self.here().await?) {
            tracing::warn!(gate = name, "another gate is gone: what it was working on can be taken up");
            self.store.commit(vec![write(&name, Expect::Version(version), GONE)]).await?;
        }
        Ok(())
    }

    /// Whether another gate may still be at work.
    async fn may_live(&self, name: &str) -> Result<bool, Fault> {
        let record = self.store.get(Book::Gates, name).await?;
        Ok(record.is_some_and(|record| record.body == HERE))
    }

    async fn here(&self) -> Result<HashMap<String, u64>, Fault> {
        let mut here = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(Book::Gates, after.as_deref(), true, PAGE).await?;
            let Some(last) = page.last() else { return Ok(here) };
            after = Some(last.key.clone());
            here.extend(page.into_iter().map(|record| (record.key, record.version)));
        }
    }

    fn silent(&self, here: HashMap<String, u64>) -> Vec<(String, u64)> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = here.into_iter().filter(|(name, _)| *name != self.name).map(|(name, version)| {
            let silent = match others.get(&name) {
                Some((known, silent)) if *known == version => silent + 1,
                _ => 0,
            };
            (name, (version, silent))
        });
        *others = seen.collect();
        let silent = others.iter().filter(|(_, (_, silent))| *silent >= SILENT_MAX);
        silent.map(|(name, (version, _))| (name.clone(), *version)).collect()
    }
}

/// Whether nobody else may be at work on a sale that is not finished.
pub(crate) async fn is_free(shop: &Shop, sale: &Sale) -> Result<bool, Fault> {
    if shop.now().since(sale.held_at) >= shop.limits.lease_s {
        return Ok(true);
    }
    match (&shop.presence, &sale.holder) {
        (Some(presence), Some(holder)) => Ok(*holder == presence.name || !presence.may_live(holder).await?),
        _ => Ok(false),
    }
}

fn write(name: &str, expect: Expect, body: &str) -> Write {
    let is_gone = body == GONE;
    let state = if is_gone { "gone" } else { "here" };
    Write { book: Book::Gates, key: name.to_owned(), expect, state, is_final: is_gone, body: body.to_owned() }
}
