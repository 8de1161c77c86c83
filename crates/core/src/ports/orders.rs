//! Orders that are paid elsewhere, and whoever takes the money for them.

use async_trait::async_trait;

use crate::books::Checkout;
use crate::{Amount, Failure, Fault, Network, Offer, Timestamp};

/// Header fields of a webhook: lower-case names, and values.
pub type Fields = [(String, String)];

/// Orders, as a payment service needs them.
#[async_trait]
pub trait Checkouts: Send + Sync {
    /// The network of its offers.
    fn network(&self) -> &Network;

    /// Makes an order for an offer, and says where it is paid.
    async fn begin(&self, offer: &Offer, now: Timestamp) -> Result<Checkout, Failure>;

    /// What whoever takes the money has to say. `Ok(None)` when it is not from them.
    async fn hear(&self, fields: &Fields, body: &[u8], now: Timestamp) -> Result<Option<Checkout>, Failure>;
}

/// What whoever takes the money says of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignStatus {
    /// Nothing yet.
    Waiting,
    /// The payer has agreed: the money can be called for.
    Approved,
    /// The money is there: so much of the order's currency, in units.
    Paid(Amount),
    /// It came to nothing.
    Failed,
}

/// Somebody who takes money for us: a hosted checkout with webhooks.
#[async_trait]
pub trait OrderDriver: Send + Sync {
    /// Its name: the reference of its network, as in `checkout:name`.
    fn name(&self) -> &str;

    /// Makes the order there, or finds it: the same order has the same foreign id however often this is called. Answers
    /// that id and the page where it is paid.
    async fn create_order(&self, order: &Checkout) -> Result<(String, String), Fault>;

    /// Calls for money that its payer has agreed to. Safe to repeat.
    async fn capture_order(&self, foreign_id: &str) -> Result<ForeignStatus, Fault>;

    /// Whether a webhook is really theirs.
    fn verify_webhook(&self, fields: &Fields, body: &[u8]) -> bool;

    /// The order that a webhook is about.
    fn extract_order_id(&self, body: &[u8]) -> Option<String>;

    /// What has become of an order: this is believed, and never what a webhook says.
    async fn fetch_order_status(&self, foreign_id: &str) -> Result<ForeignStatus, Fault>;
}
