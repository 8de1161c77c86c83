//! What can be done with balances.

use groat_core::books::{Account, Aggregate, Cause, Posting, SYSTEM_ACCOUNTS, StatementLine};
use groat_core::{Amount, Fault, PaymentId, Timestamp};

use crate::{Holder, Ledger, LedgerError};

/// Records per page of a scan.
const PAGE: usize = 256;
const CASH: &str = SYSTEM_ACCOUNTS[0];
const REFUNDS: &str = SYSTEM_ACCOUNTS[1];

/// Everything that ever went out of accounts, and everything that ever came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialBalance {
    /// Out.
    pub debits: Amount,
    /// In. Whatever is more or less than the debits was never posted.
    pub credits: Amount,
    /// How many accounts there are.
    pub accounts: usize,
    /// Accounts with less than nothing that may not have that.
    pub overdrawn: usize,
}

impl Ledger {
    /// Adds what a payment has bought, once for each payment.
    pub async fn top_up(
        &self,
        holder: &Holder,
        currency: &str,
        amount: Amount,
        payment: PaymentId,
        now: Timestamp,
    ) -> Result<Posting, LedgerError> {
        self.add(Cause::TopUp { payment }, holder, currency, amount, now).await
    }

    /// Adds what the operator gives, once for each `id`.
    pub async fn grant(
        &self,
        holder: &Holder,
        currency: &str,
        amount: Amount,
        id: &str,
        now: Timestamp,
    ) -> Result<Posting, LedgerError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !(1..=64).contains(&id.len()) || !id.bytes().all(is_plain) {
            return Err(LedgerError::Wrong(
                "the id of a grant has up to 64 letters, digits, `-`, `_` and `.`",
            ));
        }
        self.add(Cause::Grant { id: id.to_owned() }, holder, currency, amount, now).await
    }

    async fn add(
        &self,
        cause: Cause,
        holder: &Holder,
        currency: &str,
        amount: Amount,
        now: Timestamp,
    ) -> Result<Posting, LedgerError> {
        self.currency(currency).ok_or(LedgerError::Wrong("this currency is not kept here"))?;
        self.post(self.draft(cause, currency, (CASH, &holder.to_string()), amount, now)).await
    }

    /// Takes what a holder has signed away, once for each payment. Whether it is signed was checked before.
    pub(crate) async fn take(
        &self,
        payment: PaymentId,
        (payer, pay_to): (&str, &str),
        currency: &str,
        amount: Amount,
        now: Timestamp,
    ) -> Result<Posting, LedgerError> {
        self.post(self.draft(Cause::Debit { payment }, currency, (payer, pay_to), amount, now)).await
    }

    /// The debit that a payment was.
    pub async fn debit_of(&self, payment: PaymentId) -> Result<Option<Posting>, Fault> {
        let entry = self.postings().load(&Cause::Debit { payment }.key()).await?;
        Ok(entry.map(|entry| entry.record).filter(|posting| posting.network == *self.network()))
    }

    /// Gives a debit back, once: all of it, or less. Out of the account that was paid, or out of `refunds` where that has
    /// spent it already: the operator then lends it.
    pub async fn refund(
        &self,
        payment: PaymentId,
        amount: Option<Amount>,
        now: Timestamp,
    ) -> Result<Posting, LedgerError> {
        let debit = self.debit_of(payment).await?.ok_or(LedgerError::NothingToRefund)?;
        let amount = amount.unwrap_or(debit.amount);
        let cause = Cause::Refund { payment };
        if let Some(entry) = self.postings().load(&cause.key()).await? {
            return if entry.record.amount == amount { Ok(entry.record) } else { Err(LedgerError::Conflict) };
        }
        if amount > debit.amount {
            return Err(LedgerError::Wrong("a refund is at most what was taken"));
        }
        let from =
            |source: &str| self.draft(cause.clone(), &debit.currency, (source, &debit.debit), amount, now);
        let posted = match self.post_refund(&debit.key(), from(&debit.credit)).await {
            Err(LedgerError::Overdrawn) => self.post_refund(&debit.key(), from(REFUNDS)).await,
            posted => posted,
        };
        match posted {
            // Somebody else gave it back at the same moment, perhaps from elsewhere: the sum decides.
            Err(LedgerError::Conflict | LedgerError::NothingToRefund) => {
                match self.postings().load(&cause.key()).await? {
                    Some(entry) if entry.record.amount == amount => Ok(entry.record),
                    _ => Err(LedgerError::Conflict),
                }
            }
            posted => posted,
        }
    }

    /// Lines of an account after a number, the oldest first.
    pub async fn lines_after(
        &self,
        account: &Account,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StatementLine>, Fault> {
        let key = account.key();
        let page = self.lines().scan_all(Some(&StatementLine::key_of(&key, after)), count_max).await?;
        Ok(page.into_iter().map(|entry| entry.record).take_while(|line| line.account == key).collect())
    }

    /// Adds all accounts of a currency up. For operators and tests: it reads every account, while others write.
    pub async fn trial_balance(&self, currency: &str) -> Result<TrialBalance, LedgerError> {
        let mut sum = TrialBalance { debits: Amount::ZERO, credits: Amount::ZERO, accounts: 0, overdrawn: 0 };
        let mut after: Option<String> = None;
        let too_large = || LedgerError::Wrong("the sums are too large to add");
        loop {
            let page = self.accounts().scan_all(after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(sum) };
            after = Some(last.record.key());
            let ours = page.iter().map(|entry| &entry.record);
            for account in
                ours.filter(|account| account.network == *self.network() && account.currency == currency)
            {
                sum.debits = sum.debits.checked_add(account.debits).ok_or_else(too_large)?;
                sum.credits = sum.credits.checked_add(account.credits).ok_or_else(too_large)?;
                sum.accounts += 1;
                sum.overdrawn += usize::from(!account.is_system() && account.debits > account.credits);
            }
        }
    }
}
