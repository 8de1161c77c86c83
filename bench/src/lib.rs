//! What the benchmarks share: a chain in this process, payments signed beforehand, and rows with the same figures.
//!
//! `cargo bench -p groat-bench` runs all of them. Every program measures, in the same run, the limit that its subject
//! cannot pass: the signature check, the chain, or the handler without a price.
#![allow(
    clippy::unwrap_used,
    clippy::float_arithmetic,
    reason = "a benchmark that cannot be set up has to stop"
)]

mod meter;
mod purse;

pub use meter::{Meter, Row, heading, run};
pub use purse::{Purse, World, offer, settler};
