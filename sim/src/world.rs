//! Everything in one run: the chain, the disks, the processes of the day and what is written down about them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use groat_core::Timestamp;
use groat_core::ports::Clock;
use groat_facilitator::Engine;
use groat_store::MemoryStore;

use crate::chain::{Account, Chain};
use crate::life::Life;
use crate::notebook::Notebook;
use crate::shop::Shop;
use crate::stage::{Stage, lock};

/// What a buyer pays for anything.
pub(crate) const PRICE: u64 = 100;
/// What a buyer has; one who is poor has less than the price.
pub(crate) const PURSE: u64 = 1_000;

/// A running process and what it offers.
pub(crate) struct Live<T> {
    pub(crate) life: Arc<Life>,
    pub(crate) service: T,
}

/// Where a process is found while it runs.
pub(crate) struct Place<T>(Mutex<Option<Arc<Live<T>>>>);

impl<T> Place<T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn open(&self, life: &Arc<Life>, service: T) {
        *lock(&self.0) = Some(Arc::new(Live { life: Arc::clone(life), service }));
    }

    pub(crate) fn close(&self) {
        *lock(&self.0) = None;
    }

    pub(crate) fn live(&self) -> Option<Arc<Live<T>>> {
        lock(&self.0).clone()
    }

    pub(crate) fn kill(&self) {
        if let Some(live) = self.live() {
            live.life.kill();
        }
    }
}

/// A clock that may be ahead of the true time.
pub(crate) struct SimClock {
    stage: Arc<Stage>,
    pub(crate) ahead_s: AtomicU64,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.stage.now_s() + self.ahead_s.load(Ordering::Relaxed))
    }
}

/// One of the two roles: what outlives its processes.
pub(crate) struct Role<T> {
    pub(crate) place: Place<T>,
    pub(crate) disk: MemoryStore,
    pub(crate) clock: Arc<SimClock>,
}

impl<T> Role<T> {
    fn new(stage: &Arc<Stage>, disk: MemoryStore) -> Self {
        let clock = SimClock { stage: Arc::clone(stage), ahead_s: AtomicU64::new(0) };
        Self { place: Place::new(), disk, clock: Arc::new(clock) }
    }
}

/// What a seller wants and gives beside the price.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wares {
    /// Whether whoever shows a hash must sign for it.
    pub(crate) bound: bool,
    pub(crate) pass_ttl_s: u64,
    pub(crate) pass_uses: Option<u32>,
}

/// The whole economy.
pub(crate) struct World {
    pub(crate) stage: Arc<Stage>,
    pub(crate) chain: Arc<Chain>,
    pub(crate) facilitator: Role<Engine>,
    pub(crate) seller: Role<Shop>,
    /// Whether facilitator and seller are one process with one store.
    pub(crate) together: bool,
    /// What the seller wants and gives beside the price.
    pub(crate) wares: Wares,
    pub(crate) notebook: Notebook,
    /// How many calls went from seller to facilitator.
    pub(crate) calls: AtomicU64,
    /// How many challenges were written.
    pub(crate) challenges: AtomicU64,
}

impl World {
    pub(crate) fn new(stage: Arc<Stage>) -> Arc<Self> {
        let together = stage.chance(400);
        let wares = Wares {
            bound: stage.chance(600),
            pass_ttl_s: stage.between(20, 90),
            pass_uses: stage.chance(600).then(|| u32::try_from(stage.between(1, 3)).unwrap_or(1)),
        };
        let buyers = (0..stage.between(2, 7)).map_while(|index| u16::try_from(index).ok());
        let purses: BTreeMap<Account, u64> =
            buyers.map(|index| (Account(Account::BUYERS + index), PURSE)).collect();
        let chain = Arc::new(Chain::new(Arc::clone(&stage), purses));
        let disk = MemoryStore::default();
        let seller_disk = if together { disk.clone() } else { MemoryStore::default() };
        Arc::new(Self {
            facilitator: Role::new(&stage, disk),
            seller: Role::new(&stage, seller_disk),
            chain,
            together,
            wares,
            notebook: Notebook::default(),
            calls: AtomicU64::new(0),
            challenges: AtomicU64::new(stage.below(u64::MAX)),
            stage,
        })
    }

    /// Every process dies now and starts again.
    pub(crate) fn restart(&self) {
        self.facilitator.place.kill();
        self.seller.place.kill();
    }

    /// Lets go of everything that points back here.
    pub(crate) fn close(&self) {
        self.facilitator.place.close();
        self.seller.place.close();
    }
}
