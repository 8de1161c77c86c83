//! The economy in one process: buyers, a seller, a facilitator and a chain, in virtual time, from one seed.
//!
//! The engine of the facilitator and the gate of the seller are the real ones; chain, stores, network and clock are
//! models that fail on purpose. The same seed gives the same run, step by step, so whatever goes wrong once can be
//! looked at as often as needed. At the end of a run books, chain and everything that was said are compared with the
//! promises of the product (`check`).

mod buyer;
mod chain;
mod chaos;
mod check;
mod dice;
mod direct;
mod exact;
mod fault;
mod host;
mod life;
mod line;
mod node;
mod notebook;
mod panics;
mod run;
mod shop;
mod stage;
mod store;
mod tongue;
mod trace;
mod world;

pub use fault::Fault;
pub use run::{Options, run};
pub use trace::Trace;

/// A mistake made on purpose, to see that it is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Planted {
    /// The store says that it has written, and has not.
    ForgottenCommit,
    /// The token lets an authorization be used again.
    DoubleSpend,
    /// The store overwrites whatever it finds.
    BlindWrites,
    /// The facilitator speaks of settlements that never were.
    LyingFacilitator,
    /// The line to the facilitator says "no such payment" instead of "I cannot tell".
    NeverHeardOfIt,
    /// A transaction with one payment is looked at as if it had any number.
    EndlessCredit,
    /// A transaction that is on its way is called failed.
    PendingRefused,
    /// A hash is taken from whoever shows it, though its payer has to sign.
    UnsignedHash,
    /// The store does not keep how often a pass was used.
    ForgottenUses,
    /// Every pass opens everything.
    WidePasses,
}

impl Planted {
    /// Every mistake.
    pub const ALL: &'static [Self] = &[
        Self::ForgottenCommit,
        Self::DoubleSpend,
        Self::BlindWrites,
        Self::LyingFacilitator,
        Self::NeverHeardOfIt,
        Self::EndlessCredit,
        Self::PendingRefused,
        Self::UnsignedHash,
        Self::ForgottenUses,
        Self::WidePasses,
    ];
}
