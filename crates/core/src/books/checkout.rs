//! An order that is paid elsewhere: on the page of somebody who takes cards, or by a transfer.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::{Amount, Network, Timestamp};

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CheckoutState {
    /// Written down; whoever takes the money may not know of it.
    New,
    /// They know of it and wait for the payer.
    Created,
    /// The payer has agreed, and the money was called for.
    Captured,
    /// They say that it is paid, and it is being asked whether that is so.
    Webhooked,
    /// The money is there.
    Paid,
    /// It came to nothing.
    Failed,
    /// Paid, and given back.
    Refunded,
    /// Nobody paid in time.
    Cancel,
}

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Its id, as the payer knows it: nobody can guess it.
    pub id: String,
    /// Who takes the money.
    pub network: Network,
    /// What they call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_id: Option<String>,
    /// Where it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_link: Option<String>,
    /// The currency.
    pub currency: String,
    /// How much.
    pub amount: Amount,
    /// Who earns.
    pub pay_to: String,
    /// When it was made.
    pub at: Timestamp,
    /// From then on nobody waits for the payer.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: CheckoutState,
}

/// What can happen to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckoutEvent {
    /// Whoever takes the money knows of it.
    Create {
        /// What they call it.
        foreign_id: String,
        /// Where it is paid.
        payment_link: String,
    },
    /// The money was called for.
    Capture,
    /// They say that it is paid.
    Webhook,
    /// It is.
    Pay,
    /// It came to nothing.
    Fail,
    /// It was given back.
    Refund,
    /// Its time is over.
    Cancel,
}

impl Aggregate for Checkout {
    type Event = CheckoutEvent;
    const BOOK: Book = Book::Checkouts;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn state(&self) -> &'static str {
        match self.state {
            CheckoutState::New => "new",
            CheckoutState::Created => "created",
            CheckoutState::Captured => "captured",
            CheckoutState::Webhooked => "webhooked",
            CheckoutState::Paid => "paid",
            CheckoutState::Failed => "failed",
            CheckoutState::Refunded => "refunded",
            CheckoutState::Cancel => "cancel",
        }
    }

    fn is_final(&self) -> bool {
        use CheckoutState as S;
        matches!(self.state, S::Paid | S::Failed | S::Refunded | S::Cancel)
    }

    fn apply(mut self, event: CheckoutEvent, now: Timestamp) -> Option<Self> {
        use CheckoutEvent as E;
        use CheckoutState as S;
        self.state = match (self.state, event) {
            (S::New, E::Create { foreign_id, payment_link }) => {
                self.foreign_id = Some(foreign_id);
                self.payment_link = Some(payment_link);
                S::Created
            }
            (S::Created, E::Capture) => S::Captured,
            (S::Created | S::Captured, E::Webhook) => S::Webhooked,
            // Money that comes after the time is money: whoever has it owes what was ordered.
            (S::Created | S::Captured | S::Webhooked, E::Pay) => S::Paid,
            (S::Cancel, E::Pay) if self.foreign_id.is_some() => S::Paid,
            (S::New | S::Created | S::Captured | S::Webhooked, E::Fail) => S::Failed,
            (S::New | S::Created | S::Captured | S::Webhooked, E::Cancel) if now >= self.expires_at => {
                S::Cancel
            }
            (S::Paid, E::Refund) => S::Refunded,
            _ => return None,
        };
        Some(self)
    }
}
