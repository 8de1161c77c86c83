//! What moved between two accounts of a ledger, and why: written with both of them in one commit.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use super::{Account, Aggregate, Book};
use crate::{Amount, Network, PaymentId, Timestamp};

/// Why something was moved. Each cause moves something once: its text is the key of the posting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    /// Somebody has paid for it.
    TopUp {
        /// The payment.
        payment: PaymentId,
    },
    /// The operator gave it.
    Grant {
        /// The operator's word for it.
        id: String,
    },
    /// Its holder has signed it away.
    Debit {
        /// The payment that it is.
        payment: PaymentId,
    },
    /// A debit is given back.
    Refund {
        /// The payment that it was.
        payment: PaymentId,
    },
}

impl Cause {
    /// The key of what it moves.
    pub fn key(&self) -> String {
        match self {
            Self::TopUp { payment } | Self::Debit { payment } | Self::Refund { payment } => {
                format!("{}/{payment}", self.word())
            }
            Self::Grant { id } => format!("{}/{id}", self.word()),
        }
    }

    /// A word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::TopUp { .. } => "top_up",
            Self::Grant { .. } => "grant",
            Self::Debit { .. } => "debit",
            Self::Refund { .. } => "refund",
        }
    }
}

/// One entry of the ledger: out of one account, into another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Why.
    pub cause: Cause,
    /// The ledger.
    pub network: Network,
    /// The currency.
    pub currency: String,
    /// Out of whose account.
    pub debit: String,
    /// Into whose.
    pub credit: String,
    /// How much.
    pub amount: Amount,
    /// When.
    pub at: Timestamp,
    /// How much of it was given back. Once, and then never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Amount>,
}

/// What can happen to a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostingEvent {
    /// So much of a debit is given back.
    Refund(Amount),
}

impl Posting {
    /// Whether this would move the same, whenever it was written and whatever became of it.
    pub fn is_same(&self, other: &Self) -> bool {
        let timeless = |posting: &Self| Self { at: Timestamp(0), refunded: None, ..posting.clone() };
        timeless(self) == timeless(other)
    }
}

impl Aggregate for Posting {
    type Event = PostingEvent;
    const BOOK: Book = Book::Postings;

    fn key(&self) -> String {
        self.cause.key()
    }

    fn state(&self) -> &'static str {
        if self.refunded.is_some() { "refunded" } else { self.cause.word() }
    }

    fn is_final(&self) -> bool {
        true
    }

    fn apply(mut self, event: PostingEvent, _now: Timestamp) -> Option<Self> {
        let PostingEvent::Refund(amount) = event;
        let is_free = matches!(self.cause, Cause::Debit { .. }) && self.refunded.is_none();
        if !is_free || amount.is_zero() || amount > self.amount {
            return None;
        }
        self.refunded = Some(amount);
        Some(self)
    }
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Out.
    Debit,
    /// In.
    Credit,
}

/// A posting as one of its two accounts sees it. Written once, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// The key of the account.
    pub account: String,
    /// Counts the lines of the account, from 1 and without gaps.
    pub number: u64,
    /// Which way.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// The other account's holder.
    pub with: String,
    /// Why.
    pub cause: Cause,
    /// What was there afterwards.
    pub balance: Amount,
    /// When.
    pub at: Timestamp,
}

impl StatementLine {
    /// The line that a posting adds to an account, which is as it is afterwards.
    pub fn of(posting: &Posting, account: &Account, side: Side) -> Self {
        let with = if side == Side::Debit { &posting.credit } else { &posting.debit };
        Self {
            account: account.key(),
            number: account.lines,
            side,
            amount: posting.amount,
            with: with.clone(),
            cause: posting.cause.clone(),
            balance: account.balance(),
            at: posting.at,
        }
    }

    /// The key of a line: in key order is in order.
    pub fn key_of(account: &str, number: u64) -> String {
        format!("{account}/{number:020}")
    }
}

impl Aggregate for StatementLine {
    type Event = Infallible;
    const BOOK: Book = Book::StatementLines;

    fn key(&self) -> String {
        Self::key_of(&self.account, self.number)
    }

    fn state(&self) -> &'static str {
        self.cause.word()
    }

    fn is_final(&self) -> bool {
        true
    }

    fn apply(self, event: Infallible, _now: Timestamp) -> Option<Self> {
        match event {}
    }
}
