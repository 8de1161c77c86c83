//! What the order of a token goes by: under one key of one payer there is one payment.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::payment::Fingerprint;
use crate::{PaymentId, Timestamp};

/// One key. Written before anything is taken for its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderKey {
    /// A hash of payer and key.
    pub scope: Fingerprint,
    /// The order that it came with first.
    pub bound: Bound,
    /// When it did.
    pub bound_at: Timestamp,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The payment.
    pub payment: PaymentId,
    /// A hash of what was ordered and by which permit.
    pub order: Fingerprint,
    /// From when on no chain takes the payment.
    pub valid_until: Timestamp,
}

/// What can happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderKeyEvent {
    /// Nothing has come of the order before, or it is long ago: the key is for this one now.
    Bind(Bound),
}

/// So long a key stands for one order.
const KEPT_S: u64 = 86_400;

impl OrderKey {
    /// Whether it came with its order so long ago that it may come with another.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        self.bound_at.plus(KEPT_S) < now
    }
}

impl Aggregate for OrderKey {
    type Event = OrderKeyEvent;
    const BOOK: Book = Book::OrderKeys;

    fn key(&self) -> String {
        self.scope.0.clone()
    }

    fn state(&self) -> &'static str {
        "bound"
    }

    fn is_final(&self) -> bool {
        // Nothing has to be taken up after a crash.
        true
    }

    fn apply(self, event: OrderKeyEvent, now: Timestamp) -> Option<Self> {
        let OrderKeyEvent::Bind(bound) = event;
        let may_be = self.is_forgotten(now) || self.bound.valid_until < now;
        may_be.then_some(Self { bound, bound_at: now, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;
    use crate::key::{KeyKind, PaymentKey};

    fn bound(number: u8) -> Bound {
        let payment = PaymentKey::new(KeyKind::Eip3009, &Network::eip155(1), &[&[number]]).id();
        let order = Fingerprint::of(&[&[number]]);
        Bound { payment, order, valid_until: Timestamp(160) }
    }

    #[test]
    fn t23_a_key_is_for_one_order_as_long_as_that_can_be_paid() {
        let scope = Fingerprint::of(&[b"payer", b"key"]);
        let key = OrderKey { scope, bound: bound(1), bound_at: Timestamp(100) };
        let next = |at| key.clone().apply(OrderKeyEvent::Bind(bound(2)), Timestamp(at));
        assert_eq!((next(100), next(160)), (None, None));
        assert_eq!(next(161).map(|key| (key.bound, key.bound_at)), Some((bound(2), Timestamp(161))));
        let long = OrderKey { bound: Bound { valid_until: Timestamp(u64::MAX), ..bound(1) }, ..key };
        let next = |at| long.clone().apply(OrderKeyEvent::Bind(bound(2)), Timestamp(at));
        assert_eq!(next(86_500), None);
        assert!(next(86_501).is_some());
    }
}
