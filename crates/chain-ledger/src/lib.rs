//! Payment without a chain: balances in double entry, and orders that are paid elsewhere.
//!
//! A [`Ledger`] keeps accounts and what moved between them in a store. [`BalanceLedger`] makes a payment scheme of it: the
//! payer signs a `BalanceDebit`, and one commit takes the money. [`CheckoutOrders`] is the scheme of orders that somebody
//! else takes the money for.

mod balances;
mod cashier;
pub mod checkout;
mod currency;
mod debit;
mod holder;
mod ledger;
mod mechanism;
mod offer;
mod operations;
mod payer;
mod signature;

pub use checkout::{CheckoutOrders, MockDriver};
pub use currency::Currency;
pub use debit::Debit;
pub use holder::{Holder, NotAnAccount};
pub use ledger::{Ledger, LedgerError};
pub use mechanism::BalanceLedger;
pub use operations::TrialBalance;
pub use payer::{BalancePayer, statement_intent};
pub use signature::{message_digest, statement_text};

/// The scheme of debits.
pub const SCHEME: &str = "balance";
/// What a debit calls itself in an order.
pub const PERMIT_TYPE: &str = "BalanceDebit";
/// The family of networks: `ledger:main`.
pub const NAMESPACE: &str = "ledger";
