//! The contracts of the AgentXPay dialect: their interface, their rules, and that they lose and make no coin.

mod abi;
mod conserved;
mod escrow;
mod interfaces;
mod model;
mod payments;
mod reentry;
mod registry;
mod subscriptions;
mod wallet;
mod world;
