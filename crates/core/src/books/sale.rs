//! The seller's book: one payment and the one run of the handler that it buys.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::payment::Fingerprint;
use crate::{Amount, Confirmations, Offer, PassGrant, Payment, PaymentId, Reason, Receipt, Timestamp};

/// What the handler answered, kept so that the same payment gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header fields in order; values are text.
    pub headers: Vec<(String, String)>,
    /// The body in base64, or `None` when it was too large to keep.
    pub body: Option<String>,
}

/// Where a sale stands: two facts, served and paid, that come in either order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SaleState {
    /// The payment is ours to work on; the handler may be running when `started`.
    Held {
        /// Whether the handler has been entered (kill point KP4).
        started: bool,
    },
    /// The handler has answered and the money has not moved yet.
    Served {
        /// What it answered.
        answer: Answer,
    },
    /// The money has moved and the handler has not answered yet.
    Paid {
        /// The proof for the buyer.
        receipt: Receipt,
        /// Whether the handler has been entered.
        started: bool,
    },
    /// Paid and served: every resend gets this again.
    Done {
        /// What it answered.
        answer: Answer,
        /// The proof for the buyer.
        receipt: Receipt,
    },
    /// The handler ran, but the money definitely did not move: no answer was given out, and none will be.
    Withheld {
        /// Why the payment failed.
        reason: Reason,
    },
    /// Given back: nothing was taken and nothing was served.
    Released,
}

/// One payment in the seller's book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// The payment.
    pub id: PaymentId,
    /// What the exact same payment looks like.
    pub payment: Fingerprint,
    /// What the exact same request looks like (method, URL, body where it matters).
    pub request: Fingerprint,
    /// The route, for people.
    pub route: String,
    /// When it was held, or taken over.
    pub held_at: Timestamp,
    /// The gate that works on it, where gates share a book and tell each other that they live.
    #[serde(default)]
    pub holder: Option<String>,
    /// Who is to be paid.
    pub pay_to: String,
    /// How much, in atomic units.
    pub amount: Amount,
    /// How sure of the money its route was to be when the sale was made.
    #[serde(default)]
    pub confirmations: Confirmations,
    /// From when on no chain takes the payment, so that what has not moved by then never will.
    pub valid_until: Timestamp,
    /// Until when the answer is kept.
    pub keep_until: Timestamp,
    /// When the money was known to have moved.
    #[serde(default)]
    pub paid_at: Option<Timestamp>,
    /// What has to be settled without the buyer, where the answer goes out before the money is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Box<Owed>>,
    /// The pass that it buys, where its route gives one: whatever the route does later, it stays the same pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Box<PassGrant>>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: SaleState,
}

/// A payment that is still to be settled, with all that takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The payment as it came.
    pub payment: Payment,
    /// The offer that it pays.
    pub offer: Offer,
    /// Who pays, where that is known.
    pub payer: Option<String>,
}

/// What a sale is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deal {
    /// The route, for people.
    pub route: String,
    /// Who is to be paid.
    pub pay_to: String,
    /// How much, in atomic units.
    pub amount: Amount,
    /// How sure of the money the route wants to be.
    pub confirmations: Confirmations,
    /// The pass that goes with it.
    pub pass: Option<Box<PassGrant>>,
}

impl Sale {
    fn retake(&mut self, payment: Fingerprint, request: Fingerprint, holder: Option<String>, deal: Deal) {
        (self.payment, self.request, self.holder) = (payment, request, holder);
        let Deal { route, pay_to, amount, confirmations, pass } = deal;
        (self.route, self.pay_to, self.amount, self.confirmations) = (route, pay_to, amount, confirmations);
        self.pass = pass;
    }
}

/// What can happen to a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaleEvent {
    /// The handler is about to be entered.
    Start,
    /// The handler has answered.
    Serve(Answer),
    /// The money has moved.
    Pay(Receipt),
    /// The money definitely has not moved.
    Refuse(Reason),
    /// Nothing came of it.
    Release,
    /// The handler came to nothing, and the money cannot go back: the payment may buy something else.
    Return,
    /// Taken up again after a release or a return.
    Hold {
        /// The payment that does.
        payment: Fingerprint,
        /// For this request.
        request: Fingerprint,
        /// At this gate.
        holder: Option<String>,
        /// What is bought now, which may be something else than before.
        deal: Box<Deal>,
    },
    /// Another gate goes on with it, where it was.
    Adopt {
        /// Which one.
        holder: Option<String>,
    },
}

impl Aggregate for Sale {
    type Event = SaleEvent;
    const BOOK: Book = Book::Sales;

    fn key(&self) -> String {
        self.id.to_string()
    }

    fn state(&self) -> &'static str {
        match self.state {
            SaleState::Held { .. } => "held",
            SaleState::Served { .. } => "served",
            SaleState::Paid { .. } => "paid",
            SaleState::Done { .. } => "done",
            SaleState::Withheld { .. } => "withheld",
            SaleState::Released => "released",
        }
    }

    fn is_final(&self) -> bool {
        matches!(self.state, SaleState::Done { .. } | SaleState::Withheld { .. } | SaleState::Released)
    }

    fn apply(mut self, event: SaleEvent, now: Timestamp) -> Option<Self> {
        use SaleEvent as E;
        use SaleState as S;
        if matches!(event, E::Pay(_)) {
            self.paid_at = Some(now);
        }
        self.state = match (self.state, event) {
            (S::Held { started: false }, E::Start) => S::Held { started: true },
            (S::Paid { receipt, started: false }, E::Start) => S::Paid { receipt, started: true },
            (S::Held { started: true }, E::Serve(answer)) => S::Served { answer },
            (S::Paid { receipt, started: true }, E::Serve(answer)) => S::Done { answer, receipt },
            (S::Held { started }, E::Pay(receipt)) => S::Paid { receipt, started },
            (S::Served { answer }, E::Pay(receipt)) => S::Done { answer, receipt },
            (S::Served { .. }, E::Refuse(reason)) => S::Withheld { reason },
            // What ran for nothing is over, lest it run again; what did not run may be tried again.
            (S::Held { started: true }, E::Refuse(reason)) => S::Withheld { reason },
            (S::Held { started: false }, E::Refuse(_)) | (S::Held { .. }, E::Release) => S::Released,
            // The handler failed by itself, so there is nothing to withhold and nothing to charge.
            (S::Served { .. }, E::Release) => S::Released,
            // What was held and not begun is as good as free, when whoever held it is gone.
            (S::Released | S::Held { started: false }, E::Hold { payment, request, holder, deal }) => {
                self.held_at = now;
                self.state = S::Held { started: false };
                self.retake(payment, request, holder, *deal);
                return Some(self);
            }
            (S::Paid { receipt, started: true }, E::Return) => S::Paid { receipt, started: false },
            // Begun or not: nothing has come of it.
            (S::Paid { receipt, .. }, E::Hold { payment, request, holder, deal }) => {
                self.held_at = now;
                self.state = S::Paid { receipt, started: false };
                self.retake(payment, request, holder, *deal);
                return Some(self);
            }
            (open @ (S::Held { .. } | S::Served { .. } | S::Paid { .. }), E::Adopt { holder }) => {
                (self.held_at, self.holder) = (now, holder);
                open
            }
            _ => return None,
        };
        Some(self)
    }
}
