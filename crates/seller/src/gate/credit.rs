//! Payers who get their answer before their money is in, and how far each is trusted (settle mode `async`).
//!
//! What is lent lies in the sale (`Sale::owed`), so that a restart forgets nobody's debt; this is the memory of it. Whoever
//! once did not pay is not lent to again while this process lives.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use groat_core::books::Owed;
use groat_core::{Amount, PaymentId};

/// Payers that are remembered for not having paid.
const DEFAULTERS_MAX: usize = 100_000;

/// Everything that is lent now.
#[derive(Default)]
pub(crate) struct Credit(Mutex<Lent>);

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

impl Credit {
    fn lock(&self) -> MutexGuard<'_, Lent> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this payment may be waited for after its answer went out: everything that its payer owes in this asset stays
    /// within `amount_max`. The same payment is lent once.
    pub(crate) fn lend(&self, id: PaymentId, owed: &Owed, amount_max: Amount) -> bool {
        let Some(payer) = &owed.payer else { return false };
        let mut lent = self.lock();
        if lent.defaulters.contains(payer) {
            return false;
        }
        let asset = format!("{} {}", owed.offer.network, owed.offer.asset);
        let of_payer =
            lent.open.iter().filter(|(of, loan)| **of != id && loan.payer == *payer && loan.asset == asset);
        let mut total = of_payer.map(|(_, loan)| loan.amount);
        let total = total.try_fold(owed.offer.amount, |sum, amount| sum.checked_add(amount));
        if total.is_none_or(|total| total > amount_max) {
            return false;
        }
        let loan = Loan { payer: payer.clone(), asset, amount: owed.offer.amount };
        lent.open.insert(id, loan);
        true
    }

    /// A debt of an earlier life of this process.
    pub(crate) fn remember(&self, id: PaymentId, owed: &Owed) {
        if let Some(payer) = &owed.payer {
            let asset = format!("{} {}", owed.offer.network, owed.offer.asset);
            let loan = Loan { payer: payer.clone(), asset, amount: owed.offer.amount };
            self.lock().open.insert(id, loan);
        }
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
