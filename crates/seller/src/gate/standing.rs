//! Whether the money that has bought a pass is still there (threat row B14).
//!
//! A pass is given when the money has moved, and a reorganisation can undo that while the pass is in its time. So the
//! payment is looked at when its pass is shown, every now and then: whoever keeps the book of payments knows, and there is
//! no second list. What cannot be told now is believed to be as it was, because it was seen to be paid.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use groat_core::books::{SaleState, SettlementState};
use groat_core::ports::PaymentStatus;
use groat_core::{Fault, Pass, PaymentId, Timestamp};
use tokio::time::timeout;

use super::passes::Standing;
use crate::pay::Shop;

/// For so long a look is good.
const LOOK_AGAIN_S: u64 = 10;
/// A facilitator that does not answer sooner is asked the next time.
const PATIENCE: Duration = Duration::from_secs(1);
/// Looks that are remembered.
const LOOKS_MAX: usize = 10_000;

/// What was found at the last look, by payment: when, and whether it was undone.
#[derive(Default)]
pub(crate) struct Looks(Mutex<HashMap<PaymentId, (Timestamp, bool)>>);

impl Looks {
    /// What the last look found, and whether it is time for another. Who is told so looks; others meanwhile need not.
    fn last(&self, id: PaymentId, now: Timestamp) -> (bool, bool) {
        // Nothing panics while it is held.
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() >= LOOKS_MAX {
            looks.retain(|_, (at, _)| now < at.plus(LOOK_AGAIN_S));
        }
        if looks.len() >= LOOKS_MAX {
            looks.clear();
        }
        let last = looks.get(&id).copied();
        let is_due = last.is_none_or(|(at, _)| now >= at.plus(LOOK_AGAIN_S));
        let was_undone = last.is_some_and(|(_, was_undone)| was_undone);
        if is_due {
            looks.insert(id, (now, was_undone));
        }
        (was_undone, is_due)
    }

    fn keep(&self, id: PaymentId, now: Timestamp, is_undone: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, (now, is_undone));
    }
}

/// Takes one use of a pass, unless something stands in its way.
pub(crate) async fn take_use(shop: &Shop, pass: &Pass) -> Result<Standing, Fault> {
    match is_undone(shop, pass).await? {
        true => Ok(Standing::Undone),
        false => shop.passes.take_use(pass, shop.now()).await,
    }
}

/// Whether a pass would let somebody in. Nothing is used up.
pub(crate) async fn standing(shop: &Shop, pass: &Pass) -> Result<Standing, Fault> {
    match Standing::of(shop.passes.record(pass).await?.as_ref()) {
        Standing::Good if is_undone(shop, pass).await? => Ok(Standing::Undone),
        standing => Ok(standing),
    }
}

async fn is_undone(shop: &Shop, pass: &Pass) -> Result<bool, Fault> {
    let (id, now) = (pass.payment, shop.now());
    // It was seen to be paid a moment ago.
    if now < pass.issued_at.plus(LOOK_AGAIN_S) {
        return Ok(false);
    }
    let (was_undone, is_due) = shop.passes.looks.last(id, now);
    if !is_due {
        return Ok(was_undone);
    }
    let is_undone = look(shop, id).await?.unwrap_or(was_undone);
    if is_undone && !was_undone {
        tracing::warn!(payment = %id, "the payment of a pass is not there any more: the pass is good for nothing");
    }
    shop.passes.looks.keep(id, now, is_undone);
    Ok(is_undone)
}

/// `None` when it cannot be told.
async fn look(shop: &Shop, id: PaymentId) -> Result<Option<bool>, Fault> {
    // Whoever sells elsewhere may keep another book.
    let Some(held) = shop.sales.load(&id).await? else { return Ok(None) };
    let sale = held.sale();
    if !matches!(sale.state, SaleState::Paid { .. } | SaleState::Done { .. }) {
        return Ok(Some(true));
    }
    let Ok(Ok(Some(status))) = timeout(PATIENCE, shop.facilitator.status(&id)).await else { return Ok(None) };
    let PaymentStatus { state, network, pay_to, .. } = status;
    let is_ours = shop
        .mechanisms
        .iter()
        .any(|mechanism| mechanism.speaks(&network) && mechanism.same_account(&pay_to, &sale.pay_to));
    Ok(match state {
        // Somebody else may have been paid with the same nonce after ours was undone (threat row G06).
        SettlementState::Settled(_) => Some(!is_ours),
        SettlementState::Submitted { .. } | SettlementState::Failed { .. } if is_ours => Some(true),
        _ => None,
    })
}
