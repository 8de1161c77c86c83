//! What all parts of one run share: dice, time, faults, notes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dice::Dice;
use crate::fault::{Fault, Planted};
use crate::report::{Report, Trace};

/// When every run begins, in seconds since 1970.
const BEGINNING_S: u64 = 1_700_000_000;

/// How to run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Whether what happens is printed.
    pub(crate) with_text: bool,
    /// A mistake to be caught.
    pub(crate) planted: Option<Planted>,
}

pub(crate) struct Stage {
    dice: Mutex<Dice>,
    trace: Mutex<Trace>,
    /// How many times in a thousand each fault strikes in this run.
    per_mille: Vec<u64>,
    now_ms: AtomicU64,
    /// When the storm ended.
    calm_at_ms: AtomicU64,
    crashing: AtomicBool,
    planted: Option<Planted>,
}

/// The lock of something that is whole at any time, even if a holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut dice = Dice::new(seed);
        // Each run has its own mix of faults: some hide each other when all strike at once.
        let share = dice.between(100, 900);
        let per_mille = Fault::ALL
            .iter()
            .map(|fault| {
                let max = fault.per_mille_max();
                if dice.chance(share) { dice.between(max / 4, max) } else { 0 }
            })
            .collect();
        Self {
            dice: Mutex::new(dice),
            trace: Mutex::new(Trace { with_text: options.with_text, ..Trace::default() }),
            per_mille,
            now_ms: AtomicU64::new(0),
            calm_at_ms: AtomicU64::new(u64::MAX),
            crashing: AtomicBool::new(false),
            planted: options.planted,
        }
    }

    /// Whether the fault strikes now.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        let per_mille = self.per_mille[fault as usize];
        if self.is_calm() || per_mille == 0 || !lock(&self.dice).chance(per_mille) {
            return false;
        }
        *lock(&self.trace).report.faults.entry(fault.code().to_owned()).or_default() += 1;
        self.note(fault.code(), 0, String::new);
        true
    }

    /// Whether this mistake is made on purpose.
    pub(crate) fn planted(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        lock(&self.dice).below(end)
    }

    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        lock(&self.dice).between(low, high)
    }

    pub(crate) fn chance(&self, per_mille: u64) -> bool {
        lock(&self.dice).chance(per_mille)
    }

    /// Sleeps for some milliseconds between the two.
    pub(crate) async fn pause_ms(&self, low: u64, high: u64) {
        let pause = self.between(low, high);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm_down(&self) {
        self.calm_at_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm_at_ms.load(Ordering::Relaxed) != u64::MAX
    }

    /// For how long nothing has gone wrong.
    pub(crate) fn calm_for_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.calm_at_ms.load(Ordering::Relaxed))
    }

    /// While a process is being killed, what is dropped in it does not count as done.
    pub(crate) fn set_crashing(&self, crashing: bool) {
        self.crashing.store(crashing, Ordering::Relaxed);
    }

    pub(crate) fn is_crashing(&self) -> bool {
        self.crashing.load(Ordering::Relaxed)
    }

    pub(crate) fn set_now_ms(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// The true time in seconds.
    pub(crate) fn now_s(&self) -> u64 {
        BEGINNING_S + self.now_ms() / 1_000
    }

    /// Writes down what happened.
    pub(crate) fn note(&self, what: &str, number: u64, text: impl FnOnce() -> String) {
        lock(&self.trace).note(self.now_ms(), what, number, text);
    }

    pub(crate) fn count(&self, outcome: &str) {
        *lock(&self.trace).report.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    /// A weakness that is known and written down.
    pub(crate) fn gap(&self, gap: &str, text: impl FnOnce() -> String) {
        self.note(gap, 0, text);
        *lock(&self.trace).report.gaps.entry(gap.to_owned()).or_default() += 1;
    }

    /// A promise is broken.
    pub(crate) fn broken(&self, rule: &str, text: &str) {
        self.note("BROKEN", 0, || format!("{rule}: {text}"));
        lock(&self.trace).report.violations.push(format!("{rule}: {text}"));
    }

    pub(crate) fn take_report(&self) -> Report {
        let mut report = std::mem::take(&mut lock(&self.trace).report);
        report.simulated_ms = self.now_ms();
        report
    }
}
