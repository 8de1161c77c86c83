//! Payments that were made before they were shown: what they bought, who was refused, and what the books say.

use std::collections::{BTreeMap, BTreeSet};

use groat_core::books::{SaleState, SettlementState};

use super::Evidence;
use crate::buyer::End;
use crate::chain::{Direct, Way, hash_text};
use crate::notebook::{Outlay, Run, Show, Told};
use crate::shop::Route;
use crate::tongue::Tongue;
use crate::world::PRICE;

pub(super) fn check(evidence: &Evidence<'_>) {
    let runs = evidence.world.notebook.runs();
    for outlay in &evidence.outlays {
        let case = Case { evidence, outlay, paid: evidence.ledger.direct.get(&outlay.hash) };
        case.answers();
        case.refusals();
        case.thieves();
        case.books();
        for (id, runs) in outlay.ids.iter().filter_map(|id| Some((id, runs.get(id)?))) {
            case.runs(&id.to_string(), runs);
        }
    }
}

/// One transaction and what became of it.
struct Case<'e> {
    evidence: &'e Evidence<'e>,
    outlay: &'e Outlay,
    /// What it paid on the final chain.
    paid: Option<&'e Direct>,
}

impl Case<'_> {
    fn name(&self) -> String {
        hash_text(self.outlay.hash)
    }

    /// A promise is broken, unless a reorganisation has moved the transaction: nothing follows what payers send.
    fn broken(&self, rule: &'static str, text: &str) {
        let text = format!("{} {text}", self.name());
        let world = self.evidence.world;
        if world.chain.is_direct_shaken(self.outlay.hash) {
            world.stage.gap("changed by a reorganisation", || format!("{rule}: {text}"));
        } else {
            world.stage.broken(rule, text);
        }
    }

    /// The payments that fit a route, by number.
    fn fits(&self, route: Route) -> Vec<usize> {
        match &self.outlay.way {
            Way::Services(several) => {
                let fits = several
                    .iter()
                    .enumerate()
                    .filter(|(_, made)| made.service == route.service() && made.value >= PRICE);
                fits.map(|(count, _)| count).collect()
            }
            Way::Request(request) if request.value == PRICE => vec![0],
            Way::Request(_) => Vec::new(),
        }
    }

    fn told(&self) -> impl Iterator<Item = (&Show, &Told, u64)> {
        self.outlay.shows.iter().filter_map(|show| show.told.as_ref().map(|(told, at_s)| (show, told, *at_s)))
    }

    /// One credit buys one answer, of a route that it fits, with the receipt of its transaction.
    fn answers(&self) {
        let mut bodies: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (show, told, _) in self.told() {
            if told.status == 503 && !told.is_wait {
                self.broken("whoever has to wait is told how long", &told.error);
            }
            if let Some(receipt) = told.settled()
                && (receipt.transaction.as_deref() != Some(&self.name()) || self.paid.is_none())
            {
                self.broken("a receipt is a transfer on the chain", &format!("{:?}", receipt.transaction));
            }
            let Some(credit) = told.credit() else { continue };
            let fits =
                self.fits(show.route).into_iter().any(|count| self.outlay.ids.get(count) == Some(&credit));
            if !fits || told.settled().is_none() {
                self.broken("nothing is served unpaid", &format!("{} {told:?}", show.route.path()));
            }
            bodies.entry(credit).or_default().insert((show.route.path(), told.body.clone()));
        }
        for (credit, bodies) in bodies.iter().filter(|(_, bodies)| bodies.len() > 1) {
            self.broken("one credit, one answer", &format!("{credit} {bodies:?}"));
        }
        for ended in self.outlay.ends.iter().filter(|end| **end == End::Unknown) {
            let last = self.told().last().map(|(_, told, _)| told.error.clone());
            let text = format!("{ended:?} {last:?}");
            // As long as another payment of the same transaction is in work, nobody says that none fits.
            let is_for_nothing = self.outlay.shows.iter().any(|show| self.fits(show.route).is_empty());
            if is_for_nothing {
                self.evidence.world.stage.gap("what fits nothing is asked to wait", || text);
            } else if last.as_deref() == Some("payment_in_progress") && self.has_dead_hold() {
                // Held when a crash came, for a request that nobody sends again.
                self.evidence.world.stage.gap("a hold left by a crash keeps other requests waiting", || text);
            } else if self.paid.is_some() {
                self.broken("in peace every outcome becomes known", &text);
            }
        }
    }

    fn has_dead_hold(&self) -> bool {
        let mut sales = self.outlay.ids.iter().filter_map(|id| self.evidence.sales.get(id));
        sales.any(|sale| matches!(sale.state, SaleState::Released))
    }

    /// A run with side effects that may have come to something is not repeated.
    fn runs(&self, id: &str, runs: &[(Route, Run)]) {
        for (index, (route, run)) in
            runs.iter().enumerate().skip(1).filter(|(_, (route, _))| !route.is_safe())
        {
            let before = &runs[..index];
            // What was safe and was cut off came to nothing if the same failed when it ran again.
            let failed = |(route, run): &(Route, Run)| {
                route.is_safe() && !matches!(run, Run::CutOff | Run::Answered(200))
            };
            let forgotten = before.iter().rposition(failed).map_or(0, |at| at + 1);
            let earlier = before.iter().enumerate().find(|(at, (route, run))| {
                matches!(run, Run::CutOff | Run::Answered(200)) && (!route.is_safe() || *at >= forgotten)
            });
            if let Some((_, earlier)) = earlier {
                let text = format!("{id} {} {run:?} after {earlier:?}", route.path());
                self.broken("one credit, one run that counts", &text);
            }
        }
    }

    /// Whoever shows a payment that is there, fits, is unused and young enough is never refused, and nobody is refused
    /// while it is on its way.
    fn refusals(&self) {
        for (show, told, at_s) in self.told().filter(|(show, told, _)| show.by_payer && told.status == 402) {
            let text = format!("{} was refused with `{}`", show.route.path(), told.error);
            let fits = self.fits(show.route);
            let is_expired = told.error == "expired" || told.error.ends_with("valid_before");
            let is_old = at_s >= self.outlay.good_until_s(self.paid.map(|paid| paid.time));
            if is_expired && !is_old {
                self.broken("a good payment is never refused", &text);
            }
            if is_expired || is_old && show.was_mined {
                continue;
            }
            if !show.was_mined {
                self.broken("what is on its way is never refused", &text);
                continue;
            }
            let unused =
                fits.iter().filter_map(|count| self.outlay.ids.get(*count)).find(|id| self.is_unused(id));
            if let Some(id) = unused.filter(|_| self.paid.is_some()) {
                self.broken("a good payment is never refused", &format!("{text}, {id} is unused"));
            }
        }
    }

    fn is_unused(&self, id: &groat_core::PaymentId) -> bool {
        self.evidence.sales.get(id).is_none_or(|sale| {
            matches!(
                sale.state,
                SaleState::Released | SaleState::Held { .. } | SaleState::Paid { started: false, .. }
            )
        })
    }

    /// A thief gets what the payer gets for the same bytes, or nothing. Who takes hashes from everybody cannot keep that.
    fn thieves(&self) {
        let own: BTreeSet<u64> =
            self.outlay.shows.iter().filter(|show| show.by_payer).map(|show| show.print).collect();
        for (show, told, _) in self.told().filter(|(show, told, _)| !show.by_payer && told.credit().is_some())
        {
            if own.contains(&show.print) {
                continue;
            }
            let text = || format!("{} got {:?} for {}", show.route.path(), told.body, self.name());
            if self.outlay.tongue == Tongue::Hash && !self.evidence.world.wares.bound {
                self.evidence.world.stage.gap("an unsigned hash bought something for a thief", text);
            } else {
                self.broken("a thief gets nothing", &text());
            }
        }
    }

    /// Every payment that was taken is on the chain, once, and ends.
    fn books(&self) {
        for (count, id) in self.outlay.ids.iter().enumerate() {
            let settlement = self.evidence.settlements.get(id);
            let sale = self.evidence.sales.get(id);
            let text = || {
                format!(
                    "payment {count}: {:?}, {:?}",
                    settlement.map(|one| &one.state),
                    sale.map(|one| &one.state)
                )
            };
            if let Some(record) = settlement {
                let is_it = matches!(&record.state, SettlementState::Settled(settled) if settled.transaction == self.name());
                if !is_it || self.paid.is_none() {
                    self.broken("settled is on the chain", &text());
                }
                if sale.is_none() {
                    self.broken("nothing is taken without a sale", &text());
                }
            }
            match sale.map(|sale| &sale.state) {
                Some(SaleState::Done { receipt, .. } | SaleState::Paid { receipt, .. }) => {
                    let named = receipt.transaction.as_deref() == Some(&self.name());
                    if !named || self.paid.is_none() || settlement.is_none() {
                        self.broken("a sale that is paid is paid on the chain", &text());
                    }
                }
                Some(SaleState::Held { .. } | SaleState::Served { .. }) => {
                    self.broken("every hold ends", &text())
                }
                Some(SaleState::Withheld { .. }) => self.broken("who has paid is served or owed", &text()),
                Some(SaleState::Released) | None => {}
            }
        }
    }
}
