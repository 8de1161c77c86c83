//! The engine and its service on the embedded chain: real signatures, real transactions.
#![allow(clippy::unwrap_used, missing_docs)]

mod hostile;
mod node;
mod settle;
mod tokens;
mod verdicts;
mod wallets;
mod world;
