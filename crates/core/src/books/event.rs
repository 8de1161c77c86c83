//! The outbox: what somebody has to hear although nobody asks, in the order in which it was written.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use super::{Aggregate, Asked, Book, Paid, Settlement, SettlementState};
use crate::{Amount, Network, PaymentId, Reason, Timestamp};

/// What has happened to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// It was told as settled, and a reorganisation has undone that.
    #[serde(rename = "payment.reverted")]
    Reverted,
    /// It is settled after all; of a [request](super::Asked): it is paid.
    #[serde(rename = "payment.settled")]
    Settled,
}

/// One line of the outbox. Written in the commit that makes it true, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentEvent {
    /// Counts the events of a book, from 1 and without gaps.
    pub number: u64,
    /// What.
    pub kind: EventKind,
    /// When it was written.
    pub at: Timestamp,
    /// The payment.
    pub payment: PaymentId,
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
    /// Settled: the transaction that moved the money. Reverted: the one that had.
    pub transaction: Option<String>,
    /// Settled: the block of that transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// Reverted for good: why. Without it the payment can still be settled.
    pub reason: Option<Reason>,
    /// The id of the request that it pays, where a seller had told of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl EventKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reverted => "payment.reverted",
            Self::Settled => "payment.settled",
        }
    }
}

impl PaymentEvent {
    /// What a change is worth telling although somebody has an answer, as yet without a number.
    pub fn of(before: &Settlement, after: &Settlement, at: Timestamp) -> Option<Self> {
        let kind = match (before.reverted, after.reverted) {
            (false, true) => EventKind::Reverted,
            (true, false) => EventKind::Settled,
            _ => return None,
        };
        Some(Self::new(kind, before, after, at))
    }

    /// The same for those who have no answer: also when it is settled for the first time.
    pub fn of_every(before: &Settlement, after: &Settlement, at: Timestamp) -> Option<Self> {
        let first = || (!before.told && after.told).then(|| Self::new(EventKind::Settled, before, after, at));
        Self::of(before, after, at).or_else(first)
    }

    fn new(kind: EventKind, before: &Settlement, after: &Settlement, at: Timestamp) -> Self {
        let block = match &after.state {
            SettlementState::Settled(settled) => Some(settled.block),
            _ => None,
        };
        let transaction = match (&after.state, &before.state) {
            (SettlementState::Settled(settled), _) => Some(settled.transaction.clone()),
            (_, SettlementState::Submitted { transaction, .. }) => Some(transaction.clone()),
            (_, SettlementState::Settled(settled)) => Some(settled.transaction.clone()),
            _ => None,
        };
        let reason = match &after.state {
            SettlementState::Failed { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        Self {
            number: 0,
            kind,
            at,
            payment: after.id,
            network: after.network.clone(),
            asset: after.asset.clone(),
            payer: after.payer.clone(),
            pay_to: after.pay_to.clone(),
            amount: after.amount,
            transaction,
            block,
            reason,
            request: None,
        }
    }

    /// That a request is paid, or not any more, as yet without a number.
    pub fn of_request(
        asked: &Asked,
        payment: PaymentId,
        kind: EventKind,
        paid: &Paid,
        at: Timestamp,
    ) -> Self {
        Self {
            number: 0,
            kind,
            at,
            payment,
            network: asked.network.clone(),
            asset: asked.asset.clone(),
            payer: paid.buyer.clone(),
            pay_to: asked.seller.clone(),
            amount: asked.amount,
            transaction: Some(paid.transaction.clone()),
            block: (kind == EventKind::Settled).then_some(paid.block),
            reason: None,
            request: Some(asked.id.clone()),
        }
    }

    /// The key of an event: in key order is in order.
    pub fn key_of(number: u64) -> String {
        format!("{number:020}")
    }
}

impl Aggregate for PaymentEvent {
    type Event = Infallible;
    const BOOK: Book = Book::Events;

    fn key(&self) -> String {
        Self::key_of(self.number)
    }

    fn state(&self) -> &'static str {
        self.kind.word()
    }

    fn is_final(&self) -> bool {
        true
    }

    fn apply(self, event: Infallible, _now: Timestamp) -> Option<Self> {
        match event {}
    }
}
