//! Many seeds, each in a process of its own: two runs in one process would not be independent of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Arguments;
use crate::fault::Fault;
use crate::report::Report;
use crate::stage::lock;

/// What all runs together came to.
#[derive(Default)]
struct Sums {
    seeds: u64,
    simulated_ms: u64,
    faults: BTreeMap<String, u64>,
    outcomes: BTreeMap<String, u64>,
    gaps: BTreeMap<String, u64>,
    broken: BTreeSet<u64>,
}

impl Sums {
    fn take(&mut self, seed: u64, report: Report) {
        self.seeds += 1;
        self.simulated_ms += report.simulated_ms;
        add(&mut self.faults, report.faults);
        add(&mut self.outcomes, report.outcomes);
        add(&mut self.gaps, report.gaps);
        if !report.violations.is_empty() {
            self.broken.insert(seed);
        }
    }
}

fn add(sums: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (name, count) in more {
        *sums.entry(name).or_default() += count;
    }
}

/// Milliseconds since the machine started. The clock of this process stands still, because the simulation has
/// replaced it.
fn uptime_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let (seconds, rest) =
        text.split_whitespace().next().unwrap_or_default().split_once('.').unwrap_or_default();
    seconds.parse::<u64>().unwrap_or_default() * 1_000 + rest.parse::<u64>().unwrap_or_default() * 10
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let began_ms = uptime_ms();
    let sums = many(arguments);
    let elapsed_ms = uptime_ms().saturating_sub(began_ms).max(1);
    print(&sums);
    println!(
        "{} seeds, {} s simulated, in {}.{:03} s: {}.{} seeds/s",
        sums.seeds,
        sums.simulated_ms / 1_000,
        elapsed_ms / 1_000,
        elapsed_ms % 1_000,
        sums.seeds * 1_000 / elapsed_ms,
        sums.seeds * 10_000 / elapsed_ms % 10,
    );
    if sums.broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{} seeds broke promises: {:?}", sums.broken.len(), sums.broken);
    if let Some(seed) = sums.broken.first() {
        println!("the first story: cargo run --release -p groat-sim-net -- --seed {seed} --trace");
    }
    ExitCode::FAILURE
}

fn many(arguments: &Arguments) -> Sums {
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let stop = AtomicBool::new(false);
    let sums = Mutex::new(Sums::default());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let mut report = child(seed, arguments);
            if arguments.twice && child(seed, arguments).hash != report.hash {
                report.violations.push("the same seed is the same run".to_owned());
            }
            if !report.violations.is_empty() {
                println!("seed {seed}: {}", report.violations.join("; "));
                stop.fetch_or(!arguments.keep_going, Ordering::Relaxed);
            }
            lock(&sums).take(seed, report);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(work);
        }
    });
    sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One seed in a process of its own. One that dies has broken a promise too.
fn child(seed: u64, arguments: &Arguments) -> Report {
    let failed = |problem: String| Report { violations: vec![problem], ..Report::default() };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(format!("no program: {error}")),
    };
    let mut command = Command::new(program);
    command.args(["--json", "--seed", &seed.to_string()]);
    if let Some(planted) = arguments.plant.and_then(|planted| clap::ValueEnum::to_possible_value(&planted)) {
        command.args(["--plant", planted.get_name()]);
    }
    match command.output() {
        Ok(output) => match serde_json::from_slice(&output.stdout) {
            Ok(report) => report,
            Err(_) => failed(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
        },
        Err(error) => failed(format!("the process cannot be started: {error}")),
    }
}

fn print(sums: &Sums) {
    println!("faults");
    for fault in Fault::ALL {
        println!("  {:<36} {:>10}", fault.code(), sums.faults.get(fault.code()).copied().unwrap_or(0));
    }
    for (title, counts) in [("outcomes", &sums.outcomes), ("known gaps", &sums.gaps)] {
        println!("{title}");
        for (name, count) in counts {
            println!("  {name:<36} {count:>10}");
        }
    }
}
