//! The gate and the gateway against a scripted facilitator: no chain, no clock, no sleeping.

// Test kit outside of `#[test]` functions: a panic is how it fails.
#![allow(clippy::unwrap_used)]

mod after;
mod again;
mod before;
mod challenge;
mod confirmations;
mod crash;
mod credit;
mod gateway;
mod keys;
mod kit;
mod lookup;
mod mpp;
mod once;
mod paid_before;
mod passes;
mod revoke;
mod shared;
mod stumble;
mod token_shop;
mod tokens;
