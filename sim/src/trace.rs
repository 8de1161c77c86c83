//! What happened in a run: a hash to compare runs by, counts, and text for people on demand.

use std::collections::BTreeMap;

use crate::fault::Fault;

/// The record of one run.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The same for the same seed: everything that happened, and when.
    pub hash: u64,
    /// Lines for people, where they were asked for.
    pub lines: Vec<String>,
    /// How often each fault struck.
    pub faults: BTreeMap<Fault, u64>,
    /// How often each end was reached.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Known weaknesses that showed.
    pub gaps: BTreeMap<&'static str, u64>,
    /// Broken promises.
    pub violations: Vec<String>,
    with_text: bool,
}

impl Trace {
    pub(crate) fn new(with_text: bool) -> Self {
        Self { with_text, ..Self::default() }
    }

    pub(crate) fn note(
        &mut self,
        at_ms: u64,
        what: &'static str,
        number: u64,
        text: impl FnOnce() -> String,
    ) {
        let mut mixed = [at_ms, number].into_iter().fold(SEED, mix);
        mixed = what.bytes().map(u64::from).fold(mixed, mix);
        // A sum, because copies of one request that wait for one answer are woken in no particular order.
        self.hash = self.hash.wrapping_add(mixed);
        if self.with_text {
            let (seconds, ms) = (at_ms / 1_000, at_ms % 1_000);
            self.lines.push(format!("{seconds:>5}.{ms:03}  {what:<26} {number:>4}  {}", text()));
        }
    }

    pub(crate) fn count_fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn count_outcome(&mut self, outcome: &'static str) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    pub(crate) fn count_gap(&mut self, gap: &'static str) {
        *self.gaps.entry(gap).or_default() += 1;
    }
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// One step of FNV-1a, by words.
fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
}
