//! After a start: what a crash left open is finished as far as that is possible without the buyer.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use groat_core::books::{Aggregate, Owed, SaleEvent, SaleState};
use groat_core::{Fault, Reason};

use super::money::{self, Due, Known, Settlement, Till};
use super::presence::is_free;
use super::sales::Held;
use crate::pay::Shop;

/// What [`crate::Pay::recover`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Sales that were finished: the money had moved, or definitely had not.
    pub finished: u64,
    /// Sales that stay open until the buyer sends the payment again.
    pub open: u64,
}

const PAGE: usize = 256;
/// Sales that are looked after together: one whose facilitator does not answer must not keep all others waiting.
const AT_ONCE: usize = 32;

/// Goes once through all open sales, after a start and every now and then. A buyer that resends meanwhile is served as
/// always: whoever writes first wins.
pub(crate) async fn recover(shop: &Shop) -> Result<Recovered, Fault> {
    let mut found = Recovered::default();
    let mut after: Option<String> = None;
    let known = shop.credit.open();
    let mut open = HashSet::new();
    loop {
        let page = shop.sales.open(after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else {
            // What was lent meanwhile may lie before the place where we are.
            shop.credit.keep(|id| open.contains(id) || !known.contains(id) || shop.flights.has(id));
            return Ok(found);
        };
        after = Some(last.sale().id.to_string());
        let looked = page.into_iter().map(|held| async {
            let id = held.sale().id;
            finish(shop, held).await.map(|is_finished| (id, is_finished))
        });
        let mut looked = stream::iter(looked).buffer_unordered(AT_ONCE);
        while let Some(one) = looked.next().await {
            match one? {
                (_, true) => found.finished += 1,
                (id, false) => {
                    found.open += 1;
                    open.insert(id);
                }
            }
        }
    }
}

async fn finish(shop: &Shop, held: Held) -> Result<bool, Fault> {
    let id = held.sale().id;
    if let (SaleState::Served { .. }, Some(owed)) = (&held.sale().state, &held.sale().owed)
        && !shop.flights.has(&id)
    {
        shop.credit.remember(id, owed);
    }
    // Somebody works on it: in this process, or in another one.
    if shop.flights.has(&id) || !is_free(shop, held.sale()).await? {
        return Ok(false);
    }
    if let (SaleState::Served { .. }, Some(owed)) = (&held.sale().state, held.sale().owed.clone()) {
        return collect(shop, held, &owed).await;
    }
    // A call to settle from before the crash may still be on its way: "never heard of it" says little as long as the
    // payment can be taken.
    let is_over = money::is_dead(shop, held.sale().valid_until);
    let event = match (&held.sale().state, money::known(shop, Due::of(held.sale())).await) {
        (SaleState::Held { .. } | SaleState::Served { .. }, Known::Settled(receipt)) => {
            SaleEvent::Pay(receipt)
        }
        (SaleState::Held { .. } | SaleState::Served { .. }, Known::Failed(reason)) => {
            SaleEvent::Refuse(reason)
        }
        (SaleState::Held { .. } | SaleState::Served { .. }, Known::Still) if is_over => {
            SaleEvent::Refuse(Reason::Expired)
        }
        // Unknown money, an answer that lies ready, or a paid run that only the buyer's request can repeat.
        _ => return Ok(false),
    };
    let applied = shop.sales.apply(held, event, shop.now()).await?;
    Ok(applied.is_some_and(|held| held.sale().is_final()))
}

/// The buyer may have its answer already, so nobody will send the payment again: it is settled here.
async fn collect(shop: &Shop, held: Held, owed: &Owed) -> Result<bool, Fault> {
    let sale = held.sale();
    let (id, valid_until, confirmations) = (sale.id, sale.valid_until, sale.confirmations);
    let till = Till { shop, id, valid_until, payment: &owed.payment, offer: &owed.offer, confirmations };
    let event = match till.settle(true).await {
        Settlement::Settled(receipt) => {
            shop.credit.paid(&id);
            SaleEvent::Pay(receipt)
        }
        Settlement::Refused(refusal) => {
            shop.credit.lost(&id);
            SaleEvent::Refuse(refusal.reason)
        }
        Settlement::Pending(_) => return Ok(false),
    };
    let applied = shop.sales.apply(held, event, shop.now()).await?;
    Ok(applied.is_some_and(|held| held.sale().is_final()))
}
