//! What each payer has promised and not yet paid: never more than was seen in its account (invariant I9).
//!
//! A payment counts from the moment it is called good until its end is known; one that is never settled counts for a
//! minute. Only what the payer has signed counts, so nobody can use up another's room.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groat_core::books::{Settlement, SettlementState};
use groat_core::{Amount, Claim, Network, PaymentId, Timestamp};
use ruint::aliases::U256;

/// Whose money: network, token, account.
type Purse = (Network, String, String);

#[derive(Debug, Clone, Default)]
pub(super) struct Exposure(Arc<Mutex<HashMap<Purse, Promises>>>);

/// What one payer has promised.
#[derive(Debug)]
struct Promises {
    each: BTreeMap<PaymentId, Promise>,
    /// The sum of all, those that count no longer included: while it fits, nothing need be counted. `None` is too much
    /// for a number.
    total: Option<U256>,
    /// With so many they are looked through for old ones.
    sweep_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Promise {
    amount: Amount,
    stands: Stands,
}

/// Whether there is room for one more payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is, and it is taken.
    Taken,
    /// There is none.
    None,
    /// That can be said when this one has ended.
    After(PaymentId),
}

/// How long a promise counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Called good; until then it may be settled.
    Until(Timestamp),
    /// Being settled.
    Settling,
    /// Paid in this block: a balance seen there or later knows of it. Remembered for whoever has seen an earlier one.
    PaidIn(u64, Timestamp),
}

/// Accounts that are remembered at most; beyond it those without open promises are forgotten.
const PURSES_MAX: usize = 65_536;
/// Fewer promises are never looked through.
const SWEEP_MIN: usize = 64;

impl Exposure {
    fn lock(&self) -> MutexGuard<'_, HashMap<Purse, Promises>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for a payment, if there is any beside the payer's other promises. The same payment takes it once.
    pub(super) fn promise(&self, id: PaymentId, claim: &Claim, now: Timestamp, until: Timestamp) -> Room {
        let Some(funds) = claim.funds else { return Room::Taken };
        let mut purses = self.lock();
        if purses.len() >= PURSES_MAX {
            purses.retain(|_, promises| promises.each.values().any(|promise| promise.lasts(now)));
        }
        let promises = purses.entry(purse(claim)).or_default();
        if let Some(own) = promises.each.get_mut(&id)
            && own.lasts(now)
        {
            if let Stands::Until(_) = own.stands {
                own.stands = Stands::Until(until);
            }
            return Room::Taken;
        }
        let fits = |others: Option<U256>| {
            let sum = others.and_then(|others| others.checked_add(claim.amount.as_u256()));
            sum.is_some_and(|sum| sum <= funds.amount.as_u256())
        };
        let take = Promise { amount: claim.amount, stands: Stands::Until(until) };
        if promises.each.len() < promises.sweep_at && fits(promises.total) {
            promises.put(id, take);
            return Room::Taken;
        }
        promises.sweep(now);
        let counting = || promises.each.values().filter(|promise| promise.counts(funds.block));
        if fits(sum(counting())) {
            promises.put(id, take);
            return Room::Taken;
        }
        // What is being settled may be missing from the balance already, and then it counts twice here.
        let settling = promises.each.iter().find(|(_, promise)| promise.stands == Stands::Settling);
        match settling {
            Some((settling, _))
                if fits(sum(counting().filter(|promise| promise.stands != Stands::Settling))) =>
            {
                Room::After(*settling)
            }
            _ => Room::None,
        }
    }

    /// A payment is being settled: it counts until its end.
    pub(super) fn settling(&self, record: &Settlement) {
        let promise = Promise { amount: record.amount, stands: Stands::Settling };
        self.lock().entry(purse_of(record)).or_default().put(record.id, promise);
    }

    /// It is not settled here.
    pub(super) fn forget(&self, record: &Settlement) {
        if let Some(promises) = self.lock().get_mut(&purse_of(record)) {
            promises.drop(&record.id);
        }
    }

    /// Its end: paid in a block, or not at all.
    pub(super) fn ended(&self, record: &Settlement, now: Timestamp) {
        let paid_in = match &record.state {
            SettlementState::Settled(settled) => Some(settled.block),
            _ => None,
        };
        let (purse, mut purses) = (purse_of(record), self.lock());
        let Some(promises) = purses.get_mut(&purse) else { return };
        match (paid_in, promises.each.get_mut(&record.id)) {
            (Some(block), Some(promise)) => promise.stands = Stands::PaidIn(block, now),
            _ => promises.drop(&record.id),
        }
        if promises.each.is_empty() {
            purses.remove(&purse);
        }
    }
}

impl Default for Promises {
    fn default() -> Self {
        Self { each: BTreeMap::new(), total: Some(U256::ZERO), sweep_at: SWEEP_MIN }
    }
}

impl Promises {
    fn put(&mut self, id: PaymentId, promise: Promise) {
        self.drop(&id);
        self.total = self.total.and_then(|total| total.checked_add(promise.amount.as_u256()));
        self.each.insert(id, promise);
    }

    fn drop(&mut self, id: &PaymentId) {
        if let Some(promise) = self.each.remove(id) {
            self.total = self.total.and_then(|total| total.checked_sub(promise.amount.as_u256()));
        }
    }

    /// Forgets what can count for nobody any more. Done again when twice as many have come, it costs each the same.
    fn sweep(&mut self, now: Timestamp) {
        self.each.retain(|_, promise| promise.lasts(now));
        self.total = sum(self.each.values());
        self.sweep_at = (self.each.len() * 2).max(SWEEP_MIN);
    }
}

fn sum<'a>(mut promises: impl Iterator<Item = &'a Promise>) -> Option<U256> {
    promises.try_fold(U256::ZERO, |sum, promise| sum.checked_add(promise.amount.as_u256()))
}

impl Promise {
    /// Whether it can still count for anybody.
    fn lasts(&self, now: Timestamp) -> bool {
        match self.stands {
            Stands::Until(until) => until > now,
            Stands::Settling => true,
            Stands::PaidIn(_, at) => now < at.plus(READ_S_MAX),
        }
    }

    /// Whether it counts beside a balance seen after a block.
    fn counts(&self, seen: u64) -> bool {
        !matches!(self.stands, Stands::PaidIn(block, _) if block <= seen)
    }
}

/// No look at a balance takes longer.
const READ_S_MAX: u64 = 60;

fn purse_of(record: &Settlement) -> Purse {
    (record.network.clone(), record.asset.clone(), record.payer.clone())
}

fn purse(claim: &Claim) -> Purse {
    (claim.network.clone(), claim.asset.clone(), claim.payer.clone())
}
