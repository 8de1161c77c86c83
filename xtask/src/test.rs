//! The test command: installs what it needs, then everything that must hold.

use anyhow::Context;

use crate::shell::{has, root, run};
use crate::{contracts, interop, sim, tidy};

/// Programs that the tests run, and the Debian packages that bring them.
const PROGRAMS: &[(&str, &str)] = &[
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3"),
    ("sqlite3", "sqlite3"),
    ("curl", "curl"),
    ("openssl", "openssl"),
];

/// All tests.
pub(crate) fn all() -> anyhow::Result<()> {
    install()?;
    run("format", "cargo", &["fmt", "--all", "--check"])?;
    tidy::run()?;
    run("lints", "cargo", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    run("tests", "cargo", &["test", "--workspace", "--quiet"])?;
    interop::matrix()?;
    sim::seeds(sim::SEEDS, 0)?;
    sim::net_seeds(sim::NET_SEEDS, 0)?;
    run("demo", "cargo", &["run", "--release", "--quiet", "--", "demo"])?;
    contracts::build(true)?;
    Ok(())
}

fn install() -> anyhow::Result<()> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let sudo = if has("sudo") { "sudo " } else { "" };
    let command = format!("{sudo}apt-get update -q && {sudo}apt-get install -qy {packages}");
    run("install Debian packages", "bash", &["-c", &command])
        .with_context(|| format!("the tests need {packages} (looked for in {})", root().display()))
}
