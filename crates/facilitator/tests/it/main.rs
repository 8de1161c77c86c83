//! The engine and its service on the embedded chain: real signatures, real transactions.
#![allow(clippy::unwrap_used, missing_docs)]

mod agentxpay;
mod batches;
mod budget;
mod callers;
mod confirmations;
mod garbage;
mod hostile;
mod lanes;
mod node;
mod official;
mod outsider;
mod payer_acts;
mod pending;
mod races;
mod remote;
mod reorgs;
mod resume;
mod server;
mod settle;
mod signatures;
mod tokens;
mod verdicts;
mod wallets;
mod webhooks;
mod world;
