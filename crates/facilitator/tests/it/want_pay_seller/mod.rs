//! x402-pay/1 from its specification: contract, engine and gate together, and the wallet of a buyer.

mod bazaar;
mod binding;
mod buyer;
mod events;
mod negotiation;
mod once;
mod signers;
