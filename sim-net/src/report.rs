//! What one run came to, as a child process tells it to the campaign.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The record of one run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The same for the same seed: everything that happened, in order, and when.
    pub(crate) hash: u64,
    /// How long the run was for those in it.
    pub(crate) simulated_ms: u64,
    /// How often each fault struck.
    pub(crate) faults: BTreeMap<String, u64>,
    /// How often each end was reached.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Known weaknesses that showed.
    pub(crate) gaps: BTreeMap<String, u64>,
    /// Broken promises.
    pub(crate) violations: Vec<String>,
}

/// Writes a run down, and prints it where somebody reads along.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) report: Report,
    pub(crate) with_text: bool,
}

impl Trace {
    pub(crate) fn note(&mut self, at_ms: u64, what: &str, number: u64, text: impl FnOnce() -> String) {
        let text = text();
        let bytes = what.bytes().chain(text.bytes()).map(u64::from);
        self.report.hash = [at_ms, number].into_iter().chain(bytes).fold(self.report.hash, mix);
        if self.with_text {
            let (seconds, ms) = (at_ms / 1_000, at_ms % 1_000);
            println!("{seconds:>5}.{ms:03}  {what:<26} {number:>4}  {text}");
        }
    }
}

/// One step of FNV-1a, by words.
fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
}
