//! The simulation itself: a seed is a run, calm seeds hold, and planted mistakes are found.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::{Command, Output};

use serde_json::Value;

/// Seeds that are enough to find any of the planted mistakes, with room to spare.
const SEEDS: &str = "40";

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_groat-sim-net")).args(arguments).output().unwrap()
}

fn report(arguments: &[&str]) -> Value {
    serde_json::from_slice(&simulate(&[arguments, &["--json"]].concat()).stdout).unwrap()
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_byte() {
    let story = |seed: &str| simulate(&["--seed", seed, "--trace"]).stdout;
    for seed in ["1", "2", "3"] {
        let one = story(seed);
        assert!(one.split(|byte| *byte == b'\n').count() > 100, "seed {seed} tells a story");
        assert!(one == story(seed), "seed {seed}");
    }
}

#[test]
fn another_seed_is_another_run() {
    assert_ne!(report(&["--seed", "1"])["hash"], report(&["--seed", "2"])["hash"]);
}

#[test]
fn every_promise_holds_on_a_few_seeds() {
    let output = simulate(&["--seeds", "12"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A broken promise, of the first seed that breaks one.
fn found(planted: &str) -> String {
    let output = simulate(&["--seeds", SEEDS, "--plant", planted]);
    assert!(!output.status.success(), "{planted} is not found in {SEEDS} seeds");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_store_that_forgets_its_last_commit_is_found() {
    found("forgotten-commit");
}

#[test]
fn a_client_that_takes_a_timeout_for_a_refusal_is_found() {
    let story = found("timeout-is-refusal");
    assert!(
        ["one wish is charged once", "refused is never charged", "who is charged is served or owed"]
            .iter()
            .any(|rule| story.contains(rule)),
        "{story}"
    );
}

#[test]
fn two_gates_with_a_book_each_are_found() {
    found("two-books");
}

#[test]
fn a_store_that_overwrites_what_it_finds_is_found() {
    found("blind-writes");
}
