//! The simulated economy.

use crate::shell::run;

/// How many seeds the tests run.
pub(crate) const SEEDS: u64 = 20_000;

/// How many of them over the simulated network, where every byte is real and a seed costs much more.
pub(crate) const NET_SEEDS: u64 = 500;

/// Runs seeds on an optimised build.
pub(crate) fn seeds(count: u64, from: u64) -> anyhow::Result<()> {
    simulate("simulation", "groat-sim", count, from)
}

/// Runs seeds over the simulated network.
pub(crate) fn net_seeds(count: u64, from: u64) -> anyhow::Result<()> {
    simulate("simulation over the network", "groat-sim-net", count, from)
}

fn simulate(what: &str, package: &str, count: u64, from: u64) -> anyhow::Result<()> {
    let (count, from) = (count.to_string(), from.to_string());
    let arguments = ["run", "--release", "--quiet", "-p", package, "--", "--seeds", &count, "--from", &from];
    run(what, "cargo", &arguments)
}
