//! The test command: installs what it needs, then everything that must hold.

use anyhow::Context;

use crate::shell::{has, root, run};
use crate::{contracts, interop, kills, sim, tidy};

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
    let kills = ["clippy", "-p", "groat", "--all-targets", "--features", "failpoints", "--quiet"];
    run("lints of the kill points", "cargo", &[kills.as_slice(), &["--", "-D", "warnings"]].concat())?;
    run("tests", "cargo", &["test", "--workspace", "--quiet"])?;
    interop::matrix()?;
    kills::run(None, kills::PAUSE_S)?;
    sim::seeds(sim::SEEDS, 0)?;
    sim::net_seeds(sim::NET_SEEDS, 0)?;
    run("demo", "cargo", &["run", "--release", "--quiet", "--", "demo"])?;
    contracts::build(true)?;
    Ok(())
}

/// PostgreSQL's server, without the cluster that Debian's package would make and start: the tests make their own.
const POSTGRESQL: &str = "$SUDO apt-get install -qy postgresql-common && \
    $SUDO sed -ri 's/^#? *create_main_cluster.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf && \
    $SUDO apt-get install -qy postgresql";

fn install() -> anyhow::Result<()> {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    let mut steps = vec!["$SUDO apt-get update -q".to_owned()];
    if !missing.is_empty() {
        steps.push(format!("$SUDO apt-get install -qy {}", missing.join(" ")));
    }
    // Debian keeps the server's programs off the path, so that several versions can lie side by side.
    if !has("/usr/lib/postgresql/*/bin/initdb") {
        steps.push(POSTGRESQL.to_owned());
        missing.push("postgresql");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let sudo = if has("sudo") { "sudo" } else { "" };
    let command = format!("SUDO={sudo}; {}", steps.join(" && "));
    run("install Debian packages", "bash", &["-c", &command])
        .with_context(|| format!("the tests need {packages} (looked for in {})", root().display()))
}
