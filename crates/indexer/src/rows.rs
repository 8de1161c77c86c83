//! The payments that are there, in memory: by place, and by who paid or earned.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use groat_core::Amount;
use groat_core::books::IndexedPayment;

/// Block and place in it.
pub(crate) type At = (u64, u64);

/// Which payments are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Who paid or earned, in any case.
    pub account: String,
    /// Only `payment` or `subscription`.
    pub event_type: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Without the first.
    pub offset: usize,
}

/// Some of the payments that fit, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// These.
    pub payments: Vec<IndexedPayment>,
    /// Out of so many.
    pub total: usize,
}

/// Sums over an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Payments that it made.
    pub made: u64,
    /// Payments that it earned by.
    pub received: u64,
    /// What it paid.
    pub spent: Amount,
    /// What was paid to it, fees included.
    pub earned: Amount,
    /// What the platform kept of what it paid.
    pub fees: Amount,
}

/// All payments.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    payments: BTreeMap<At, IndexedPayment>,
    of: HashMap<String, BTreeSet<At>>,
}

fn at(payment: &IndexedPayment) -> At {
    (payment.block, payment.log_index)
}

impl Rows {
    pub(crate) fn insert(&mut self, payment: IndexedPayment) {
        let at = at(&payment);
        for party in [&payment.payer, &payment.provider] {
            self.of.entry(party.clone()).or_default().insert(at);
        }
        self.payments.insert(at, payment);
    }

    pub(crate) fn remove(&mut self, at: At) {
        let Some(payment) = self.payments.remove(&at) else { return };
        for party in [&payment.payer, &payment.provider] {
            if let Some(places) = self.of.get_mut(party) {
                places.remove(&at);
            }
        }
    }

    /// The places of all payments in blocks after this one; of all payments without one.
    pub(crate) fn after(&self, block: Option<u64>) -> Vec<At> {
        let first = block.map_or((0, 0), |block| (block.saturating_add(1), 0));
        self.payments.range(first..).map(|(at, _)| *at).collect()
    }

    fn of(&self, account: &str) -> impl DoubleEndedIterator<Item = &IndexedPayment> {
        let places = self.of.get(&account.to_ascii_lowercase());
        places.into_iter().flatten().filter_map(|at| self.payments.get(at))
    }

    pub(crate) fn page(&self, query: &Query) -> Page {
        let fits = |payment: &&IndexedPayment| {
            query.event_type.as_ref().is_none_or(|wanted| payment.event_type == *wanted)
        };
        let total = self.of(&query.account).filter(fits).count();
        let newest = self.of(&query.account).rev().filter(fits);
        Page { payments: newest.skip(query.offset).take(query.limit).cloned().collect(), total }
    }

    pub(crate) fn stats(&self, account: &str) -> Stats {
        let account = account.to_ascii_lowercase();
        // What does not fit into 256 bits is no coin of any chain.
        let add = |sum: &mut Amount, more: Amount| *sum = sum.checked_add(more).unwrap_or(*sum);
        let mut stats = Stats::default();
        for payment in self.of(&account) {
            if payment.payer == account {
                stats.made += 1;
                add(&mut stats.spent, payment.amount);
                add(&mut stats.fees, payment.platform_fee);
            }
            if payment.provider == account {
                stats.received += 1;
                add(&mut stats.earned, payment.amount);
            }
        }
        stats
    }
}
