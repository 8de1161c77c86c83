//! The facilitator's book: one authorization on its way to the chain.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::{Amount, Network, Offer, Payment, PaymentId, Reason, Timestamp};

/// The proof that the money has moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The transaction that carries the transfer.
    pub transaction: String,
    /// The block it is in.
    pub block: u64,
    /// Hash of that block, to notice a reorganisation.
    pub block_hash: String,
    /// Whether somebody else submitted it (threat row E09).
    pub by_other: bool,
}

/// Where a settlement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SettlementState {
    /// Nothing of ours is under way: it was never submitted, or what was submitted moved nothing and is dead.
    Released,
    /// A transaction is signed and perhaps sent.
    Submitted {
        /// The [`Slot`](super::Slot) that carries it, by key. What was signed for it lies there.
        slot: String,
        /// The first that was signed; a replacement for more gas has another hash.
        transaction: String,
    },
    /// The money has moved.
    Settled(Settled),
    /// Proved that it has not and never will by this authorization, or that the chain refused it.
    Failed {
        /// Why.
        reason: Reason,
        /// The transaction that failed, where one did.
        transaction: Option<String>,
    },
}

/// One payment in the facilitator's book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settlement {
    /// The payment.
    pub id: PaymentId,
    /// The chain.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// How much.
    pub amount: Amount,
    /// After this the authorization is dead.
    pub valid_until: Timestamp,
    /// When it was accepted.
    pub held_at: Timestamp,
    /// Whether no other payment may share its transaction.
    #[serde(default)]
    pub alone: bool,
    /// Gas that was spent for it, its share of each transaction that was mined.
    #[serde(default)]
    pub gas: u64,
    /// Whether it was ever said that the money has moved. If it turns out that it has not, somebody must be told.
    #[serde(default)]
    pub told: bool,
    /// Whether that was said and is not true: a reorganisation undid it, and what was sent came to nothing. Each change
    /// is an [event](super::PaymentEvent).
    #[serde(default)]
    pub reverted: bool,
    /// The payment as it came, to go on with after a crash.
    pub payment: Payment,
    /// The offer it pays.
    pub offer: Offer,
    /// Where it stands.
    #[serde(flatten)]
    pub state: SettlementState,
}

/// Where a payment was found that somebody else has made, and what shows it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it lies.
    pub settled: Settled,
    /// Who pays there.
    pub payer: String,
    /// The proof that names this transaction.
    pub payment: Payment,
    /// The offer that it was found good for.
    pub offer: Offer,
}

/// What can happen to a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettlementEvent {
    /// A transaction was signed.
    Submit {
        /// The slot that carries it.
        slot: String,
        /// Its hash.
        transaction: String,
    },
    /// Found on chain.
    Confirm(Settled),
    /// Proved dead.
    Fail {
        /// Why.
        reason: Reason,
        /// What failed.
        transaction: Option<String>,
    },
    /// The transaction was mined or can never be, nothing moved and the authorization is unused: it may be taken up
    /// again (invariant I5).
    Abandon,
    /// It was seen again: elsewhere, because its block is gone after a reorganisation, perhaps in another transaction; or for
    /// a higher offer, because more has moved than anybody had asked for.
    Move(Box<Found>),
    /// The block that it was seen in is gone after a reorganisation, and it is in no other. It may come back.
    Vanish,
    /// The block that decided it is no longer part of the chain: it goes on where it was submitted (invariant I7).
    Reorganise {
        /// The slot that carries it.
        slot: String,
        /// Its first transaction.
        transaction: String,
    },
}

impl Settlement {
    /// The slot that carries it now.
    pub fn slot(&self) -> Option<&str> {
        match &self.state {
            SettlementState::Submitted { slot, .. } => Some(slot),
            _ => None,
        }
    }
}

impl Aggregate for Settlement {
    type Event = SettlementEvent;
    const BOOK: Book = Book::Settlements;

    fn key(&self) -> String {
        self.id.to_string()
    }

    fn state(&self) -> &'static str {
        match self.state {
            SettlementState::Released => "released",
            SettlementState::Submitted { .. } => "submitted",
            SettlementState::Settled(_) => "settled",
            SettlementState::Failed { .. } => "failed",
        }
    }

    fn is_final(&self) -> bool {
        !matches!(self.state, SettlementState::Submitted { .. })
    }

    fn apply(mut self, event: SettlementEvent, _now: Timestamp) -> Option<Self> {
        use SettlementEvent as E;
        use SettlementState as S;
        match &event {
            E::Confirm(_) | E::Move(_) => self.reverted = false,
            E::Fail { .. } | E::Abandon | E::Vanish => self.reverted = self.told,
            E::Submit { .. } | E::Reorganise { .. } => {}
        }
        self.state = match (self.state, event) {
            // From nowhere else: a second live nonce for one payment could move the money twice (invariant I1).
            (S::Released, E::Submit { slot, transaction }) => S::Submitted { slot, transaction },
            (S::Released | S::Submitted { .. }, E::Confirm(settled)) => {
                self.told = true;
                S::Settled(settled)
            }
            (S::Released | S::Submitted { .. }, E::Fail { reason, transaction }) => {
                S::Failed { reason, transaction }
            }
            (S::Submitted { .. }, E::Abandon) => S::Released,
            (S::Settled(before), E::Vanish) if before.by_other => S::Released,
            (before, E::Move(found)) if may_move(&before, self.told, &found.settled) => {
                let Found { settled, payer, payment, offer } = *found;
                self.payer = payer;
                // What shows it and what it is good for belong together.
                if offer.amount >= self.amount {
                    (self.amount, self.payment, self.offer) = (offer.amount, payment, offer);
                }
                S::Settled(settled)
            }
            (S::Settled(_) | S::Failed { .. }, E::Reorganise { slot, transaction }) => {
                S::Submitted { slot, transaction }
            }
            _ => return None,
        };
        Some(self)
    }
}

/// Only what we have not sent can come in a transaction that is not ours, and only what was seen once can be seen again.
fn may_move(before: &SettlementState, told: bool, now: &Settled) -> bool {
    match before {
        SettlementState::Settled(before) => {
            before.transaction == now.transaction || before.by_other && now.by_other
        }
        SettlementState::Released => told && now.by_other,
        SettlementState::Submitted { .. } | SettlementState::Failed { .. } => false,
    }
}
