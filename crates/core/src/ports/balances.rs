//! Balances that a payment service keeps for its payers.

use async_trait::async_trait;

use crate::books::{Posting, StatementLine};
use crate::{Amount, Fault, PaymentId, Price, Timestamp};

/// Why something is not done with a balance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BalanceError {
    /// Not an account, a currency or an amount that is known here. The text is a sentence.
    #[error("{0}")]
    Wrong(String),
    /// The signature is not the holder's, or not of this minute.
    #[error(
        "sign `x402-balance/1`, the origin of this service, the account and the time in seconds, one a line, not longer ago than a minute"
    )]
    NotSigned,
    /// No such debit is known here.
    #[error("no debit with this payment id is known here")]
    Unknown,
    /// It was done before, otherwise.
    #[error("this was done before with another amount or account; it is done once")]
    Conflict,
    /// We cannot tell or cannot act.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// One page of what happened to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The account in its one spelling.
    pub account: String,
    /// The currency.
    pub currency: String,
    /// Decimals of its unit.
    pub decimals: u8,
    /// What is there now.
    pub balance: Amount,
    /// Lines, the oldest first.
    pub lines: Vec<StatementLine>,
    /// The number to ask after for the next page; `None` at the end.
    pub next: Option<u64>,
}

/// Who asks for a statement, and for which page.
#[derive(Debug, Clone, Copy)]
pub struct StatementAsk<'a> {
    /// The account as it was written.
    pub account: &'a str,
    /// The origin of the service that is asked, such as `https://api.example.com`: a signature for another is none for this.
    pub service: &'a str,
    /// The currency; the first one of the ledger without it.
    pub currency: Option<&'a str>,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// By whom: see [`BalanceError::NotSigned`].
    pub signature: &'a str,
    /// Lines after this number.
    pub after: u64,
    /// At most so many.
    pub count_max: usize,
    /// Now.
    pub now: Timestamp,
}

/// Balances, as a payment service needs them.
#[async_trait]
pub trait Balances: Send + Sync {
    /// What happened to an account, for its holder.
    async fn statement(&self, ask: StatementAsk<'_>) -> Result<Statement, BalanceError>;

    /// The account in its one spelling, and the price in units of its currency: what a payment of it will add.
    fn top_up_of(&self, account: &str, price: &Price) -> Result<(String, String, Amount), BalanceError>;

    /// Adds what a payment has bought, once for each payment.
    async fn top_up(
        &self,
        account: &str,
        price: &Price,
        payment: PaymentId,
        now: Timestamp,
    ) -> Result<Posting, BalanceError>;

    /// Gives a debit back, once: all of it, or `amount` in whole units of its currency.
    async fn refund(
        &self,
        payment: PaymentId,
        amount: Option<&str>,
        now: Timestamp,
    ) -> Result<Posting, BalanceError>;

    /// The debit that a payment was.
    async fn debit(&self, payment: PaymentId) -> Result<Option<Posting>, Fault>;

    /// An amount in whole units, for people.
    fn in_words(&self, currency: &str, amount: Amount) -> String;
}
