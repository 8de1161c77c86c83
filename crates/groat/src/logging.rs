//! Logs go to stderr, so that stdout carries only what was asked for.

use tracing_subscriber::EnvFilter;

/// Starts logging: warnings by default, more with `-v` and `-vv`.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
