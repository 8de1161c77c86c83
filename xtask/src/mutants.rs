//! Deliberate faults: do the tests notice when a promise of the money path is broken?
//!
//! The list is data (`xtask/mutants/*.toml`). Each fault is one text replaced in one file of a copy of the workspace;
//! the commands beside it must fail then. An entry that does not fit its file any more is an error, so that the list
//! cannot rot. This measures the tests, not the code.

mod copy;
mod list;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use copy::Copy;
use list::Mutant;

/// Share of the faults that must be caught.
const CAUGHT_PERCENT_MIN: usize = 95;
/// A fault may make a test wait for ever; that is noticed as well.
const TEST_TIMEOUT: Duration = Duration::from_secs(240);
/// Some crates take long on a busy machine, the first time.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3_600);

/// A command has so many tries to pass without a fault, and one less to fail with one.
const TRIES: usize = 3;

/// How a command on a mutant ended.
#[derive(PartialEq, Eq)]
enum Ran {
    Passed,
    Failed,
    TimedOut,
}

/// Tries all mutants whose name or file contains `only`.
pub(crate) fn run(only: Option<&str>) -> anyhow::Result<()> {
    let mutants = list::read()?;
    let chosen: Vec<&Mutant> =
        mutants.iter().filter(|mutant| only.is_none_or(|text| mutant.is_about(text))).collect();
    let copy = Copy::of_workspace()?;
    // What fails anyway would seem to catch everything.
    let mut commands: Vec<&str> =
        chosen.iter().flat_map(|mutant| mutant.catch.iter().map(String::as_str)).collect();
    commands.sort_unstable();
    commands.dedup();
    for command in commands {
        let start = Instant::now();
        if !(0..TRIES).any(|_| matches!(try_command(copy.root(), command), Ok(Ran::Passed))) {
            bail!("`{command}` fails without any fault");
        }
        println!("without a fault, {} s: {command}", start.elapsed().as_secs());
    }
    println!("\n| Mutant | Caught by | Seconds |\n| --- | --- | --- |");
    let mut survivors = Vec::new();
    for mutant in &chosen {
        let start = Instant::now();
        let file = copy.mutate(&mutant.file, &mutant.search, &mutant.replace)?;
        let caught = first_to_fail(copy.root(), mutant).with_context(|| mutant.name.clone());
        file.restore()?;
        let caught = caught?;
        println!(
            "| {} | {} | {} |",
            mutant.name,
            caught.as_deref().unwrap_or("**nothing**"),
            start.elapsed().as_secs()
        );
        if caught.is_none() {
            survivors.push(mutant.name.as_str());
        }
    }
    let caught = chosen.len() - survivors.len();
    println!("\n{caught} of {} caught", chosen.len());
    if caught * 100 < chosen.len() * CAUGHT_PERCENT_MIN {
        bail!(
            "less than {CAUGHT_PERCENT_MIN} % of the faults were noticed; not these:\n  {}",
            survivors.join("\n  ")
        );
    }
    Ok(())
}

fn first_to_fail(root: &Path, mutant: &Mutant) -> anyhow::Result<Option<String>> {
    for command in &mutant.catch {
        if fails_each_time(root, command)? {
            return Ok(Some(command.clone()));
        }
    }
    Ok(None)
}

/// A test that fails now and then on a busy machine notices nothing.
fn fails_each_time(root: &Path, command: &str) -> anyhow::Result<bool> {
    for _ in 1..TRIES {
        match try_command(root, command)? {
            Ran::Passed => return Ok(false),
            Ran::Failed => {}
            Ran::TimedOut => return Ok(true),
        }
    }
    Ok(true)
}

/// `test …` is a `cargo test`, `sim N` the simulated economy on N seeds. What does not compile catches nothing.
fn try_command(root: &Path, command: &str) -> anyhow::Result<Ran> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (build, run) = match words.as_slice() {
        ["test", rest @ ..] => {
            let what: Vec<&str> = rest.iter().copied().take_while(|word| *word != "--").collect();
            let build = [&["test", "--no-run"], what.as_slice()].concat();
            (build, [&["test"], rest].concat())
        }
        ["sim", seeds] => (
            vec!["build", "--release", "-p", "groat-sim"],
            vec!["run", "--release", "-p", "groat-sim", "--", "--seeds", seeds],
        ),
        _ => bail!("`{command}` is neither `test …` nor `sim N`"),
    };
    if cargo(root, &build, BUILD_TIMEOUT)? != Ran::Passed {
        bail!("does not compile; try `cargo {}`", build.join(" "));
    }
    cargo(root, &run, TEST_TIMEOUT)
}

fn cargo(root: &Path, words: &[&str], limit: Duration) -> anyhow::Result<Ran> {
    // It ends the tests that cargo started as well.
    let status = Command::new("timeout")
        .args(["--kill-after=5", &limit.as_secs().to_string(), "cargo", words[0], "--quiet"])
        .args(&words[1..])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", root.with_file_name("build"))
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("`timeout` cannot be started")?;
    Ok(match status.code() {
        Some(0) => Ran::Passed,
        Some(124 | 137) => Ran::TimedOut,
        _ => Ran::Failed,
    })
}
