//! What groat asks of the outside, as traits: clock, chains, access, signers, facilitators, stores.

mod access;
mod balances;
mod cashier;
mod chain;
mod facilitator;
mod observer;
mod orders;
mod request_chain;
mod store;

pub use access::{Access, AccessClaim, AccessProof, NoAccess};
pub use balances::{BalanceError, Balances, Statement, StatementAsk};
pub use cashier::Cashier;
pub use chain::{
    Fate, Look, Mechanism, Outcome, PayRequest, Payer, Place, Plan, Replacement, Settler, SignError, Signer,
    Standing, Token, TypedIntent,
};
pub use facilitator::{Facilitator, Kind, PaymentStatus, Supported};
pub use observer::{Observer, Seen};
pub use orders::{Checkouts, Fields, ForeignStatus, OrderDriver};
pub use request_chain::{BlockMark, PayCurrency, RelayOrder, RequestChain, RequestPaid};
pub use store::{Expect, Record, Store, Write};

use crate::{Fault, Timestamp};

/// What time it is.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// Bytes that nobody can guess.
pub trait Random: Send + Sync {
    /// Fills them all.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Fault>;
}

impl<F: Fn(&mut [u8]) -> Result<(), Fault> + Send + Sync> Random for F {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Fault> {
        self(bytes)
    }
}
