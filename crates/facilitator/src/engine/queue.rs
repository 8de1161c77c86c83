//! Payments that wait for a transaction, and the signers that fetch them.
//!
//! One queue for each network. A signer that has nothing to do is idle; whoever brings a payment wakes one. While a
//! signer is busy, payments gather, and go together in its next transaction.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use groat_core::books::Settlement;
use groat_core::ports::Settler;
use groat_core::{Fault, Network};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::flights::Landing;

/// A payment that was checked a moment ago.
pub(super) struct Job {
    pub(super) settlement: Settlement,
    /// The version of its record, where there is one already.
    pub(super) version: Option<u64>,
    pub(super) landing: Landing,
    pub(super) since: Instant,
}

/// All queues.
pub(super) struct Queues {
    in_flight_max: usize,
    queues: Mutex<HashMap<(&'static str, Network), Arc<Queue>>>,
}

/// Payments of one network, and who settles them.
pub(super) struct Queue {
    pub(super) settler: Arc<dyn Settler>,
    pub(super) network: Network,
    /// A place for every transaction that a signer may have on its way.
    places: HashMap<String, Arc<Semaphore>>,
    in_flight_max: usize,
    state: Mutex<State>,
    arrived: Notify,
}

struct State {
    jobs: VecDeque<Job>,
    idle: Vec<String>,
    /// Signers whose account somebody else uses.
    halted: Vec<String>,
}

/// A place for one transaction of a signer; it is free again when this is dropped.
pub(super) type Place = OwnedSemaphorePermit;

impl Queues {
    pub(super) fn new(in_flight_max: usize) -> Self {
        Self { in_flight_max, queues: Mutex::default() }
    }

    /// The queue of a network.
    pub(super) fn of(&self, settler: &Arc<dyn Settler>, network: &Network) -> Arc<Queue> {
        let key = (settler.scheme(), network.clone());
        let mut queues = lock(&self.queues);
        let queue = queues.entry(key).or_insert_with(|| {
            let signers = settler.signers(network);
            let place = |signer: &String| (signer.clone(), Arc::new(Semaphore::new(self.in_flight_max)));
            Arc::new(Queue {
                settler: Arc::clone(settler),
                network: network.clone(),
                places: signers.iter().map(place).collect(),
                in_flight_max: self.in_flight_max,
                // The first of them is taken first.
                state: Mutex::new(State {
                    jobs: VecDeque::new(),
                    idle: signers.into_iter().rev().collect(),
                    halted: Vec::new(),
                }),
                arrived: Notify::new(),
            })
        });
        Arc::clone(queue)
    }
}

impl Queue {
    /// Takes a payment in. The signer that is returned was idle and has to be set to work.
    pub(super) fn push(&self, job: Job) -> Option<String> {
        let mut state = lock(&self.state);
        if state.halted.len() == self.places.len() {
            drop(state);
            let why = format!("no signer may submit on {}", self.network);
            job.landing.end(Err(Fault::unavailable("signer", why).into()));
            return None;
        }
        state.jobs.push_back(job);
        let woken = state.idle.pop();
        drop(state);
        self.arrived.notify_one();
        woken
    }

    /// A place for the next transaction of a signer.
    pub(super) async fn place(&self, signer: &str) -> Option<Place> {
        Arc::clone(self.places.get(signer)?).acquire_owned().await.ok()
    }

    /// A place for a transaction that is on its way already; `None` when there are too many, which lasts only until
    /// they are mined.
    pub(super) fn place_now(&self, signer: &str) -> Option<Place> {
        Arc::clone(self.places.get(signer)?).try_acquire_owned().ok()
    }

    /// The payments of the next transaction; `None` when there are none, and the signer is idle again.
    pub(super) async fn take(&self, signer: &str, count_max: usize) -> Option<Vec<Job>> {
        loop {
            let arrived = self.arrived.notified();
            let due = {
                let mut state = lock(&self.state);
                let Some(first) = state.jobs.front() else {
                    state.rest(signer);
                    return None;
                };
                let due = first.since + self.linger(signer);
                if state.jobs.len() >= count_max || due <= Instant::now() {
                    return Some(state.next(count_max));
                }
                due
            };
            // Either is reason enough to look again.
            let _ = tokio::time::timeout_at(due, arrived).await;
        }
    }

    /// How long a payment waits for company: not at all while nothing is on its way, and the longer the fewer places
    /// are left until the next block.
    fn linger(&self, signer: &str) -> Duration {
        let free = self.places.get(signer).map_or(0, |places| places.available_permits());
        // The place of the next transaction is taken already.
        let under_way = u32::try_from(self.in_flight_max.saturating_sub(free + 1)).unwrap_or(u32::MAX);
        LINGER.saturating_mul(under_way.saturating_mul(under_way))
    }

    /// Gives payments back that did not fit, to the front.
    pub(super) fn give_back(&self, jobs: Vec<Job>) {
        let mut state = lock(&self.state);
        jobs.into_iter().rev().for_each(|job| state.jobs.push_front(job));
    }

    /// A signer to set to work, if one is idle and something waits.
    pub(super) fn rouse(&self) -> Option<String> {
        let mut state = lock(&self.state);
        if state.jobs.is_empty() { None } else { state.idle.pop() }
    }

    /// Whether a signer may not go on.
    pub(super) fn is_halted(&self, signer: &str) -> bool {
        lock(&self.state).halted.iter().any(|halted| halted == signer)
    }

    /// Whether nobody is left who may submit.
    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.state).halted.len() == self.places.len()
    }

    /// Takes a halted signer to work again.
    pub(super) fn resume(&self, signer: &str) {
        let mut state = lock(&self.state);
        state.halted.retain(|halted| halted != signer);
        state.rest(signer);
    }

    /// Takes a signer out of work. Without any left, nobody waits in vain.
    pub(super) fn halt(&self, signer: &str) {
        let stranded = {
            let mut state = lock(&self.state);
            state.idle.retain(|idle| idle != signer);
            if !state.halted.iter().any(|halted| halted == signer) {
                state.halted.push(signer.to_owned());
            }
            if state.halted.len() < self.places.len() {
                VecDeque::new()
            } else {
                std::mem::take(&mut state.jobs)
            }
        };
        for job in stranded {
            let why = format!("no signer may submit on {}", self.network);
            job.landing.end(Err(Fault::unavailable("signer", why).into()));
        }
    }
}

/// With one transaction on its way.
const LINGER: Duration = Duration::from_micros(500);

impl State {
    /// A signer has nothing to do.
    fn rest(&mut self, signer: &str) {
        if !self.halted.iter().chain(&self.idle).any(|known| known == signer) {
            self.idle.push(signer.to_owned());
        }
    }

    /// The first payment, and those that may share its transaction.
    fn next(&mut self, count_max: usize) -> Vec<Job> {
        let mut taken: Vec<Job> = self.jobs.pop_front().into_iter().collect();
        if taken.first().is_some_and(|first| first.settlement.alone) {
            return taken;
        }
        let mut kept = VecDeque::new();
        while let Some(job) = self.jobs.pop_front() {
            if taken.len() >= count_max {
                kept.push_back(job);
                kept.append(&mut self.jobs);
            } else if job.settlement.alone {
                kept.push_back(job);
            } else {
                taken.push(job);
            }
        }
        self.jobs = kept;
        taken
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
