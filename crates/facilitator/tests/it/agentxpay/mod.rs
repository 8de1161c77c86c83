//! Payment by transaction hash: contracts, engine and gate together.

mod binding;
mod credits;
mod elsewhere;
mod looks;
pub(crate) mod market;
mod once;
mod pending;
pub(crate) mod seen;
mod what_pays;
