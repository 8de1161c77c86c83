//! The books: what is known of a payment at the buyer, at the seller and at the facilitator, and what a facilitator's
//! signers have signed.
//!
//! Each is a pure state machine; [`Aggregate::apply`] is the only way a state changes, and an event that does not fit
//! is refused with `None` instead of being ignored.

mod account;
mod asked;
mod checkout;
mod cursor;
mod delivery;
mod endpoint;
mod event;
mod gas_day;
mod indexed;
mod kept_answer;
mod kept_pass;
mod order_key;
mod pass_use;
mod posting;
mod purchase;
mod sale;
mod settlement;
mod slot;

pub use account::{Account, AccountEvent, SYSTEM_ACCOUNTS};
pub use asked::{Asked, AskedEvent, AskedState, Paid};
pub use checkout::{Checkout, CheckoutEvent, CheckoutState};
pub use cursor::{Cursor, CursorEvent};
pub use delivery::{Delivery, DeliveryEvent, DeliveryState, Subject, Tried};
pub use endpoint::{EndpointState, WebhookEndpoint, WebhookEndpointEvent, WebhookSecret};
pub use event::{EventKind, PaymentEvent};
pub use gas_day::{GasDay, GasDayEvent};
pub use indexed::{IndexCursor, IndexCursorEvent, IndexedPayment, IndexedPaymentEvent};
pub use kept_answer::{KeptAnswer, KeptEvent, KeptState};
pub use kept_pass::{KeptPass, KeptPassEvent};
pub use order_key::{Bound, OrderKey, OrderKeyEvent};
pub use pass_use::{PassUse, PassUseEvent};
pub use posting::{Cause, Posting, PostingEvent, Side, StatementLine};
pub use purchase::{Purchase, PurchaseEvent, PurchaseState, SignedPayment};
pub use sale::{Answer, Deal, Owed, Sale, SaleEvent, SaleState};
pub use settlement::{Found, Settled, Settlement, SettlementEvent, SettlementState};
pub use slot::{Attempt, Mined, Slot, SlotEvent, SlotState};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Timestamp;

/// The name of a book; each is a table of its own in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Book {
    /// The buyer's payments, by id of the logical request.
    Purchases,
    /// The seller's payments, by payment id.
    Sales,
    /// The facilitator's payments, by payment id.
    Settlements,
    /// What was signed for which account nonce: `network/signer/nonce`.
    Nonces,
    /// The next nonce of each signer: `network/signer`.
    Lanes,
    /// Gates that share a book of sales, by name: whether they live.
    Gates,
    /// What somebody has to hear of the facilitator's payments, by number.
    Events,
    /// Gas that was set aside for callers of the facilitator: `day/caller`.
    Budgets,
    /// How often passes were used that are good for a number of requests, and which were taken back, by payment id.
    Passes,
    /// Passes that a buyer was given, by a hash of method, origin and path.
    KeptPasses,
    /// URLs that want to hear of the facilitator's payments, by id.
    Endpoints,
    /// What they are told: `endpoint/event`.
    Deliveries,
    /// Requests for payment that a facilitator was told of: `hash of the id/caller`.
    Requests,
    /// How far the events of a contract have been read: `network/contract`.
    Cursors,
    /// Answers of the facilitator's API by idempotency key.
    Answers,
    /// Payments that an indexer has read from a chain, by block and place in it.
    Indexed,
    /// How far an indexer has come.
    IndexCursors,
    /// Balances that a ledger keeps: `network/currency/account`.
    Accounts,
    /// What was moved between them, by what caused it.
    Postings,
    /// The same by account, in order: `network/currency/account/number`.
    StatementLines,
    /// Orders that are paid elsewhere, by id.
    Checkouts,
    /// What orders of tokens go by: a hash of payer and key.
    OrderKeys,
}

impl Book {
    /// Every book, for stores that prepare one table for each.
    pub const ALL: [Self; 22] = [
        Self::Purchases,
        Self::Sales,
        Self::Settlements,
        Self::Nonces,
        Self::Lanes,
        Self::Gates,
        Self::Events,
        Self::Budgets,
        Self::Passes,
        Self::KeptPasses,
        Self::Endpoints,
        Self::Deliveries,
        Self::Requests,
        Self::Cursors,
        Self::Answers,
        Self::Indexed,
        Self::IndexCursors,
        Self::Accounts,
        Self::Postings,
        Self::StatementLines,
        Self::Checkouts,
        Self::OrderKeys,
    ];

    /// Its table name.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Purchases => "purchases",
            Self::Sales => "sales",
            Self::Settlements => "settlements",
            Self::Nonces => "nonces",
            Self::Lanes => "lanes",
            Self::Gates => "gates",
            Self::Events => "events",
            Self::Budgets => "budgets",
            Self::Passes => "passes",
            Self::KeptPasses => "kept_passes",
            Self::Endpoints => "webhook_endpoints",
            Self::Deliveries => "webhook_deliveries",
            Self::Requests => "requests",
            Self::Cursors => "cursors",
            Self::Answers => "answers",
            Self::Indexed => "indexed",
            Self::IndexCursors => "index_cursors",
            Self::Accounts => "accounts",
            Self::Postings => "postings",
            Self::StatementLines => "statement_lines",
            Self::Checkouts => "checkouts",
            Self::OrderKeys => "order_keys",
        }
    }
}

/// A record with a life cycle.
pub trait Aggregate: Sized + Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    /// What can happen to it.
    type Event;
    /// Where it is written.
    const BOOK: Book;

    /// Its key in the book.
    fn key(&self) -> String;

    /// A word for the state, for indexes and for people.
    fn state(&self) -> &'static str;

    /// Whether nothing can happen to it any more.
    fn is_final(&self) -> bool;

    /// The record after the event, or `None` when that cannot happen now.
    fn apply(self, event: Self::Event, now: Timestamp) -> Option<Self>;
}

#[cfg(test)]
mod tests;
