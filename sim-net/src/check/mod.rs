//! The promises, compared with everything that was written down. Each broken one is named.

mod answers;
mod books;
mod money;

use std::collections::BTreeMap;

use futures_util::FutureExt;
use groat_core::PaymentId;
use groat_core::books::{Aggregate, Sale, SaleState, Settlement, SettlementState};
use groat_store::Journal;

use crate::chain::Transfer;
use crate::notebook::{Deal, Told};
use crate::store::Disk;
use crate::world::World;

/// More records than a run can have.
const RECORDS_MAX: usize = 10_000;

/// Everything that can be known at the end.
struct Evidence<'w> {
    world: &'w World,
    transfers: Vec<Transfer>,
    deals: Vec<Deal>,
    /// By book of settlements.
    settlements: Vec<BTreeMap<PaymentId, Settlement>>,
    /// By seller.
    sales: Vec<BTreeMap<PaymentId, Sale>>,
}

/// All records of a book; a store in memory answers at once.
fn records<A: Aggregate>(disk: &Disk) -> Vec<A> {
    let journal = Journal::<A>::new(std::sync::Arc::new(disk.store()));
    let entries = journal.scan_all(None, RECORDS_MAX).now_or_never().and_then(Result::ok).unwrap_or_default();
    entries.into_iter().map(|entry| entry.record).collect()
}

fn by_id<A>(records: Vec<A>, id: impl Fn(&A) -> PaymentId) -> BTreeMap<PaymentId, A> {
    records.into_iter().map(|record| (id(&record), record)).collect()
}

impl<'w> Evidence<'w> {
    fn collect(world: &'w World) -> Self {
        Self {
            world,
            transfers: world.chain.transfers(),
            deals: world.notebook.deals(),
            settlements: world.ledgers().map(|disk| by_id(records(disk), |it: &Settlement| it.id)).collect(),
            sales: world.sales().map(|disk| by_id(records(disk), |it: &Sale| it.id)).collect(),
        }
    }

    /// The transfer of a payment on the final chain.
    fn transfer(&self, deal: &Deal) -> Option<&Transfer> {
        self.transfers.iter().find(|moved| moved.payer == deal.payer && moved.nonce == deal.nonce)
    }

    fn deal(&self, id: &PaymentId) -> Option<&Deal> {
        self.deals.iter().find(|deal| deal.id == *id)
    }

    /// A promise about a payment is broken, unless a reorganisation has changed its fate: nothing follows a payment
    /// after its first confirmation yet.
    fn broken(&self, deal: &Deal, rule: &str, text: &str) {
        broken(self.world, deal, rule, text);
    }

    /// Something has no end. Where a facilitator cannot be asked what became of a payment, and its payer does not ask
    /// for it any more or it is dead, nobody can know: the gate has no chain of its own to look at.
    fn open(&self, deal: &Deal, rule: &str, text: &str) {
        if self.world.is_foreign {
            self.world.stage.gap("a foreign facilitator cannot be asked", || format!("{rule}: {text}"));
        } else {
            self.broken(deal, rule, text);
        }
    }
}

fn broken(world: &World, deal: &Deal, rule: &str, text: &str) {
    if world.chain.is_shaken(&deal.nonce) {
        world.stage.gap("changed by a reorganisation", || format!("{rule}: {text}"));
    } else {
        world.stage.broken(rule, text);
    }
}

/// What must hold at the moment when a buyer hears an answer.
pub(crate) fn heard(world: &World, number: usize, told: &Told) {
    let Some(deal) = world.notebook.deals().into_iter().nth(number) else { return };
    if told.is_served() && told.settled().is_none() {
        broken(world, &deal, "nothing is served unpaid", &format!("{} {told:?}", deal.id));
    }
    if told.status == 402 && !deal.misused && !deal.varied {
        let held = world.ledgers().flat_map(records::<Settlement>).find(|record| record.id == deal.id);
        if held.is_some_and(|record| matches!(record.state, SettlementState::Submitted { .. })) {
            broken(world, &deal, "unknown is never shown as failed", &format!("{} {}", deal.id, told.error));
        }
    }
    if let Some(receipt) = told.settled() {
        let transaction = receipt.transaction.clone().unwrap_or_default();
        if !world.chain.is_mined(&transaction) {
            broken(world, &deal, "a receipt is a block of the chain", &format!("{} {transaction}", deal.id));
        }
    }
}

/// Whether nothing is left to do but what only a buyer's resend could do.
pub(crate) fn rests(world: &World) -> bool {
    if world.is_foreign {
        return money::lanes(world).is_empty();
    }
    let settled = world.ledgers().all(|disk| records::<Settlement>(disk).iter().all(Aggregate::is_final));
    let sold =
        || world.sales().flat_map(records::<Sale>).all(|sale| !matches!(sale.state, SaleState::Held { .. }));
    settled && sold() && money::lanes(world).is_empty()
}

/// Compares everything.
pub(crate) fn check(world: &World) {
    let evidence = Evidence::collect(world);
    money::check(&evidence);
    books::check(&evidence);
    answers::check(&evidence);
}
