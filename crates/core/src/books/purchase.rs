//! The buyer's book: one wish to buy, and at most one live payment for it.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::{Amount, Network, Offer, Payment, PaymentId, Reason, Receipt, Timestamp};

/// A payment that left the signer. From here on the money counts as spent until the opposite is proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignedPayment {
    /// The id that seller and facilitator will know it by.
    pub id: PaymentId,
    /// The payment; exactly this is sent, also after a crash.
    pub payment: Payment,
    /// The offer it accepts.
    pub offer: Offer,
    /// After this the chain will not take it; of a transaction, which a chain may take at any time: after this its seller
    /// will not.
    pub valid_until: Timestamp,
    /// Where it goes, when it buys a pass and does not travel with the request itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_at: Option<String>,
}

/// Where a purchase stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PurchaseState {
    /// Policy said yes; the budget is reserved and nothing is signed.
    Planned,
    /// Signed and written; perhaps not sent.
    Signed(Box<SignedPayment>),
    /// Sent; the answer is not known. The same bytes are sent again.
    Sent(Box<SignedPayment>),
    /// Paid and answered.
    Bought {
        /// The payment.
        id: PaymentId,
        /// What the seller says, where it said anything.
        receipt: Option<Receipt>,
    },
    /// Certainly not paid: refused with proof, expired unused, or never sent.
    Refused {
        /// Why.
        reason: Reason,
    },
    /// Over without an answer: it cannot be taken any more, and whether it was taken in time is not known here.
    Lapsed {
        /// The payment.
        id: PaymentId,
    },
}

/// One purchase in the buyer's book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Purchase {
    /// Fingerprint of the logical request.
    pub request: String,
    /// Method and URL, for people.
    pub title: String,
    /// Whether the request had header fields of its own. They are not kept, because there may be secrets in them.
    #[serde(default)]
    pub has_fields: bool,
    /// Whose prices these are.
    pub host: String,
    /// The chain.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// Who is paid.
    pub pay_to: String,
    /// How much.
    pub amount: Amount,
    /// The same in millionths of a dollar, for budgets; `None` when the token has no known value.
    pub usd_micros: Option<u64>,
    /// Which rule or person allowed it.
    pub allowed_by: String,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// Where it stands.
    #[serde(flatten)]
    pub state: PurchaseState,
}

/// What can happen to a purchase.
#[derive(Debug, Clone, PartialEq)]
pub enum PurchaseEvent {
    /// The signer signed.
    Sign(Box<SignedPayment>),
    /// It is about to leave.
    Send,
    /// The seller answered with success.
    Buy(Option<Receipt>),
    /// It is certain that nothing was paid.
    Refuse(Reason),
    /// Nobody can take it any more, and nobody answers for it.
    Lapse,
}

impl Aggregate for Purchase {
    type Event = PurchaseEvent;
    const BOOK: Book = Book::Purchases;

    fn key(&self) -> String {
        self.request.clone()
    }

    fn state(&self) -> &'static str {
        match self.state {
            PurchaseState::Planned => "planned",
            PurchaseState::Signed(_) => "signed",
            PurchaseState::Sent(_) => "sent",
            PurchaseState::Bought { .. } => "bought",
            PurchaseState::Refused { .. } => "refused",
            PurchaseState::Lapsed { .. } => "lapsed",
        }
    }

    fn is_final(&self) -> bool {
        use PurchaseState as S;
        matches!(self.state, S::Bought { .. } | S::Refused { .. } | S::Lapsed { .. })
    }

    fn apply(mut self, event: PurchaseEvent, _now: Timestamp) -> Option<Self> {
        use PurchaseEvent as E;
        use PurchaseState as S;
        self.state = match (self.state, event) {
            (S::Planned, E::Sign(signed)) => S::Signed(signed),
            (S::Signed(signed) | S::Sent(signed), E::Send) => S::Sent(signed),
            (S::Sent(signed), E::Buy(receipt)) => S::Bought { id: signed.id, receipt },
            (S::Sent(signed), E::Lapse) => S::Lapsed { id: signed.id },
            (S::Planned | S::Signed(_) | S::Sent(_), E::Refuse(reason)) => S::Refused { reason },
            _ => return None,
        };
        Some(self)
    }
}

impl Purchase {
    /// Whether its money must be counted as spent: everything except what certainly was not paid.
    pub fn counts_as_spent(&self) -> bool {
        !matches!(self.state, PurchaseState::Refused { .. })
    }

    /// The payment that may be on its way.
    pub fn outstanding(&self) -> Option<&SignedPayment> {
        match &self.state {
            PurchaseState::Signed(signed) | PurchaseState::Sent(signed) => Some(signed),
            _ => None,
        }
    }
}
