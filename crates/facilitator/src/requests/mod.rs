//! Requests for payment that sellers have told of, so that somebody knows when they are paid although nobody shows a
//! proof.

mod matching;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use groat_core::Fault;
use groat_core::books::{Asked, AskedState, Cursor};
use groat_core::ports::{Clock, RequestChain, Store};
use groat_store::Journal;
use groat_wire::want_pay::request::topic;

use crate::Engine;

/// Requests that wait for their payment at once.
const OPEN_MAX: usize = 20_000;

/// The book of requests, and who reads the chain for it. Cheap to clone.
#[derive(Clone)]
pub struct Requests(Arc<Inner>);

struct Inner {
    engine: Engine,
    chain: Arc<dyn RequestChain>,
    asked: Journal<Asked>,
    cursors: Journal<Cursor>,
    clock: Arc<dyn Clock>,
    /// So many blocks stay unread at the end of the chain.
    lag: u64,
    open: AtomicUsize,
}

/// What became of a request that a seller tells of.
#[derive(Debug)]
pub(crate) enum Told {
    /// It is new.
    New(Asked),
    /// It was told before.
    Known(Asked),
    /// Its id belongs to another.
    Other,
    /// There are too many.
    Full,
}

impl Requests {
    /// Requests that are paid through the contracts of this chain port. Blocks are read when `lag` others lie above them.
    pub fn new(
        engine: Engine,
        chain: Arc<dyn RequestChain>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        lag: u64,
    ) -> Self {
        Self(Arc::new(Inner {
            engine,
            chain,
            asked: Journal::new(Arc::clone(&store)),
            cursors: Journal::new(store),
            clock,
            lag,
            open: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn chain(&self) -> &Arc<dyn RequestChain> {
        &self.0.chain
    }

    /// Writes a request down. The same one can be told again; another under its id cannot.
    pub(crate) async fn tell(&self, asked: Asked) -> Result<Told, Fault> {
        if let Some(known) = self.find(&asked.caller, &asked.id).await? {
            return Ok(same(known, &asked));
        }
        if self.0.open.load(Ordering::Relaxed) >= OPEN_MAX {
            return Ok(Told::Full);
        }
        match self.0.asked.create(asked.clone()).await? {
            Some(entry) => {
                self.0.open.fetch_add(1, Ordering::Relaxed);
                Ok(Told::New(entry.record))
            }
            // Somebody told of it in the same moment.
            None => match self.find(&asked.caller, &asked.id).await? {
                Some(known) => Ok(same(known, &asked)),
                None => Err(Fault::garbled("store", "a request has vanished")),
            },
        }
    }

    /// A request of this caller.
    pub(crate) async fn find(&self, caller: &str, id: &str) -> Result<Option<Asked>, Fault> {
        let entry = self.0.asked.load(&Asked::key_of(&topic(id), caller)).await?;
        Ok(entry.map(|entry| entry.record))
    }
}

fn same(known: Asked, told: &Asked) -> Told {
    if known.request == told.request { Told::Known(known) } else { Told::Other }
}

/// How a request stands, for whoever asks. The chain has the last word on whether it was paid in time, so for a while
/// after its end it is still open.
pub(crate) fn standing(asked: &Asked, now: groat_core::Timestamp) -> &'static str {
    let over = asked.expires.plus(groat_wire::want_pay::PROOF_GRACE_S) < now;
    match asked.state {
        AskedState::Settled(_) | AskedState::Final(_) => "settled",
        AskedState::Expired => "expired",
        AskedState::Open if over => "expired",
        AskedState::Open => "open",
    }
}
