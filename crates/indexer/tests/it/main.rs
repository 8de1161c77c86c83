//! The index on the embedded chain: real contracts, a node that fails, lies and reorganises, a process that dies.
#![allow(clippy::unwrap_used, missing_docs)]

mod liar;
mod reading;
mod rest;
mod world;
