//! The matrix of official peers against ours.

use crate::shell::{root, run};

/// Installs the pinned peers into `interop/` and lets everybody pay everybody.
pub(crate) fn matrix() -> anyhow::Result<()> {
    let setup = root().join("interop/setup.sh");
    run("official peers", "bash", &[&setup.to_string_lossy()])?;
    let test = "interop::every_official_peer_pays_and_is_paid";
    let only = ["test", "--quiet", "-p", "groat", "--test", "it", "--", "--ignored", "--nocapture", test];
    run("interop", "cargo", &only)
}
