//! Troubles that come from outside: to the network, to processes, to clocks and disks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use turmoil::Sim;

use crate::fault::{Fault, Planted};
use crate::stage::Stage;
use crate::store::Disk;
use crate::world::{BUYERS, NODE, Place, World, buyer_host};

/// The longest way of a message on a good day.
pub(crate) const LATENCY_MAX: Duration = Duration::from_millis(60);

type Pair = (String, String);

/// What ends when.
enum End {
    Repair(Pair),
    Release(Pair),
    Hurry(Pair),
    Start(String),
    StoreBack(Disk),
}

/// Rolls the dice, and remembers what has to be ended again.
pub(crate) struct Chaos {
    world: Arc<World>,
    hosts: Vec<String>,
    /// Hosts between which something is wrong: one thing at a time.
    busy: BTreeSet<Pair>,
    ends: BTreeMap<(u64, usize), End>,
    count: usize,
    next_ms: u64,
}

impl Chaos {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let services = world.facilitators.iter().chain(&world.gates).map(|place| place.host.clone());
        let hosts = services.chain([NODE.to_owned()]).chain((0..BUYERS).map(buyer_host)).collect();
        Self {
            world: Arc::clone(world),
            hosts,
            busy: BTreeSet::new(),
            ends: BTreeMap::new(),
            count: 0,
            next_ms: 1_000,
        }
    }

    fn stage(&self) -> &Stage {
        &self.world.stage
    }

    fn at(&self, end_of: usize) -> usize {
        usize::try_from(self.stage().below(end_of as u64)).unwrap_or_default()
    }

    fn end_later(&mut self, low_ms: u64, high_ms: u64, end: End) {
        self.end_at(self.stage().now_ms() + self.stage().between(low_ms, high_ms), end);
    }

    fn end_at(&mut self, ms: u64, end: End) {
        self.count += 1;
        self.ends.insert((ms, self.count), end);
    }

    /// Facilitators and gates.
    fn places(&self) -> impl Iterator<Item = &Place> {
        self.world.facilitators.iter().chain(&self.world.gates)
    }

    /// Before every step of the simulation.
    pub(crate) fn tick(&mut self, sim: &mut Sim<'_>) {
        let now_ms = self.stage().now_ms();
        while self.ends.first_key_value().is_some_and(|((at_ms, _), _)| *at_ms <= now_ms) {
            if let Some((_, end)) = self.ends.pop_first() {
                self.end(sim, end);
            }
        }
        if now_ms >= self.next_ms && !self.stage().is_calm() {
            self.next_ms = now_ms + 1_000;
            self.strike(sim);
        }
    }

    /// Ends everything that goes on.
    pub(crate) fn heal(&mut self, sim: &mut Sim<'_>) {
        self.stage().calm_down();
        self.places().for_each(|place| place.stopped.until(0));
        while let Some((_, end)) = self.ends.pop_first() {
            self.end(sim, end);
        }
    }

    fn end(&mut self, sim: &mut Sim<'_>, end: End) {
        match end {
            End::Repair(pair) => {
                sim.repair(pair.0.as_str(), pair.1.as_str());
                self.busy.remove(&pair);
            }
            End::Release(pair) => {
                sim.release(pair.0.as_str(), pair.1.as_str());
                self.busy.remove(&pair);
            }
            End::Hurry(pair) => {
                sim.set_link_max_message_latency(pair.0.as_str(), pair.1.as_str(), LATENCY_MAX);
                self.busy.remove(&pair);
            }
            End::Start(host) => {
                self.stage().note("start", 0, || host.clone());
                sim.bounce(host.as_str());
            }
            End::StoreBack(disk) => disk.store().set_down(false),
        }
    }

    fn strike(&mut self, sim: &mut Sim<'_>) {
        self.strike_network(sim);
        if self.stage().strikes(Fault::FacilitatorCrash) {
            let place = self.world.facilitators[self.at(self.world.facilitators.len())].clone();
            self.crash(sim, &place.host, Some(&place.disk));
        }
        if self.stage().strikes(Fault::GateCrash) {
            let place = self.world.gates[self.at(self.world.gates.len())].clone();
            self.crash(sim, &place.host, Some(&place.disk));
        }
        if self.stage().strikes(Fault::NodeCrash) {
            self.crash(sim, NODE, None);
        }
        if self.stage().strikes(Fault::Stopped) {
            self.stop(sim);
        }
        if self.stage().strikes(Fault::ClockJump)
            && let Some(place) = self.places().nth(self.at(4))
        {
            let ahead_s = self.stage().between(0, 25).cast_signed() - 10;
            place.clock.ahead_s.store(ahead_s, Ordering::Relaxed);
            self.stage().note("clock", 0, || format!("{} {ahead_s}", place.host));
        }
        if self.stage().strikes(Fault::StoreDown) {
            let disk = self.places().nth(self.at(4)).map(|place| place.disk.clone());
            if let Some(disk) = disk {
                disk.store().set_down(true);
                self.end_later(100, 8_000, End::StoreBack(disk));
            }
        }
    }

    fn strike_network(&mut self, sim: &mut Sim<'_>) {
        if let Some((one, other)) = self.pair(Fault::Partition) {
            sim.partition(one.as_str(), other.as_str());
            self.end_later(200, 12_000, End::Repair((one, other)));
        }
        if let Some((one, other)) = self.pair(Fault::OneWay) {
            sim.partition_oneway(one.as_str(), other.as_str());
            self.end_later(200, 8_000, End::Repair((one, other)));
        }
        if let Some((one, other)) = self.pair(Fault::Hold) {
            sim.hold(one.as_str(), other.as_str());
            self.end_later(200, 15_000, End::Release((one, other)));
        }
        if self.stage().strikes(Fault::Isolated) {
            let host = self.hosts[self.at(5)].clone();
            self.stage().note("alone", 0, || host.clone());
            for other in self.free_of(&host) {
                sim.partition(host.as_str(), other.as_str());
                self.busy.insert((host.clone(), other.clone()));
                self.end_later(2_000, 10_000, End::Repair((host.clone(), other)));
            }
        }
        if let Some((one, other)) = self.pair(Fault::SlowLink) {
            let latency = Duration::from_millis(self.stage().between(200, 4_000));
            sim.set_link_max_message_latency(one.as_str(), other.as_str(), latency);
            self.end_later(1_000, 20_000, End::Hurry((one, other)));
        }
    }

    /// Nothing that a process says or writes leaves it for a while, and nothing reaches it.
    fn stop(&mut self, sim: &mut Sim<'_>) {
        let Some(place) = self.places().nth(self.at(4)).cloned() else { return };
        let until_ms = self.stage().now_ms() + self.stage().between(1_000, 20_000);
        self.stage().note("stop", until_ms, || place.host.clone());
        place.stopped.until(until_ms);
        for other in self.free_of(&place.host) {
            sim.hold(place.host.as_str(), other.as_str());
            let pair = (place.host.clone(), other);
            self.busy.insert(pair.clone());
            self.end_at(until_ms, End::Release(pair));
        }
    }

    /// Two hosts between which this goes wrong now. Services are chosen more often than buyers.
    fn pair(&mut self, fault: Fault) -> Option<Pair> {
        if !self.stage().strikes(fault) {
            return None;
        }
        let one = self.hosts[self.at(5)].clone();
        let among = if self.stage().chance(600) { 5 } else { self.hosts.len() };
        let other = self.hosts[self.at(among)].clone();
        let pair = if self.stage().chance(500) { (one, other) } else { (other, one) };
        let turned = (pair.1.clone(), pair.0.clone());
        let free = pair.0 != pair.1 && !self.busy.contains(&turned) && self.busy.insert(pair.clone());
        free.then(|| {
            self.stage().note("between", 0, || format!("{} and {}", pair.0, pair.1));
            pair
        })
    }

    fn crash(&mut self, sim: &mut Sim<'_>, host: &str, disk: Option<&Disk>) {
        if !sim.is_host_running(host) {
            return;
        }
        self.stage().note("crash", 0, || host.to_owned());
        self.places().filter(|place| place.host == host).for_each(|place| place.stopped.until(0));
        // Nobody hears the last words of a host that loses its power.
        let silent = self.stage().strikes(Fault::PowerCut);
        let free = if silent { self.free_of(host) } else { Vec::new() };
        free.iter().for_each(|other| sim.partition(host, other.as_str()));
        self.stage().set_crashing(true);
        sim.crash(host);
        self.stage().set_crashing(false);
        free.iter().for_each(|other| sim.repair(host, other.as_str()));
        if let Some(disk) = disk
            && self.stage().planted(Planted::ForgottenCommit)
        {
            disk.forget_last();
        }
        self.end_later(100, 6_000, End::Start(host.to_owned()));
    }

    /// The hosts between which and this one nothing is wrong.
    fn free_of(&self, host: &str) -> Vec<String> {
        self.hosts.iter().filter(|other| *other != host && !self.is_busy(host, other)).cloned().collect()
    }

    fn is_busy(&self, one: &str, other: &str) -> bool {
        self.busy
            .iter()
            .any(|pair| [(one, other), (other, one)].contains(&(pair.0.as_str(), pair.1.as_str())))
    }
}
