//! What an all-seeing observer writes down, to be compared with books and chain at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bytes::Bytes;
use groat_core::{PaymentId, Reason, Receipt};

use crate::buyer::{End, Parcel};
use crate::chain::{Authorization, Way};
use crate::direct::AGE_S_MAX;
use crate::shop::Route;
use crate::stage::lock;
use crate::tongue::Tongue;

/// One signed payment.
#[derive(Debug, Clone)]
pub(crate) struct Deal {
    pub(crate) id: PaymentId,
    /// The buyer's wish that it is to fulfil; a second payment for the same wish follows a refusal only.
    pub(crate) wish: u64,
    pub(crate) authorization: Authorization,
    /// Whether the buyer itself sent it elsewhere too.
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
    /// Of a pass that was ordered: the pass.
    pub(crate) body: Bytes,
    /// The pass that came with it.
    pub(crate) pass: Option<String>,
    /// Whether it says when to come again.
    pub(crate) is_wait: bool,
}

impl Told {
    pub(crate) fn settled(&self) -> Option<&Receipt> {
        self.receipt.as_ref().filter(|receipt| receipt.is_settled())
    }

    /// Whether this comes from the handler and not from the gate.
    pub(crate) fn is_served(&self) -> bool {
        self.body.starts_with(b"run ") || self.is_given()
    }

    /// The payment that bought this answer of a handler, if it counts.
    pub(crate) fn credit(&self) -> Option<PaymentId> {
        let text = std::str::from_utf8(&self.body).ok().filter(|_| self.status == 200)?;
        PaymentId::parse(text.strip_prefix("run ")?.split_once(" of ")?.1).ok()
    }

    /// Whether it is a pass that was ordered.
    pub(crate) fn is_given(&self) -> bool {
        self.body.starts_with(GIVEN)
    }
}

/// How the body of an ordered pass is noted: how long it is still good is another number each time.
pub(crate) const GIVEN: &[u8] = b"pass ";

/// A transaction by which somebody paid directly.
#[derive(Debug, Clone)]
pub(crate) struct Outlay {
    pub(crate) hash: u64,
    pub(crate) way: Way,
    pub(crate) tongue: Tongue,
    /// The payments in it.
    pub(crate) ids: Vec<PaymentId>,
    /// Of each thing that was wanted for it, how it ended.
    pub(crate) ends: Vec<End>,
    pub(crate) shows: Vec<Show>,
    /// Until when the proof of it is good, where it has one.
    pub(crate) proof_until_s: Option<u64>,
    /// The request that shows it, for whoever sees it on its way.
    pub(crate) seen: Option<Parcel>,
}

impl Outlay {
    /// Until when it may be shown, at least.
    pub(crate) fn good_until_s(&self, mined_at_s: Option<u64>) -> u64 {
        self.proof_until_s.or_else(|| Some(mined_at_s? + AGE_S_MAX)).unwrap_or(0)
    }

    /// Whether its payer has had an answer.
    pub(crate) fn is_served(&self) -> bool {
        let mut told = self.shows.iter().filter(|show| show.by_payer).filter_map(|show| show.told.as_ref());
        told.any(|(told, _)| told.credit().is_some())
    }
}

/// One time that it was shown, and what was said.
#[derive(Debug, Clone)]
pub(crate) struct Show {
    pub(crate) route: Route,
    /// Or by a thief.
    pub(crate) by_payer: bool,
    /// The same for requests of the same bytes.
    pub(crate) print: u64,
    /// The answer, and when, by the later of the clocks; none came to whoever was sent away by a fault on the way.
    pub(crate) told: Option<(Told, u64)>,
    /// Whether a block had it by then.
    pub(crate) was_mined: bool,
}

/// One run that was let in by a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassRun {
    /// The payment that it was given for.
    pub(crate) pass: PaymentId,
    pub(crate) route: Route,
    /// When the request came, by the clock of the seller.
    pub(crate) arrived_s: u64,
    pub(crate) run: Run,
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

/// Everything written down.
#[derive(Default)]
pub(crate) struct Notebook {
    deals: Mutex<Vec<Deal>>,
    runs: Mutex<BTreeMap<PaymentId, Vec<(Route, Run)>>>,
    outlays: Mutex<Vec<Outlay>>,
    pass_runs: Mutex<Vec<PassRun>>,
    passes: Mutex<BTreeMap<PaymentId, BTreeSet<String>>>,
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

    /// A handler is entered; the number is that of the run for this payment.
    pub(crate) fn enter(&self, id: PaymentId, route: Route) -> usize {
        let mut runs = lock(&self.runs);
        let of_payment = runs.entry(id).or_default();
        of_payment.push((route, Run::CutOff));
        of_payment.len() - 1
    }

    pub(crate) fn leave(&self, id: PaymentId, number: usize, run: Run) {
        if let Some((_, place)) = lock(&self.runs).get_mut(&id).and_then(|runs| runs.get_mut(number)) {
            *place = run;
        }
    }

    pub(crate) fn runs(&self) -> BTreeMap<PaymentId, Vec<(Route, Run)>> {
        lock(&self.runs).clone()
    }

    /// Writes a direct payment down and gives its number.
    pub(crate) fn pay(&self, outlay: Outlay) -> usize {
        let mut outlays = lock(&self.outlays);
        outlays.push(outlay);
        outlays.len() - 1
    }

    pub(crate) fn change_outlay<T: Default>(
        &self,
        number: usize,
        change: impl FnOnce(&mut Outlay) -> T,
    ) -> T {
        lock(&self.outlays).get_mut(number).map(change).unwrap_or_default()
    }

    pub(crate) fn outlays(&self) -> Vec<Outlay> {
        lock(&self.outlays).clone()
    }

    /// A handler is entered for a pass; the number is that of the run.
    pub(crate) fn enter_by_pass(&self, run: PassRun) -> usize {
        let mut runs = lock(&self.pass_runs);
        runs.push(run);
        runs.len() - 1
    }

    pub(crate) fn leave_by_pass(&self, number: usize, run: Run) {
        if let Some(place) = lock(&self.pass_runs).get_mut(number) {
            place.run = run;
        }
    }

    pub(crate) fn pass_runs(&self) -> Vec<PassRun> {
        lock(&self.pass_runs).clone()
    }

    /// A pass was given for a payment.
    pub(crate) fn give(&self, id: PaymentId, pass: String) {
        lock(&self.passes).entry(id).or_default().insert(pass);
    }

    /// The passes that were given for each payment.
    pub(crate) fn passes(&self) -> BTreeMap<PaymentId, BTreeSet<String>> {
        lock(&self.passes).clone()
    }
}
