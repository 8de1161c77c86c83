//! The simulator is itself under test: it must be the same every time, leave nothing out, and see what it is shown.

use std::collections::BTreeMap;

use groat_sim::{Fault, Options, Planted, run};

const SEEDS: u64 = 600;

#[test]
fn no_promise_is_broken_and_every_fault_strikes() {
    let mut struck: BTreeMap<Fault, u64> = BTreeMap::new();
    let mut bought = 0;
    for seed in 0..SEEDS {
        let trace = run(seed, Options::default());
        assert!(trace.violations.is_empty(), "seed {seed}: {:?}", trace.violations);
        bought += trace.outcomes.get("bought").copied().unwrap_or(0);
        for (fault, count) in trace.faults {
            *struck.entry(fault).or_default() += count;
        }
    }
    for fault in Fault::ALL {
        assert!(struck.contains_key(fault), "{} never struck", fault.code());
    }
    assert!(bought > SEEDS, "with faults everywhere most buyers still get what they paid for: {bought}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..100 {
        let first = run(seed, Options::default());
        let again = run(seed, Options { with_text: true, ..Options::default() });
        assert_eq!(first.hash, again.hash, "seed {seed}");
        assert_eq!((first.faults, first.outcomes), (again.faults, again.outcomes), "seed {seed}");
    }
}

#[test]
fn planted_mistakes_are_caught() {
    for planted in Planted::ALL {
        let options = Options { planted: Some(*planted), ..Options::default() };
        let caught = (0..2_000).any(|seed| !run(seed, options).violations.is_empty());
        assert!(caught, "{planted:?} was not caught");
    }
}
