//! Processes that die where it hurts.

use crate::shell::run as start;

/// How long the tests let a facilitator sleep.
pub(crate) const PAUSE_S: u64 = 10;

/// Builds the binary with its failpoints and goes through the kill points, then lets two facilitators and two gates share
/// a database while they are killed and stopped.
pub(crate) fn run(only: Option<&str>, pause_s: u64) -> anyhow::Result<()> {
    let build = ["test", "--release", "--quiet", "-p", "groat", "--features", "failpoints", "--test", "it"];
    let tests = ["--", "--include-ignored", "--nocapture", "--test-threads=1"];
    let mut arguments = [build.as_slice(), tests.as_slice(), &["kills::"]].concat();
    let settings =
        [format!("GROAT_KILLS_ONLY={}", only.unwrap_or_default()), format!("GROAT_PAUSE_S={pause_s}")];
    if only.is_none() {
        arguments.push("shared::");
    }
    let words = settings.iter().map(String::as_str).chain(["cargo"]).chain(arguments).collect::<Vec<_>>();
    let outcome = start("kill points", "env", &words);
    // Not left where somebody looks for the binary: one that dies when its environment says so.
    let clean = ["build", "--release", "--quiet", "-p", "groat"];
    start("the binary without failpoints", "cargo", &clean)?;
    outcome
}
