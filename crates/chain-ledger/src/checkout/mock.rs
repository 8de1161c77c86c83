//! Somebody who takes money that is none: for tests and for development.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use groat_core::books::Checkout;
use groat_core::ports::{Fields, ForeignStatus, OrderDriver};
use groat_core::{Amount, Fault};
use ring::hmac;
use serde_json::{Value, json};

/// The header field of its webhooks.
const SIGNATURE_FIELD: &str = "x-mock-signature";

/// A webhook: its header fields and its body.
pub type Webhook = (Vec<(String, String)>, Vec<u8>);

/// A hosted checkout in memory. Its webhooks are signed with HMAC-SHA256.
pub struct MockDriver {
    secret: [u8; 32],
    origin: String,
    orders: Mutex<BTreeMap<String, Known>>,
}

#[derive(Clone)]
struct Known {
    order_id: String,
    status: ForeignStatus,
    amount: Amount,
}

impl std::fmt::Debug for MockDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockDriver").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl MockDriver {
    /// A checkout whose pages would lie below `origin`.
    pub fn new(secret: [u8; 32], origin: &str) -> Self {
        Self { secret, origin: origin.to_owned(), orders: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The payer does something on the page. `None` for an order that was never made.
    pub fn set(&self, order_id: &str, status: ForeignStatus) -> Option<()> {
        self.lock().values_mut().find(|known| known.order_id == order_id).map(|known| known.status = status)
    }

    /// The payer pays: the webhook that goes out.
    pub fn pay(&self, order_id: &str) -> Option<Webhook> {
        let amount = self.lock().values().find(|known| known.order_id == order_id)?.amount;
        self.set(order_id, ForeignStatus::Paid(amount))?;
        Some(self.webhook(order_id))
    }

    /// The order behind a page, by the last part of its link.
    pub fn order_of(&self, page: &str) -> Option<String> {
        self.lock().get(page).map(|known| known.order_id.clone())
    }

    /// A signed webhook about an order.
    pub fn webhook(&self, order_id: &str) -> Webhook {
        let body = json!({ "event": "order.paid", "order_id": order_id }).to_string().into_bytes();
        let signature = data_encoding::HEXLOWER.encode(hmac::sign(&self.key(), &body).as_ref());
        (vec![(SIGNATURE_FIELD.to_owned(), signature)], body)
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.secret)
    }
}

#[async_trait]
impl OrderDriver for MockDriver {
    fn name(&self) -> &str {
        "mock"
    }

    async fn create_order(&self, order: &Checkout) -> Result<(String, String), Fault> {
        let foreign_id = format!("mock-{}", &order.id[order.id.len().saturating_sub(12)..]);
        let known =
            Known { order_id: order.id.clone(), status: ForeignStatus::Waiting, amount: order.amount };
        self.lock().entry(foreign_id.clone()).or_insert(known);
        let link = format!("{}/pay/{foreign_id}", self.origin);
        Ok((foreign_id, link))
    }

    async fn capture_order(&self, foreign_id: &str) -> Result<ForeignStatus, Fault> {
        let mut orders = self.lock();
        let known = orders.get_mut(foreign_id).ok_or_else(|| Fault::garbled("checkout", "no such order"))?;
        if known.status == ForeignStatus::Approved {
            known.status = ForeignStatus::Paid(known.amount);
        }
        Ok(known.status)
    }

    fn verify_webhook(&self, fields: &Fields, body: &[u8]) -> bool {
        let told = fields.iter().find(|(name, _)| name == SIGNATURE_FIELD).map(|(_, value)| value.as_bytes());
        let told = told.and_then(|told| data_encoding::HEXLOWER.decode(told).ok());
        told.is_some_and(|told| hmac::verify(&self.key(), body, &told).is_ok())
    }

    fn extract_order_id(&self, body: &[u8]) -> Option<String> {
        serde_json::from_slice::<Value>(body).ok()?.get("order_id")?.as_str().map(str::to_owned)
    }

    async fn fetch_order_status(&self, foreign_id: &str) -> Result<ForeignStatus, Fault> {
        let known = self.lock().get(foreign_id).map(|known| known.status);
        known.ok_or_else(|| Fault::garbled("checkout", "no such order"))
    }
}
