//! Payers who get their answer before their money is in, and how far each is trusted (settle mode `async`).
//!
//! What is lent lies in the sale (`Sale::owed`), so that a restart forgets nobody's debt; this is the memory of it. It learns
//! from the book what others left before it lends for the first time, and again whenever sales are looked after. Whoever
//! once did not pay is not lent to again while this process lives.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use groat_core::books::{Owed, SaleState};
use groat_core::{Amount, Fault, PaymentId};
use tokio::sync::OnceCell;

use super::{Flights, Sales};

/// Payers that are remembered for not having paid.
const DEFAULTERS_MAX: usize = 100_000;
/// Sales that are read at once.
const PAGE: usize = 256;

/// Everything that is lent now.
#[derive(Default)]
pub(crate) struct Credit {
    lent: Mutex<Lent>,
    learned: OnceCell<()>,
}

#[derive(Default)]
struct Lent {
    open: HashMap<PaymentId, Loan>,
    defaulters: HashSet<String>,
}

struct Loan {
    payer: String,
    asset: String,
    amount: Amount,
}

impl Loan {
    fn of(owed: &Owed) -> Option<Self> {
        let Owed { offer, payer, .. } = owed;
        // A facilitator may repeat an account as its payer wrote it, and one debtor must not be many.
        let payer = payer.as_deref()?.to_ascii_lowercase();
        Some(Self { payer, asset: format!("{} {}", offer.network, offer.asset), amount: offer.amount })
    }
}

impl Credit {
    fn lock(&self) -> MutexGuard<'_, Lent> {
        // Nothing panics while it is held.
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this payment may be waited for after its answer went out: everything that its payer owes in this asset stays
    /// within `amount_max`. The same payment is lent once.
    pub(crate) fn lend(&self, id: PaymentId, owed: &Owed, amount_max: Amount) -> bool {
        let Some(loan) = Loan::of(owed) else { return false };
        let mut lent = self.lock();
        if lent.defaulters.contains(&loan.payer) {
            return false;
        }
        let mut of_payer = lent
            .open
            .iter()
            .filter(|(of, other)| **of != id && (&other.payer, &other.asset) == (&loan.payer, &loan.asset));
        let total = of_payer.try_fold(loan.amount, |sum, (_, other)| sum.checked_add(other.amount));
        if total.is_none_or(|total| total > amount_max) {
            return false;
        }
        lent.open.insert(id, loan);
        true
    }

    /// Learns once what the book says of debts that are not of this process. Until that is done nobody is lent to.
    pub(crate) async fn learn(&self, sales: &Sales, flights: &Flights) -> Result<(), Fault> {
        let learn = || async {
            let mut after: Option<String> = None;
            loop {
                let page = sales.open(after.as_deref(), PAGE).await?;
                let Some(last) = page.last() else { return Ok(()) };
                after = Some(last.sale().id.to_string());
                for sale in page.iter().map(|held| held.sale()).filter(|sale| !flights.has(&sale.id)) {
                    if let (SaleState::Served { .. }, Some(owed)) = (&sale.state, &sale.owed) {
                        self.remember(sale.id, owed);
                    }
                }
            }
        };
        self.learned.get_or_try_init(learn).await.copied()
    }

    /// A debt of an earlier life of this process, or of another gate on its book.
    pub(crate) fn remember(&self, id: PaymentId, owed: &Owed) {
        if let Some(loan) = Loan::of(owed) {
            self.lock().open.insert(id, loan);
        }
    }

    /// The payments that are waited for.
    pub(crate) fn open(&self) -> HashSet<PaymentId> {
        self.lock().open.keys().copied().collect()
    }

    /// Forgets what others have been paid meanwhile: all but these.
    pub(crate) fn keep(&self, is_open: impl Fn(&PaymentId) -> bool) {
        self.lock().open.retain(|id, _| is_open(id));
    }

    /// The money is in.
    pub(crate) fn paid(&self, id: &PaymentId) {
        self.lock().open.remove(id);
    }

    /// It will not come.
    pub(crate) fn lost(&self, id: &PaymentId) {
        let mut lent = self.lock();
        let Some(loan) = lent.open.remove(id) else { return };
        tracing::warn!(payment = %id, payer = loan.payer, amount = %loan.amount, "an answer went out and was not paid for");
        if lent.defaulters.len() >= DEFAULTERS_MAX {
            lent.defaulters.clear();
        }
        lent.defaulters.insert(loan.payer);
    }
}
