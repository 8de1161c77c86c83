//! What all parts of one run share: dice, clock, faults, notes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::dice::Dice;
use crate::fault::Fault;
use crate::trace::Trace;
use crate::{Options, Planted};

/// When every run begins, in seconds since 1970.
const BEGINNING_S: u64 = 1_700_000_000;

pub(crate) struct Stage {
    dice: Mutex<Dice>,
    trace: Mutex<Trace>,
    /// How many times in a thousand each fault strikes in this run.
    per_mille: Vec<u64>,
    began: Instant,
    calm: AtomicBool,
    pub(crate) options: Options,
}

/// The lock of something that is whole at any time, even if a holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    /// Must be called inside the runtime of the run.
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut dice = Dice::new(seed);
        // Each run has its own mix of faults: some hide each other when all strike at once.
        let share = dice.between(100, 900);
        let per_mille = Fault::ALL
            .iter()
            .map(|fault| {
                if dice.chance(share) {
                    dice.between(fault.per_mille_max() / 4, fault.per_mille_max())
                } else {
                    0
                }
            })
            .collect();
        Self {
            dice: Mutex::new(dice),
            trace: Mutex::new(Trace::new(options.with_text)),
            per_mille,
            began: Instant::now(),
            calm: AtomicBool::new(false),
            options,
        }
    }

    /// Whether the fault strikes now.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        if self.is_calm() || !lock(&self.dice).chance(self.per_mille[fault as usize]) {
            return false;
        }
        lock(&self.trace).count_fault(fault);
        self.note(fault.code(), 0, String::new);
        true
    }

    /// Whether this mistake is made on purpose.
    pub(crate) fn planted(&self, planted: Planted) -> bool {
        self.options.planted == Some(planted)
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
        tokio::time::sleep(Duration::from_millis(self.between(low, high))).await;
    }

    /// The way of a message: often no time at all, else some milliseconds.
    pub(crate) async fn travel(&self) {
        if self.chance(300) {
            self.pause_ms(1, 40).await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// The true time in seconds.
    pub(crate) fn now_s(&self) -> u64 {
        BEGINNING_S + self.began.elapsed().as_secs()
    }

    /// Writes down what happened; `text` is only made when somebody reads it.
    pub(crate) fn note(&self, what: &'static str, number: u64, text: impl FnOnce() -> String) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        lock(&self.trace).note(elapsed, what, number, text);
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        lock(&self.trace).count_outcome(outcome);
    }

    /// A promise is broken.
    pub(crate) fn broken(&self, rule: &'static str, text: String) {
        self.note("VIOLATION", 0, || format!("{rule}: {text}"));
        lock(&self.trace).violations.push(format!("{rule}: {text}"));
    }

    /// A weakness that is known and not a broken promise of this part.
    pub(crate) fn gap(&self, gap: &'static str, text: impl FnOnce() -> String) {
        self.note("GAP", 0, || format!("{gap}: {}", text()));
        lock(&self.trace).count_gap(gap);
    }

    pub(crate) fn take_trace(&self) -> Trace {
        std::mem::take(&mut lock(&self.trace))
    }
}
