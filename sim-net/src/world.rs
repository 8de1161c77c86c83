//! Everything in one run that outlives its processes: the chain, the disks, the clocks, and what is written down.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use groat_chain_evm::{GasKey, GasKeyError};
use groat_core::Timestamp;
use groat_core::ports::Clock;

use crate::chain::Chain;
use crate::fault::Planted;
use crate::notebook::Notebook;
use crate::stage::Stage;
use crate::store::{Disk, SimStore, Stopped};

/// How many buyers there are.
pub(crate) const BUYERS: usize = 8;
/// How many instances of each service there are.
pub(crate) const INSTANCES: usize = 2;
/// The chain that everything is on.
pub(crate) const CHAIN_ID: u64 = 84_532;
/// Its name for sellers.
pub(crate) const NETWORK: &str = "eip155:84532";
/// Who is paid, by seller.
pub(crate) const PAYEES: [&str; INSTANCES] =
    ["0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"];
/// The node's host.
pub(crate) const NODE: &str = "node";

/// Who shares what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Two sellers with a facilitator each; they share the chain and the buyers.
    Apart,
    /// Two sellers; the facilitators are two instances on one database, with one key.
    OneFacilitator,
    /// The same, and the gates are two instances of one seller on one database.
    OneSeller,
}

impl Shape {
    /// Which book of settlements, and which gas key, a facilitator has.
    pub(crate) fn ledger_of(self, facilitator: usize) -> usize {
        if self == Self::Apart { facilitator } else { 0 }
    }

    /// Which seller a gate belongs to.
    pub(crate) fn seller_of(self, gate: usize) -> usize {
        if self == Self::OneSeller { 0 } else { gate }
    }

    /// Which facilitators a gate may ask.
    pub(crate) fn facilitators_of(self, gate: usize) -> Vec<String> {
        let all = (0..INSTANCES).filter(|at| self != Self::Apart || *at == gate);
        all.map(facilitator_host).collect()
    }

    /// The gates of a seller.
    pub(crate) fn doors_of(self, seller: usize) -> Vec<usize> {
        (0..INSTANCES).filter(|gate| self.seller_of(*gate) == seller).collect()
    }

    /// The sellers.
    pub(crate) fn sellers(self) -> usize {
        if self == Self::OneSeller { 1 } else { INSTANCES }
    }

    /// The books of settlements.
    pub(crate) fn ledgers(self) -> usize {
        if self == Self::Apart { INSTANCES } else { 1 }
    }
}

pub(crate) fn facilitator_host(at: usize) -> String {
    format!("facilitator-{at}")
}

pub(crate) fn gate_host(at: usize) -> String {
    format!("gate-{at}")
}

pub(crate) fn buyer_host(at: usize) -> String {
    format!("buyer-{at}")
}

/// The key that pays for gas.
pub(crate) fn gas_key(ledger: usize) -> Result<GasKey, GasKeyError> {
    GasKey::from_bytes([if ledger == 0 { 0x42 } else { 0x43 }; 32])
}

/// A clock that may be ahead of the true time, or behind it.
pub(crate) struct SimClock {
    stage: Arc<Stage>,
    pub(crate) ahead_s: AtomicI64,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.stage.now_s().saturating_add_signed(self.ahead_s.load(Ordering::Relaxed)))
    }
}

/// What an instance of a service has that outlives its processes.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) disk: Disk,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) stopped: Stopped,
}

impl Place {
    fn new(stage: &Arc<Stage>, host: String, disk: &Disk) -> Self {
        let skew_s = if stage.chance(500) { stage.between(0, 8) } else { 0 };
        let ahead_s = AtomicI64::new(skew_s.cast_signed() - if skew_s > 0 { 4 } else { 0 });
        let clock = Arc::new(SimClock { stage: Arc::clone(stage), ahead_s });
        Self { host, disk: disk.clone(), clock, stopped: Stopped::default() }
    }

    pub(crate) fn store(&self) -> Arc<SimStore> {
        let stage = Arc::clone(&self.clock.stage);
        Arc::new(SimStore { stage, disk: self.disk.clone(), stopped: self.stopped.clone() })
    }
}

/// The whole economy.
pub(crate) struct World {
    pub(crate) stage: Arc<Stage>,
    pub(crate) shape: Shape,
    /// Whether the gates cannot ask for the state of a payment, as at any facilitator but ours.
    pub(crate) is_foreign: bool,
    pub(crate) chain: Chain,
    pub(crate) facilitators: Vec<Place>,
    pub(crate) gates: Vec<Place>,
    pub(crate) notebook: Notebook,
}

impl World {
    pub(crate) fn new(stage: Arc<Stage>) -> Arc<Self> {
        let shapes = [Shape::Apart, Shape::OneFacilitator, Shape::OneSeller];
        let any = shapes[usize::try_from(stage.below(3)).unwrap_or_default()];
        let shape = if stage.planted(Planted::TwoBooks) { Shape::OneSeller } else { any };
        let is_foreign = stage.chance(150);
        stage.note("shape", u64::from(is_foreign), || format!("{shape:?}"));
        let disks: Vec<Disk> = (0..2 * INSTANCES).map(|_| Disk::default()).collect();
        let facilitators = (0..INSTANCES)
            .map(|at| Place::new(&stage, facilitator_host(at), &disks[shape.ledger_of(at)]))
            .collect();
        let two_books = stage.planted(Planted::TwoBooks);
        let gates = (0..INSTANCES)
            .map(|at| {
                let book = if two_books { at } else { shape.seller_of(at) };
                Place::new(&stage, gate_host(at), &disks[INSTANCES + book])
            })
            .collect();
        let chain = Chain::new(Arc::clone(&stage), shape.ledgers());
        Arc::new(Self { shape, is_foreign, chain, facilitators, gates, notebook: Notebook::default(), stage })
    }

    /// The disks of the facilitators, each once.
    pub(crate) fn ledgers(&self) -> impl Iterator<Item = &Disk> {
        (0..self.shape.ledgers()).map(|at| &self.facilitators[at].disk)
    }

    /// The disks of the sellers, each once.
    pub(crate) fn sales(&self) -> impl Iterator<Item = &Disk> {
        (0..self.shape.sellers()).map(|at| &self.gates[at].disk)
    }
}
