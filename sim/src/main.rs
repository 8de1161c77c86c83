//! Runs seeds and counts what happened; a broken promise ends it with the seed, its trace and exit status 1.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use groat_sim::{Fault, Options, Planted, Trace, run};

/// The economy in one process, from one seed.
#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print what happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Go on after a broken promise and count.
    #[arg(long)]
    keep_going: bool,
    /// Run every seed twice and compare.
    #[arg(long)]
    twice: bool,
    /// Make a mistake on purpose.
    #[arg(long)]
    plant: Option<Planted>,
    /// Threads to use.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

impl Arguments {
    fn options(&self) -> Options {
        Options { with_text: false, planted: self.plant }
    }
}

/// What all runs together came to.
#[derive(Default)]
struct Sums {
    seeds: u64,
    faults: BTreeMap<Fault, u64>,
    outcomes: BTreeMap<&'static str, u64>,
    gaps: BTreeMap<&'static str, u64>,
    broken: Vec<(u64, Vec<String>)>,
}

impl Sums {
    fn take(&mut self, seed: u64, trace: Trace) {
        self.seeds += 1;
        add(&mut self.faults, trace.faults);
        add(&mut self.outcomes, trace.outcomes);
        add(&mut self.gaps, trace.gaps);
        if !trace.violations.is_empty() {
            self.broken.push((seed, trace.violations));
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        add(&mut self.faults, other.faults);
        add(&mut self.outcomes, other.outcomes);
        add(&mut self.gaps, other.gaps);
        self.broken.extend(other.broken);
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, count) in more {
        *sums.entry(key).or_default() += count;
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return one(seed, &arguments);
    }
    let began = Instant::now();
    let mut sums = many(&arguments);
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    sums.broken.sort();
    report(&sums);
    println!("{} seeds in {elapsed_ms} ms: {} seeds/s", sums.seeds, sums.seeds * 1_000 / elapsed_ms);
    let Some((seed, _)) = sums.broken.first() else { return ExitCode::SUCCESS };
    println!("{} seeds broke promises", sums.broken.len());
    if arguments.keep_going {
        for (seed, violations) in &sums.broken {
            println!("seed {seed}: {}", violations.join("; "));
        }
        return ExitCode::FAILURE;
    }
    one(*seed, &Arguments { trace: true, ..arguments })
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let options = arguments.options();
    let trace = run(seed, Options { with_text: arguments.trace, ..options });
    for line in &trace.lines {
        println!("{line}");
    }
    for (gap, count) in &trace.gaps {
        println!("seed {seed}: known gap: {gap} ({count})");
    }
    for violation in &trace.violations {
        println!("seed {seed}: broken: {violation}");
    }
    println!("seed {seed}: trace hash {:016x}", trace.hash);
    if trace.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(arguments: &Arguments) -> Sums {
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let stop = AtomicBool::new(false);
    let options = arguments.options();
    let work = || {
        let mut sums = Sums::default();
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let mut trace = run(seed, options);
            if arguments.twice && run(seed, options).hash != trace.hash {
                trace.violations.push("the same seed is the same run".to_owned());
            }
            sums.take(seed, trace);
            if !sums.broken.is_empty() && !arguments.keep_going {
                stop.store(true, Ordering::Relaxed);
            }
        }
        sums
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let mut sums = Sums::default();
        for thread in threads {
            match thread.join() {
                Ok(of_thread) => sums.merge(of_thread),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        sums
    })
}

fn report(sums: &Sums) {
    println!("faults");
    for fault in Fault::ALL {
        println!("  {:<36} {:>10}", fault.code(), sums.faults.get(fault).copied().unwrap_or(0));
    }
    for (title, counts) in [("outcomes", &sums.outcomes), ("known gaps", &sums.gaps)] {
        println!("{title}");
        for (name, count) in counts {
            println!("  {name:<36} {count:>10}");
        }
    }
}
