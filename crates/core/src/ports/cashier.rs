//! A scheme whose money lies in a book of our own: nothing to submit and nothing to look for, one commit takes it.

use async_trait::async_trait;

use super::{Mechanism, Seen};
use crate::verified::Claim;
use crate::{Failure, Network, Offer, Payment, Timestamp, Verified};

/// The facilitator's half of such a scheme.
#[async_trait]
pub trait Cashier: Mechanism {
    /// The networks that can be taken from right now.
    async fn ready(&self) -> Vec<Network>;

    /// Checks that the payer really signed this, that it is good now, and that the money is there. Takes nothing.
    async fn verify(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Claim, Failure>;

    /// Who has taken this payment before, where it is taken: asked before anything is checked, because a payment that was
    /// taken looks used and its time may be over.
    async fn taken(&self, payment: &Payment, offer: &Offer) -> Result<Option<Seen>, Failure>;

    /// Takes the money, in one commit or not at all. The same payment is taken once, however often this is called; then
    /// every call gets the first one's answer. Money that is gone since it was verified is a refusal.
    async fn take(&self, verified: &Verified, now: Timestamp) -> Result<Seen, Failure>;
}
