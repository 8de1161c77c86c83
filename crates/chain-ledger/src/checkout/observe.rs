//! The facilitator's half: whether an order is paid.

use async_trait::async_trait;
use groat_core::books::{CheckoutState, Mined, Settled};
use groat_core::ports::{Mechanism, Observer, Seen};
use groat_core::{Claim, Depth, Failure, Fault, Network, Offer, Payment, Reason, Timestamp};

use super::{CheckoutOrders, SCHEME, order_id};

#[async_trait]
impl Observer for CheckoutOrders {
    async fn ready(&self) -> Vec<Network> {
        vec![self.network.clone()]
    }

    async fn observe(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Seen, Failure> {
        let id = order_id(&payment.proof)?;
        let entry = self.journal.load(id).await?.filter(|entry| entry.record.network == self.network);
        let entry = entry.ok_or(Reason::InvalidPayload)?;
        let order = self.settle_late(entry, now).await?.record;
        match order.state {
            CheckoutState::Paid => {}
            CheckoutState::Cancel => return Err(Reason::Expired.into()),
            CheckoutState::Failed | CheckoutState::Refunded => return Err(Reason::TransactionFailed.into()),
            CheckoutState::New
            | CheckoutState::Created
            | CheckoutState::Captured
            | CheckoutState::Webhooked => return Err(Fault::Pending { transaction: None }.into()),
        }
        let (key, valid_until) = self.key(payment, offer)?;
        Ok(Seen {
            claim: Claim {
                key,
                network: order.network.clone(),
                asset: order.currency,
                // The id is as good as money, and who has paid is known only where it was paid.
                payer: SCHEME.to_owned(),
                pay_to: order.pay_to,
                amount: order.amount,
                valid_from: Timestamp(0),
                valid_until,
                alone: false,
                funds: None,
            },
            settled: Settled {
                transaction: format!("{}/{}", order.network, order.foreign_id.unwrap_or_default()),
                block: 0,
                block_hash: String::new(),
                by_other: true,
            },
        })
    }

    async fn depth(&self, _network: &Network, _mined: &Mined) -> Result<Depth, Fault> {
        Ok(Depth { confirmations: 1, safe: true, finalized: true })
    }
}
