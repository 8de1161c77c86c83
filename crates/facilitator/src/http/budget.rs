//! How much gas may be spent for a caller in a day.
//!
//! Gas is set aside before it is spent. A step of the budget is written into the book first, and payments take from it
//! in memory; so the book never says less than what was spent, whatever crashes. A crash costs the caller at most a step
//! and what was under way. Several instances on one book take steps of the same budget.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use groat_core::books::{GasDay, GasDayEvent, SettlementState};
use groat_core::ports::{Clock, Facilitator, PaymentStatus, Store};
use groat_core::{Failure, Fault, Offer, Payment, PaymentId, Receipt, Timestamp};
use groat_store::{Applied, Journal};
use tokio::sync::Mutex;

/// Set aside for a payment until it is known what it took: more than one of a plain account takes.
pub(super) const GAS_EACH: u64 = 100_000;
/// Steps in which a budget is taken from the book.
const STEPS: u64 = 64;
/// For so many seconds a verified payment holds what it will need.
const PROMISE_S: u64 = 60;
/// How often a step is tried again because another instance wrote first.
const TRIES_MAX: usize = 16;
const DAY_S: u64 = 86_400;

/// The budget of one caller.
pub(super) struct Budget {
    caller: String,
    gas_per_day: u64,
    days: Journal<GasDay>,
    clock: Arc<dyn Clock>,
    purse: Mutex<Purse>,
}

/// What is set aside in the book and not spent.
#[derive(Default)]
struct Purse {
    day: u64,
    /// Below zero when payments took more than was set aside for them: the next step pays for it.
    free: i64,
    promised: HashMap<PaymentId, (Share, Timestamp)>,
    settling: HashSet<PaymentId>,
}

/// What one payment may take, of the budget of a day.
#[derive(Debug, Clone, Copy)]
struct Share {
    day: u64,
}

impl Budget {
    pub(super) fn new(
        caller: String,
        gas_per_day: u64,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { caller, gas_per_day, days: Journal::new(store), clock, purse: Mutex::default() }
    }

    /// Whether there is a share for a payment that was found good. It is kept for a while, so that nobody works for what
    /// is then not settled.
    pub(super) async fn promise(&self, id: PaymentId) -> Result<bool, Fault> {
        let mut purse = self.purse.lock().await;
        let Some(share) = self.take(&mut purse, &id).await? else { return Ok(false) };
        purse.promised.insert(id, (share, self.clock.now().plus(PROMISE_S)));
        Ok(true)
    }

    /// Settles a payment that the book does not know; `None` when the budget is spent. Work and account go on when the
    /// caller hangs up.
    pub(super) async fn settle(
        self: &Arc<Self>,
        facilitator: &Arc<dyn Facilitator>,
        id: PaymentId,
        payment: Payment,
        offer: Offer,
    ) -> Result<Option<Receipt>, Failure> {
        let share = {
            let mut purse = self.purse.lock().await;
            // A copy of one that is under way costs nothing.
            let share = match purse.settling.contains(&id) {
                true => None,
                false => match self.take(&mut purse, &id).await? {
                    Some(share) => Some(share),
                    None => return Ok(None),
                },
            };
            purse.settling.insert(id);
            share
        };
        let (budget, facilitator) = (Arc::clone(self), Arc::clone(facilitator));
        let work = tokio::spawn(async move {
            let settled = facilitator.settle(&payment, &offer).await;
            if let Some(share) = share {
                budget.account(share, &id, facilitator.status(&id).await).await;
            }
            settled
        });
        work.await.unwrap_or_else(|_| Err(Fault::Pending { transaction: None }.into())).map(Some)
    }

    /// Gives back what a payment did not take. What is not known yet stays set aside.
    async fn account(&self, share: Share, id: &PaymentId, status: Result<Option<PaymentStatus>, Fault>) {
        let mut purse = self.purse.lock().await;
        purse.settling.remove(id);
        let gas = match status {
            Ok(Some(PaymentStatus { state: SettlementState::Submitted { .. }, .. })) | Err(_) => return,
            Ok(Some(status)) => status.gas,
            Ok(None) => 0,
        };
        if purse.day == share.day {
            purse.free = purse.free.saturating_add(signed(GAS_EACH)).saturating_sub(signed(gas));
        }
    }

    async fn take(&self, purse: &mut Purse, id: &PaymentId) -> Result<Option<Share>, Fault> {
        let now = self.clock.now();
        let day = now.0 / DAY_S;
        if day != purse.day {
            // What is left of yesterday's steps is nobody's.
            (purse.day, purse.free) = (day, 0);
        }
        if let Some((share, _)) = purse.promised.remove(id) {
            return Ok(Some(share));
        }
        let Purse { free, promised, .. } = purse;
        promised.retain(|_, (share, until)| {
            let stands = *until > now;
            if !stands && share.day == day {
                *free = free.saturating_add(signed(GAS_EACH));
            }
            stands
        });
        let missing = signed(GAS_EACH).saturating_sub(*free);
        if let Ok(missing @ 1..) = u64::try_from(missing) {
            let Some(step) = self.step(day, missing, now).await? else { return Ok(None) };
            *free = free.saturating_add(signed(step));
        }
        *free = free.saturating_sub(signed(GAS_EACH));
        Ok(Some(Share { day }))
    }

    /// Takes a step out of the book, of at least so much.
    async fn step(&self, day: u64, least: u64, now: Timestamp) -> Result<Option<u64>, Fault> {
        for _ in 0..TRIES_MAX {
            let there = self.days.load(&GasDay::key_of(day, &self.caller)).await?;
            let gone = there.as_ref().map_or(0, |entry| entry.record.gas);
            let left = self.gas_per_day.saturating_sub(gone);
            if left < least {
                return Ok(None);
            }
            let step = left.min(least.max(self.gas_per_day / STEPS));
            let written = match there {
                Some(entry) => {
                    matches!(
                        self.days.apply(entry, GasDayEvent::SetAside(step), now).await?,
                        Applied::Done(_)
                    )
                }
                None => {
                    let first = GasDay { day, caller: self.caller.clone(), gas: step };
                    self.days.create(first).await?.is_some()
                }
            };
            if written {
                return Ok(Some(step));
            }
        }
        Err(Fault::unavailable("store", "too many write at once"))
    }

    /// Seconds until there is a new one.
    pub(super) fn renewed_in_s(&self) -> u64 {
        DAY_S - self.clock.now().0 % DAY_S
    }
}

fn signed(gas: u64) -> i64 {
    i64::try_from(gas).unwrap_or(i64::MAX)
}
