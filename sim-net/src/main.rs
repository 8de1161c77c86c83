//! The economy over a simulated network: real HTTP between real facilitators, gates, buyers and a real chain, in
//! virtual time, from one seed.
//!
//! Where `groat-sim` models everything around the engine and the gate, here everything is the real thing down to the
//! bytes on the wire: hyper and axum over turmoil, JSON-RPC to the dev chain, EIP-3009 signatures. Models are the
//! network, the disks, the clocks and the people. Every seed runs in a process of its own, because hash maps and
//! tokio draw randomness from the machine, and `mad-turmoil` turns that tap once for a whole process.

mod buyer;
mod campaign;
mod chain;
mod chaos;
mod check;
mod dice;
mod fault;
mod host;
mod lines;
mod notebook;
mod panics;
mod report;
mod run;
mod stage;
mod store;
mod wire;
mod world;

use std::process::ExitCode;

use clap::Parser;

use fault::Planted;
use stage::Options;

/// The economy over a simulated network, from one seed.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    pub(crate) seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    pub(crate) from: u64,
    /// Only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print what happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Print what the run came to as JSON: for the campaign.
    #[arg(long, requires = "seed")]
    json: bool,
    /// Go on after a broken promise and count.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Run every seed twice and compare.
    #[arg(long)]
    pub(crate) twice: bool,
    /// Make a mistake on purpose.
    #[arg(long)]
    pub(crate) plant: Option<Planted>,
    /// Processes at once.
    #[arg(long, default_value_t = 2)]
    pub(crate) jobs: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => campaign::run(&arguments),
    }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let report = run::run(seed, Options { with_text: arguments.trace, planted: arguments.plant });
    if arguments.json {
        println!("{}", serde_json::to_string(&report).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    for (gap, count) in &report.gaps {
        println!("seed {seed}: known gap: {gap} ({count})");
    }
    for violation in &report.violations {
        println!("seed {seed}: broken: {violation}");
    }
    println!("seed {seed}: {} s simulated, trace hash {:016x}", report.simulated_ms / 1_000, report.hash);
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
