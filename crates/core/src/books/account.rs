//! An account of a ledger: what ever went out of it, and what ever came in.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::{Amount, Network, Timestamp};

/// Accounts of the ledger itself: where money comes from and where it is lent from. Only they may have less than nothing,
/// so that all accounts together always have exactly nothing.
pub const SYSTEM_ACCOUNTS: [&str; 2] = ["cash", "refunds"];

/// One account in one currency. Two sums that only grow instead of a balance: there is no number below zero, and the debits
/// of all accounts are their credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The ledger.
    pub network: Network,
    /// The currency.
    pub currency: String,
    /// Whose it is: an address, a public key, or one of [`SYSTEM_ACCOUNTS`].
    pub holder: String,
    /// What went out.
    pub debits: Amount,
    /// What came in.
    pub credits: Amount,
    /// How many postings touched it: the number of its last [`StatementLine`](super::StatementLine).
    pub lines: u64,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountEvent {
    /// Money goes out.
    Debit(Amount),
    /// Money comes in.
    Credit(Amount),
}

impl Account {
    /// An account that nothing has happened to: the first posting opens it.
    pub fn new(network: Network, currency: &str, holder: &str) -> Self {
        Self {
            network,
            currency: currency.to_owned(),
            holder: holder.to_owned(),
            debits: Amount::ZERO,
            credits: Amount::ZERO,
            lines: 0,
        }
    }

    /// Its key in the book.
    pub fn key_of(network: &Network, currency: &str, holder: &str) -> String {
        format!("{network}/{currency}/{holder}")
    }

    /// Whether it may have less than nothing.
    pub fn is_system(&self) -> bool {
        SYSTEM_ACCOUNTS.contains(&self.holder.as_str())
    }

    /// What is there; nothing also for an account of the system that has less.
    pub fn balance(&self) -> Amount {
        self.credits.checked_sub(self.debits).unwrap_or(Amount::ZERO)
    }
}

impl Aggregate for Account {
    type Event = AccountEvent;
    const BOOK: Book = Book::Accounts;

    fn key(&self) -> String {
        Self::key_of(&self.network, &self.currency, &self.holder)
    }

    fn state(&self) -> &'static str {
        if self.is_system() { "system" } else { "open" }
    }

    fn is_final(&self) -> bool {
        // Nothing has to be taken up after a crash.
        true
    }

    fn apply(mut self, event: AccountEvent, _now: Timestamp) -> Option<Self> {
        let (AccountEvent::Debit(amount) | AccountEvent::Credit(amount)) = event;
        if amount.is_zero() {
            return None;
        }
        match event {
            AccountEvent::Debit(amount) => self.debits = self.debits.checked_add(amount)?,
            AccountEvent::Credit(amount) => self.credits = self.credits.checked_add(amount)?,
        }
        self.lines = self.lines.checked_add(1)?;
        (self.is_system() || self.debits <= self.credits).then_some(self)
    }
}
