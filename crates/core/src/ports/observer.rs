//! A scheme whose payers have paid before they say so: there is nothing to submit, only to look.

use async_trait::async_trait;

use super::Mechanism;
use crate::books::{Mined, Settled};
use crate::verified::Claim;
use crate::{Depth, Failure, Fault, Network, Offer, Payment, Timestamp};

/// A payment that was found where its proof says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub claim: Claim,
    /// Where it lies.
    pub settled: Settled,
}

/// The facilitator's half of such a scheme.
#[async_trait]
pub trait Observer: Mechanism {
    /// The networks that can be looked at right now.
    async fn ready(&self) -> Vec<Network>;

    /// Looks for the payment, and waits a while for a transaction that is on its way. What is not there yet is
    /// [`Fault::Pending`], never a refusal: a payer who is refused pays again.
    async fn observe(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Seen, Failure>;

    /// How deep a block lies that a payment was seen in. The answer may be a second old.
    async fn depth(&self, network: &Network, mined: &Mined) -> Result<Depth, Fault>;

    /// Whether the chain has this block right now, whatever was known of it a moment ago. `None` while the chain is not as
    /// long.
    async fn has(&self, network: &Network, mined: &Mined) -> Result<Option<bool>, Fault> {
        Ok(Some(self.depth(network, mined).await?.confirmations > 0))
    }
}
