//! Whether a payment that was signed before can still be taken.

use groat_core::books::{Purchase, PurchaseEvent, PurchaseState};
use groat_core::ports::Fate;
use groat_core::{Reason, Timestamp};
use groat_store::{Applied, Entry};

use super::{BuyError, Client};

/// How long after its end a payment may still turn out to be on the chain.
const MARGIN_S: u64 = 60;

/// Where a signed payment stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// It may be taken, or has been: it is to be shown.
    Live,
    /// It is a transaction whose offer is over. It must not be sent any more, and may be on its way all the same.
    MayLand {
        /// Which.
        transaction: Option<String>,
    },
    /// It cannot be taken any more. Whether it was taken in time is not known.
    Over,
    /// It has moved nothing, and never will.
    Dead(Reason),
}

impl Client {
    /// Where the payment of a purchase stands. No other may be signed for the same beside one that is live or may land.
    pub(super) async fn standing(&self, purchase: &Purchase) -> Standing {
        let Some(signed) = purchase.outstanding() else { return Standing::Over };
        let now = self.buyer.clock.now();
        let payer = self.payer(&signed.offer);
        if payer.is_some_and(|payer| !payer.is_paid_before()) {
            return if dead_in_s(signed.valid_until, now) > 0 { Standing::Live } else { Standing::Over };
        }
        let in_time = now <= signed.valid_until;
        // What was not sent lies here alone, and is not sent late.
        if !in_time && matches!(purchase.state, PurchaseState::Signed(_)) {
            return Standing::Dead(Reason::Expired);
        }
        let fate = match payer {
            Some(payer) => payer.fate(&signed.payment, &signed.offer).await,
            None => Ok(Fate::Open { transaction: None }),
        };
        match fate {
            Ok(Fate::Paid(_)) => Standing::Live,
            Ok(Fate::Dead(reason)) => Standing::Dead(reason),
            Ok(Fate::Open { .. }) | Err(_) if in_time => Standing::Live,
            Ok(Fate::Open { transaction }) => Standing::MayLand { transaction },
            Err(fault) => {
                tracing::warn!(payment = %signed.id, %fault, "nobody can say what became of a transaction");
                Standing::MayLand { transaction: None }
            }
        }
    }

    /// Closes a purchase that certainly paid nothing. Should another process have come further with it meanwhile, that is not
    /// certain any more, and it stays as it is.
    pub(super) async fn give_up(&self, entry: Entry<Purchase>, reason: Reason) -> Result<(), BuyError> {
        let signed = entry.record.outstanding().cloned();
        let now = self.buyer.clock.now();
        if let Applied::Stale = self.journal.apply(entry, PurchaseEvent::Refuse(reason), now).await? {
            return Err(BuyError::busy());
        }
        if let Some(signed) = signed
            && let Some(payer) = self.payer(&signed.offer)
        {
            payer.discard(&signed.payment);
        }
        Ok(())
    }
}

/// Why nothing is signed beside a transaction that may land.
pub(super) fn may_land(purchase: &Purchase, transaction: Option<String>) -> Option<BuyError> {
    let signed = purchase.outstanding()?;
    let transaction = transaction.unwrap_or_else(|| "of a payment".to_owned());
    Some(BuyError::MayLand { id: signed.id, transaction, network: signed.offer.network.clone() })
}

/// In so many seconds a payment is certainly dead.
pub(super) fn dead_in_s(valid_until: Timestamp, now: Timestamp) -> u64 {
    valid_until.plus(MARGIN_S).since(now)
}
