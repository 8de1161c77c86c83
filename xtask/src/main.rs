//! What developers of groat run: `cargo xtask test` and its parts.

mod bench;
mod contracts;
mod interop;
mod kills;
mod mutants;
mod shell;
mod sim;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

/// Chores of the groat workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what the tests need and pass all of them; this is what CI runs
    Test,
    /// Check the shape of the workspace: dependency edges, file sizes, links in documents
    Tidy,
    /// Pay and be paid by the official clients, servers and facilitators; prints one line a pair
    Interop,
    /// Run the simulated economy on many seeds; a seed that breaks a promise is printed with its story
    Sim {
        /// How many seeds [default: 20000, over the network 500]
        #[arg(long)]
        seeds: Option<u64>,
        /// The first one
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Real HTTP over a simulated network, instead of models around engine and gate
        #[arg(long)]
        net: bool,
    },
    /// Kill facilitators, gates and buyers at every kill point, on both stores; prints one line a point
    Kills {
        /// Only this point, as KP5
        #[arg(long)]
        only: Option<String>,
        /// How long one of two facilitators on one database sleeps
        #[arg(long, default_value_t = kills::PAUSE_S)]
        pause_s: u64,
    },
    /// Break promises on purpose in a copy of the workspace, and see whether the tests notice
    Mutants {
        /// Only those whose name or file contains this
        #[arg(long)]
        only: Option<String>,
    },
    /// Measure groat beside its peers on one chain; writes docs/bench
    Bench {
        /// One short round, without the largest loads
        #[arg(long)]
        quick: bool,
        /// Names of systems, separated by commas
        #[arg(long)]
        only: Option<String>,
        /// Of start, verify, settle, automine, duplicate, seller, limits; separated by commas
        #[arg(long)]
        parts: Option<String>,
        /// How many rounds; 3 by default, 1 with --quick
        #[arg(long)]
        rounds: Option<u32>,
    },
    /// Compile the Solidity contracts
    Contracts {
        /// Only prove that the committed artifacts come from the sources
        #[arg(long)]
        check: bool,
    },
}

fn main() -> std::process::ExitCode {
    let result = match Cli::parse().chore {
        Chore::Test => test::all(),
        Chore::Tidy => tidy::run(),
        Chore::Interop => interop::matrix(),
        Chore::Sim { seeds, from, net: false } => sim::seeds(seeds.unwrap_or(sim::SEEDS), from),
        Chore::Sim { seeds, from, net: true } => sim::net_seeds(seeds.unwrap_or(sim::NET_SEEDS), from),
        Chore::Kills { only, pause_s } => kills::run(only.as_deref(), pause_s),
        Chore::Mutants { only } => mutants::run(only.as_deref()),
        Chore::Bench { quick, only, parts, rounds } => bench::run(quick, only, parts, rounds),
        Chore::Contracts { check } => contracts::build(check),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
