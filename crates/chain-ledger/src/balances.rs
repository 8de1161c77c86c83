//! A ledger as a payment service sees it.

use async_trait::async_trait;
use groat_core::books::Posting;
use groat_core::ports::{BalanceError, Balances, Statement, StatementAsk};
use groat_core::{Amount, Fault, PaymentId, Price, Timestamp};

use crate::signature::{is_signed, read};
use crate::{Holder, Ledger, LedgerError, statement_text};

/// How long a signature opens a statement, either way: clocks differ.
const SIGNED_S_MAX: u64 = 60;
/// Lines of one page.
const LINES_MAX: usize = 200;

impl From<LedgerError> for BalanceError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Fault(fault) => Self::Fault(fault),
            LedgerError::Conflict => Self::Conflict,
            LedgerError::NothingToRefund => Self::Unknown,
            LedgerError::Overdrawn | LedgerError::Wrong(_) => Self::Wrong(error.to_string()),
        }
    }
}

fn holder(account: &str) -> Result<Holder, BalanceError> {
    Holder::parse(account).map_err(|error| BalanceError::Wrong(error.to_string()))
}

#[async_trait]
impl Balances for Ledger {
    async fn statement(&self, ask: StatementAsk<'_>) -> Result<Statement, BalanceError> {
        let holder = holder(ask.account)?;
        let age = ask.now.since(ask.signed_at).max(ask.signed_at.since(ask.now));
        // Signed as it was written, so that nobody has to know our spelling.
        let text = statement_text(ask.service, ask.account, ask.signed_at);
        let signed = read(&holder, ask.signature).is_some_and(|bytes| is_signed(&holder, &text, &bytes));
        if age > SIGNED_S_MAX || !signed {
            return Err(BalanceError::NotSigned);
        }
        let currency = match ask.currency {
            None => self.first_currency(),
            Some(symbol) => self
                .currency(symbol)
                .ok_or_else(|| BalanceError::Wrong("this currency is not kept here".to_owned()))?,
        };
        let account = self.account(currency.symbol, &holder.to_string()).await?;
        let count_max = ask.count_max.clamp(1, LINES_MAX);
        let lines = self.lines_after(&account, ask.after, count_max).await?;
        let next = lines.last().map(|line| line.number).filter(|last| *last < account.lines);
        Ok(Statement {
            account: holder.to_string(),
            currency: currency.symbol.to_owned(),
            decimals: currency.decimals,
            balance: account.balance(),
            lines,
            next,
        })
    }

    fn top_up_of(&self, account: &str, price: &Price) -> Result<(String, String, Amount), BalanceError> {
        let holder = holder(account)?;
        // What is paid for is dollars; other currencies are granted.
        let currency = Some("USD").filter(|_| price.ticker().is_none()).and_then(|usd| self.currency(usd));
        let currency = currency
            .ok_or_else(|| BalanceError::Wrong("only dollars can be bought here: amount=5.00".to_owned()))?;
        let amount =
            price.to_units(currency.decimals).map_err(|error| BalanceError::Wrong(error.to_string()))?;
        Ok((holder.to_string(), currency.symbol.to_owned(), amount))
    }

    async fn top_up(
        &self,
        account: &str,
        price: &Price,
        payment: PaymentId,
        now: Timestamp,
    ) -> Result<Posting, BalanceError> {
        let (_, currency, amount) = self.top_up_of(account, price)?;
        Ok(Ledger::top_up(self, &holder(account)?, &currency, amount, payment, now).await?)
    }

    async fn refund(
        &self,
        payment: PaymentId,
        amount: Option<&str>,
        now: Timestamp,
    ) -> Result<Posting, BalanceError> {
        let debit = self.debit_of(payment).await?.ok_or(BalanceError::Unknown)?;
        let decimals = self.currency(&debit.currency).map_or(0, |currency| currency.decimals);
        let wrong =
            || BalanceError::Wrong("the amount is a decimal number above zero such as 0.50".to_owned());
        let read =
            |text| Amount::parse_decimal(text, decimals).filter(|amount| !amount.is_zero()).ok_or_else(wrong);
        let amount = amount.map(read).transpose()?;
        Ok(Ledger::refund(self, payment, amount, now).await?)
    }

    async fn debit(&self, payment: PaymentId) -> Result<Option<Posting>, Fault> {
        self.debit_of(payment).await
    }

    fn in_words(&self, currency: &str, amount: Amount) -> String {
        amount.to_decimal(self.currency(currency).map_or(0, |currency| currency.decimals))
    }
}
