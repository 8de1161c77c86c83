//! The model of groat: what a payment is, how it lives, and what may be asked of the outside.
//!
//! This crate is pure: no runtime, no HTTP, no chain library, no clock, no randomness, no files.
//! Everything that acts does so through the traits in [`ports`].

pub mod amount;
pub mod books;
pub mod confirmations;
pub mod key;
pub mod money;
pub mod network;
pub mod offer;
pub mod pass;
pub mod payment;
pub mod policy;
pub mod ports;
pub mod reason;
pub mod time;
pub mod verified;

pub use amount::Amount;
pub use confirmations::{Confirmations, Depth};
pub use key::{PaymentId, PaymentKey};
pub use money::Price;
pub use network::Network;
pub use offer::{Challenge, Offer, Resource, Terms};
pub use pass::{Pass, PassGrant, PassTerms};
pub use payment::{Payment, Receipt};
pub use reason::{Failure, Fault, Reason, Refusal};
pub use time::Timestamp;
pub use verified::{Claim, Funds, Verified};
