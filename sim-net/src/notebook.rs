//! What an all-seeing observer writes down, to be compared with books and chain.

use std::collections::BTreeMap;
use std::sync::Mutex;

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use groat_core::{PaymentId, Reason, Receipt};

use crate::buyer::End;
use crate::host::gate::Route;
use crate::stage::lock;

/// One signed payment.
#[derive(Debug, Clone)]
pub(crate) struct Deal {
    pub(crate) id: PaymentId,
    pub(crate) payer: Address,
    pub(crate) nonce: B256,
    /// The buyer's wish that it is to fulfil; a second payment for the same wish follows a refusal only.
    pub(crate) wish: u64,
    /// Whether the buyer itself used it for something else too.
    pub(crate) misused: bool,
    /// Whether a changed copy was sent too.
    pub(crate) varied: bool,
    /// Whether a stranger may have submitted it.
    pub(crate) meddled: bool,
    /// How it ended for its buyer, who signs again after a refusal only.
    pub(crate) end: Option<End>,
    /// What was said to it, in order, and where it was sent.
    pub(crate) answers: Vec<(Route, Told)>,
}

impl Deal {
    /// Whether somebody was told that it was released after a run with side effects was cut off.
    pub(crate) fn was_released(&self) -> bool {
        self.answers.iter().any(|(route, told)| {
            !route.is_safe() && !route.pays_first() && told.error == Reason::Released.code()
        })
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) receipt: Option<Receipt>,
    /// The word of the body's `error`.
    pub(crate) error: String,
    pub(crate) body: Bytes,
}

impl Told {
    pub(crate) fn settled(&self) -> Option<&Receipt> {
        self.receipt.as_ref().filter(|receipt| receipt.is_settled())
    }

    /// Whether this comes from the handler and not from the gate.
    pub(crate) fn is_from_handler(&self) -> bool {
        self.body.starts_with(b"run ")
    }

    /// Whether it is what was sold.
    pub(crate) fn is_served(&self) -> bool {
        self.is_from_handler() && self.status == 200
    }
}

/// One run of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// It runs, or its process died.
    CutOff,
    /// It was given up: a panic or a timeout.
    Dropped,
    /// It answered.
    Answered(u16),
}

/// Which payment ran, at which seller.
pub(crate) type RunKey = (usize, PaymentId);

/// Everything written down.
#[derive(Default)]
pub(crate) struct Notebook {
    deals: Mutex<Vec<Deal>>,
    runs: Mutex<BTreeMap<RunKey, Vec<(Route, Run)>>>,
    buyers_gone: Mutex<usize>,
}

impl Notebook {
    /// Writes a payment down and gives its number.
    pub(crate) fn sign(&self, deal: Deal) -> usize {
        let mut deals = lock(&self.deals);
        deals.push(deal);
        deals.len() - 1
    }

    pub(crate) fn change(&self, number: usize, change: impl FnOnce(&mut Deal)) {
        if let Some(deal) = lock(&self.deals).get_mut(number) {
            change(deal);
        }
    }

    pub(crate) fn deals(&self) -> Vec<Deal> {
        lock(&self.deals).clone()
    }

    /// The nonces of all authorizations.
    pub(crate) fn nonces(&self) -> Vec<B256> {
        lock(&self.deals).iter().map(|deal| deal.nonce).collect()
    }

    /// A handler is entered; the number is that of the run for this payment.
    pub(crate) fn enter(&self, key: RunKey, route: Route) -> usize {
        let mut runs = lock(&self.runs);
        let of_payment = runs.entry(key).or_default();
        of_payment.push((route, Run::CutOff));
        of_payment.len() - 1
    }

    pub(crate) fn leave(&self, key: RunKey, number: usize, run: Run) {
        if let Some((_, place)) = lock(&self.runs).get_mut(&key).and_then(|runs| runs.get_mut(number)) {
            *place = run;
        }
    }

    pub(crate) fn runs(&self) -> BTreeMap<RunKey, Vec<(Route, Run)>> {
        lock(&self.runs).clone()
    }

    /// A buyer has nothing more to do.
    pub(crate) fn buyer_goes(&self) {
        *lock(&self.buyers_gone) += 1;
    }

    pub(crate) fn buyers_gone(&self) -> usize {
        *lock(&self.buyers_gone)
    }
}
