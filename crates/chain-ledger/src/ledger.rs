//! The ledger: every posting is one commit of both accounts, the posting itself and its two statement lines.

use std::sync::Arc;

use groat_core::books::{Account, AccountEvent, Aggregate, Posting, PostingEvent, Side, StatementLine};
use groat_core::ports::Store;
use groat_core::{Amount, Fault, Network, Timestamp};
use groat_store::{Entry, Journal};
use tokio::sync::Mutex;

use crate::{Currency, NAMESPACE};

/// How often a commit that others overtook is tried again. In one process nobody overtakes.
const TRIES_MAX: usize = 128;

/// Why nothing was posted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The account has less than that.
    #[error("the account has less than that")]
    Overdrawn,
    /// The same cause has moved something else before.
    #[error("the same was done before with another amount or account")]
    Conflict,
    /// There is no such debit, or it is given back already with another sum.
    #[error("there is nothing like this to give back")]
    NothingToRefund,
    /// Not something that can be posted at all.
    #[error("{0}")]
    Wrong(&'static str),
    /// The store cannot tell or act; asked again, the same is posted once.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Balances in a store. Cheap to clone; several processes may share the store.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    network: Network,
    currencies: Vec<Currency>,
    accounts: Journal<Account>,
    postings: Journal<Posting>,
    lines: Journal<StatementLine>,
    /// One posting of this process at a time: they meet at the same few accounts.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("network", &self.0.network).finish_non_exhaustive()
    }
}

impl Ledger {
    /// The ledger `name`, in these currencies; the first is meant where none is named.
    pub fn new(name: &str, currencies: Vec<Currency>, store: Arc<dyn Store>) -> Result<Self, LedgerError> {
        let network = Network::parse(&format!("{NAMESPACE}:{name}"));
        let network = network
            .map_err(|_| LedgerError::Wrong("a ledger's name has up to 32 letters, digits, `-` and `_`"))?;
        if currencies.is_empty() || !currencies.iter().all(Currency::is_plain) {
            let problem = "a ledger has currencies with symbols of up to 16 upper-case letters and digits";
            return Err(LedgerError::Wrong(problem));
        }
        Ok(Self(Arc::new(Inner {
            network,
            currencies,
            accounts: Journal::new(Arc::clone(&store)),
            postings: Journal::new(Arc::clone(&store)),
            lines: Journal::new(store),
            turn: Mutex::new(()),
        })))
    }

    /// Its network: `ledger:name`.
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// The currency with this symbol.
    pub fn currency(&self, symbol: &str) -> Option<&Currency> {
        self.0.currencies.iter().find(|currency| currency.symbol == symbol)
    }

    /// The currency that is meant where none is named.
    pub fn first_currency(&self) -> &Currency {
        &self.0.currencies[0]
    }

    pub(crate) fn accounts(&self) -> &Journal<Account> {
        &self.0.accounts
    }

    pub(crate) fn postings(&self) -> &Journal<Posting> {
        &self.0.postings
    }

    pub(crate) fn lines(&self) -> &Journal<StatementLine> {
        &self.0.lines
    }

    /// An account; one that nothing has happened to is empty.
    pub async fn account(&self, currency: &str, holder: &str) -> Result<Account, Fault> {
        Ok(self.entry(currency, holder).await?.1)
    }

    async fn entry(&self, currency: &str, holder: &str) -> Result<(Option<Entry<Account>>, Account), Fault> {
        let key = Account::key_of(&self.0.network, currency, holder);
        let entry = self.0.accounts.load(&key).await?;
        let account = match &entry {
            Some(entry) => entry.record.clone(),
            None => Account::new(self.0.network.clone(), currency, holder),
        };
        Ok((entry, account))
    }

    /// Posts, once: where the same is posted already, that is the answer.
    pub(crate) async fn post(&self, posting: Posting) -> Result<Posting, LedgerError> {
        self.post_with(posting, None).await
    }

    /// Gives a debit back in the commit that marks it so.
    pub(crate) async fn post_refund(&self, of: &str, posting: Posting) -> Result<Posting, LedgerError> {
        self.post_with(posting, Some(of)).await
    }

    async fn post_with(&self, posting: Posting, refund_of: Option<&str>) -> Result<Posting, LedgerError> {
        if posting.amount.is_zero() || posting.debit == posting.credit {
            return Err(LedgerError::Wrong("a posting moves something from one account to another"));
        }
        let _turn = self.0.turn.lock().await;
        for _ in 0..TRIES_MAX {
            if let Some(entry) = self.0.postings.load(&posting.key()).await? {
                return if entry.record.is_same(&posting) {
                    Ok(entry.record)
                } else {
                    Err(LedgerError::Conflict)
                };
            }
            match self.try_post(&posting, refund_of).await {
                Ok(true) => return Ok(posting),
                Ok(false) => tokio::task::yield_now().await,
                // Whether it was written is not known until it is read; and too little may be left because of the very
                // same posting of somebody else.
                Err(error @ (LedgerError::Fault(_) | LedgerError::Overdrawn)) => {
                    return match self.0.postings.load(&posting.key()).await {
                        Ok(Some(entry)) if entry.record.is_same(&posting) => Ok(entry.record),
                        _ => Err(error),
                    };
                }
                Err(error) => return Err(error),
            }
        }
        Err(Fault::unavailable("store", "others write to the same accounts all the time").into())
    }

    /// One commit; `false` when somebody else was faster.
    async fn try_post(&self, posting: &Posting, refund_of: Option<&str>) -> Result<bool, LedgerError> {
        let Inner { accounts, postings, lines, .. } = self.0.as_ref();
        let mut writes = vec![postings.stage_create(posting)];
        if let Some(of) = refund_of {
            let debit = postings.load(of).await?.ok_or(LedgerError::NothingToRefund)?;
            let event = PostingEvent::Refund(posting.amount);
            let refunded =
                debit.record.clone().apply(event, posting.at).ok_or(LedgerError::NothingToRefund)?;
            writes.push(postings.stage(&debit, &refunded));
        }
        let sides = [
            (&posting.debit, Side::Debit, AccountEvent::Debit(posting.amount)),
            (&posting.credit, Side::Credit, AccountEvent::Credit(posting.amount)),
        ];
        for (holder, side, event) in sides {
            let (entry, account) = self.entry(&posting.currency, holder).await?;
            let account = account.apply(event, posting.at).ok_or(LedgerError::Overdrawn)?;
            writes.push(match &entry {
                Some(entry) => accounts.stage(entry, &account),
                None => accounts.stage_create(&account),
            });
            writes.push(lines.stage_create(&StatementLine::of(posting, &account, side)));
        }
        Ok(accounts.commit(writes).await?)
    }

    /// A posting of this ledger.
    pub(crate) fn draft(
        &self,
        cause: groat_core::books::Cause,
        currency: &str,
        (debit, credit): (&str, &str),
        amount: Amount,
        at: Timestamp,
    ) -> Posting {
        Posting {
            cause,
            network: self.0.network.clone(),
            currency: currency.to_owned(),
            debit: debit.to_owned(),
            credit: credit.to_owned(),
            amount,
            at,
            refunded: None,
        }
    }
}
