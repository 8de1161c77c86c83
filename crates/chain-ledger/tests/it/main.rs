//! The ledger, its scheme and the orders that are paid elsewhere; and all of it over HTTP.

// Test kit outside of `#[test]` functions: a panic is how it fails.
#![allow(clippy::unwrap_used)]

mod beside;
mod cashier;
mod checkout;
mod kit;
mod ledger;
mod plugged;
mod service;
