//! Payment by transaction hash: contracts, engine and gate together.

mod binding;
mod credits;
pub(crate) mod market;
mod once;
mod pending;
mod what_pays;
