//! Payment by transaction hash: contracts, engine and gate together.

mod binding;
mod credits;
pub(crate) mod market;
mod once;
mod pending;
mod seen;
mod what_pays;
