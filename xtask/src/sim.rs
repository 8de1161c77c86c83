//! The simulated economy.

use crate::shell::run;

/// How many seeds the tests run.
pub(crate) const SEEDS: u64 = 20_000;

/// Runs seeds on an optimised build.
pub(crate) fn seeds(count: u64, from: u64) -> anyhow::Result<()> {
    let (count, from) = (count.to_string(), from.to_string());
    let arguments =
        ["run", "--release", "--quiet", "-p", "groat-sim", "--", "--seeds", &count, "--from", &from];
    run("simulation", "cargo", &arguments)
}
