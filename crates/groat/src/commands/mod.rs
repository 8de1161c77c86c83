//! The commands, one file each.

pub(crate) mod balance;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod devchain;
pub(crate) mod discover;
pub(crate) mod facilitator;
pub(crate) mod gate;
pub(crate) mod indexer;
pub(crate) mod inspect;
mod named;
pub(crate) mod pay;
pub(crate) mod till;
pub(crate) mod wallet;

/// Exit codes, the same for every command (documented in `docs/reference/cli.md`).
pub(crate) mod exit {
    use std::process::ExitCode;

    /// Done.
    pub(crate) const OK: ExitCode = ExitCode::SUCCESS;
    /// The seller refused the payment.
    pub(crate) const REFUSED: u8 = 10;
    /// The policy said no; nothing was signed.
    pub(crate) const DENIED: u8 = 11;
    /// Something does not work: network, chain, file, configuration.
    pub(crate) const FAULT: u8 = 20;
    /// The outcome is not known yet; the same command asks again and never pays twice.
    pub(crate) const PENDING: u8 = 21;
}
