//! Running programs, and telling clearly when one fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// Runs a program in the workspace root and says how long it took.
pub(crate) fn run<S: AsRef<OsStr>>(title: &str, program: &str, arguments: &[S]) -> anyhow::Result<()> {
    println!("\n== {title}");
    let start = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .status()
        .with_context(|| format!("{program} cannot be started: is it installed?"))?;
    if !status.success() {
        bail!("{title} failed ({program}: {status})");
    }
    println!("== {title}: {} s", start.elapsed().as_secs());
    Ok(())
}

/// Whether a program is on the path.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|output| output.status.success())
}
