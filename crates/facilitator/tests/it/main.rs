//! The engine and its service on the embedded chain: real signatures, real transactions.
#![allow(clippy::unwrap_used, missing_docs)]

mod node;
mod settle;
mod verdicts;
mod world;
