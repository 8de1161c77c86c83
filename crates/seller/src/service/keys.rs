//! `Idempotency-Key` of orders (threat rows R14, R15 and T23): under one key of one payer one payment is taken.
//!
//! A key is bound to its order before anything is taken, and only after the permit was found good: so nobody can use up the
//! keys of another payer, and what they stand for is told to their payer alone. There is no second copy of the answer:
//! the same order gets the same token as it always does.

use groat_core::PaymentId;
use groat_core::books::{Bound, OrderKey, OrderKeyEvent, SaleState, SettlementState};
use groat_core::payment::Fingerprint;
use groat_core::{Fault, Timestamp};
use groat_store::Applied;
use http::StatusCode;

use super::PaymentService;
use super::tell::status_unavailable;
use crate::gate::{self, Begun, Order, Reply};

/// How often a key is looked at again because somebody else wrote first.
const TRIES_MAX: usize = 16;

impl PaymentService {
    /// Binds the key to the order, or says why not.
    pub(super) async fn bind(&self, key: &str, order: &Order, begun: &Begun) -> Result<(), Reply> {
        let (payer, is_new) = match begun {
            Begun::Not { payer } => (payer, true),
            // A permit is public once it is settled: whoever shows one that was sold before must not use keys up.
            Begun::Sold { payer: Some(payer) } => (payer, false),
            Begun::Sold { payer: None } | Begun::Open => return Ok(()),
        };
        let scope = scope(payer, key);
        let bound = Bound {
            payment: order.id,
            order: Fingerprint::of(&[order.prints.payment.0.as_bytes(), order.prints.request.0.as_bytes()]),
            valid_until: order.valid_until,
        };
        self.try_bind(scope, bound, is_new).await.unwrap_or_else(|fault| Err(order.desk.fault(&fault)))
    }

    async fn try_bind(
        &self,
        scope: Fingerprint,
        bound: Bound,
        is_new: bool,
    ) -> Result<Result<(), Reply>, Fault> {
        let keys = &self.shop.order_keys;
        for _ in 0..TRIES_MAX {
            let now = self.shop.now();
            let Some(entry) = keys.load(&scope.0).await? else {
                let first = OrderKey { scope: scope.clone(), bound: bound.clone(), bound_at: now };
                if !is_new || keys.create(first).await?.is_some() {
                    return Ok(Ok(()));
                }
                continue;
            };
            if entry.record.bound.order == bound.order {
                return Ok(Ok(()));
            }
            if !self.is_free(&entry.record, now).await? {
                let message = "this Idempotency-Key came with another order before: use a new one, or ask what became \
                    of that one with GET /x402/payments?idempotency_key=";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Ok(Err(Reply::error(status, "idempotency_key_reused", message)));
            }
            if !is_new {
                return Ok(Ok(()));
            }
            match keys.apply(entry, OrderKeyEvent::Bind(bound.clone()), now).await? {
                Applied::Done(_) => return Ok(Ok(())),
                Applied::Stale | Applied::Impossible(_) => {}
            }
        }
        Err(Fault::unavailable("store", "too many write at once"))
    }

    /// Whether nothing has come of the order that a key is bound to, and nothing can; or whether it is long ago.
    async fn is_free(&self, key: &OrderKey, now: Timestamp) -> Result<bool, Fault> {
        if key.is_forgotten(now) {
            return Ok(true);
        }
        if !gate::is_dead(&self.shop, key.bound.valid_until) {
            return Ok(false);
        }
        let id = key.bound.payment;
        let sale = self.shop.sales.load(&id).await?;
        let is_open = sale.is_some_and(|held| {
            !matches!(held.sale().state, SaleState::Released | SaleState::Withheld { .. })
        });
        if is_open {
            return Ok(false);
        }
        let status = self.shop.facilitator.status(&id).await?;
        Ok(status.is_none_or(|status| {
            matches!(status.state, SettlementState::Failed { .. } | SettlementState::Released)
        }))
    }

    /// The payment that a payer's key stands for.
    pub(super) async fn of_key(&self, payer: &str, key: &str) -> Result<Option<PaymentId>, Reply> {
        let entry = self.shop.order_keys.load(&scope(payer, key).0).await.map_err(status_unavailable)?;
        Ok(entry.map(|entry| entry.record.bound.payment))
    }
}

/// Where a key of a payer lies. A facilitator may spell an account as its payer wrote it, and it is one payer.
fn scope(payer: &str, key: &str) -> Fingerprint {
    Fingerprint::of(&[b"order key", payer.to_ascii_lowercase().as_bytes(), key.as_bytes()])
}
