//! The matrix of official peers against ours.

use crate::shell::run;

/// Installs the pinned peers into `interop/` and lets everybody pay everybody.
pub(crate) fn matrix() -> anyhow::Result<()> {
    run("official peers", "bash", &["interop/setup.sh"])?;
    let tests =
        ["interop::every_official_peer_pays_and_is_paid", "permits::f086_the_package_pays_by_permit2"];
    let only = ["test", "--quiet", "-p", "groat", "--test", "it", "--", "--ignored", "--nocapture"];
    let only = [&only[..], &tests[..]].concat();
    run("interop", "cargo", &only)
}
