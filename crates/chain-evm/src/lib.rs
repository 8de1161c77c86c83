//! Payment mechanisms on EVM chains. The first to read is the scheme `exact` by EIP-3009 (`exact/`).
//!
//! [`ExactEvm`] is one value with three faces: the pure [`Mechanism`](groat_core::ports::Mechanism) for sellers, the
//! [`Payer`](groat_core::ports::Payer) for buyers, the [`Settler`](groat_core::ports::Settler) for facilitators.
//! The first two need no chain; the last needs one [`Chain`] per network.

pub mod account;
pub mod assets;
mod by_hash;
mod chain;
mod exact;
mod gas_key;
pub mod pay_proof;
pub mod permit;
mod rpc;
mod transaction;
mod wallet;

pub use by_hash::{
    ByHashEvm, Contracts, EventKind, Listed, MadeLog, NATIVE, PAYMENT_MADE, PaidEvent, Purse,
    SUBSCRIPTION_PAID, ServiceAsk, ServiceTrouble, Wanted, discover, history, history_of, is_service,
    service_terms,
};
pub use chain::{Chain, ChainLimits, ChainOptions, Simulate};
#[doc(hidden)]
pub use exact::fuzzing;
pub use exact::{ExactEvm, abi, proof, typed_data};
pub use gas_key::{GasKey, GasKeyError};
pub use permit::{PermitAsk, PermitEvm, PermitKind};
pub use rpc::{Block, Rpc};
