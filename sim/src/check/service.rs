//! What buyers were told and what handlers did.

use std::collections::BTreeSet;

use http::StatusCode;

use super::Evidence;
use crate::buyer::End;
use crate::chain::{Account, hash_text};
use crate::notebook::{Deal, Run, Told};

pub(super) fn check(evidence: &Evidence<'_>) {
    for deal in &evidence.deals {
        answers(evidence, deal);
        if deal.end == Some(End::Unknown) {
            let told = deal.answers.last().map(|(_, told)| &told.error);
            let text = format!("{}: {told:?}", deal.id);
            if deal.misused || deal.varied {
                evidence.world.stage.gap("a payment for two things is never told its end", || text);
            } else {
                evidence.broken(deal, "in peace every outcome becomes known", text);
            }
        }
        if deal.end == Some(End::Refused) && !deal.misused {
            refusals(evidence, deal);
        }
    }
    for (id, runs) in evidence.world.notebook.runs() {
        if evidence.is_direct(&id) {
            continue;
        }
        let Some(deal) = evidence.deal(&id) else {
            evidence.world.stage.broken("no run without a payment", id.to_string());
            continue;
        };
        for (index, (route, _)) in runs.iter().enumerate().filter(|(_, (route, _))| !route.is_safe()) {
            for earlier in runs[..index].iter().filter(|earlier| earlier.0 == *route) {
                let text = format!("{id} {} after {earlier:?}", route.path());
                match earlier.1 {
                    _ if route.pays_first() => {
                        evidence.broken(deal, "one payment, one run with side effects", text);
                    }
                    Run::CutOff | Run::Answered(200) => {
                        evidence.broken(deal, "a run cut off is not repeated", text)
                    }
                    // It failed and was free, so it may be tried again.
                    Run::Dropped | Run::Answered(_) => {}
                }
            }
        }
    }
}

fn served(told: &Told) -> bool {
    told.is_served() && told.status == StatusCode::OK.as_u16()
}

fn answers(evidence: &Evidence<'_>, deal: &Deal) {
    let stage = &evidence.world.stage;
    let on_chain = evidence.transfer(&deal.authorization.id()).map(|transfer| hash_text(transfer.hash));
    let mut bodies = BTreeSet::new();
    let mut routes = BTreeSet::new();
    for (route, told) in &deal.answers {
        if told.is_served() && told.settled().is_none() && (route.pays_first() || served(told)) {
            stage.broken("nothing is served unpaid", format!("{} {told:?}", deal.id));
        }
        if let Some(receipt) = told.settled()
            && receipt.transaction != on_chain
        {
            let text = format!("{} was told {:?}, on chain {on_chain:?}", deal.id, receipt.transaction);
            evidence.broken(deal, "a receipt is a transfer on the chain", text);
        }
        if served(told) {
            bodies.insert(&told.body);
            routes.insert(route.path());
        }
    }
    let owed = deal.answers.iter().any(|(_, told)| told.error == "refund_due");
    if owed && !bodies.is_empty() {
        stage.broken(
            "the answer given is the answer kept",
            format!("{} was served and told of a refund", deal.id),
        );
    }
    if bodies.len() > 1 {
        let first = deal.answers.iter().all(|(route, told)| route.pays_first() || !served(told));
        let rule = if first { "the answer given is the answer kept" } else { "one payment, one answer" };
        stage.broken(rule, format!("{} {bodies:?}", deal.id));
    }
    if routes.len() > 1 {
        stage.broken("one payment, one resource", format!("{} {routes:?}", deal.id));
    }
}

/// Who was refused may sign again: then the first payment must never move money (invariant I6).
fn refusals(evidence: &Evidence<'_>, deal: &Deal) {
    let Some(transfer) = evidence.transfer(&deal.authorization.id()) else { return };
    let refusals = [StatusCode::PAYMENT_REQUIRED.as_u16(), StatusCode::BAD_REQUEST.as_u16()];
    let told = deal.answers.iter().rev().find(|(_, told)| refusals.contains(&told.status));
    let text = format!("{} was refused with `{}`", deal.id, told.map_or("", |(_, told)| &told.error));
    if transfer.sender == Account::GAS {
        let rule =
            if deal.was_released() { "a release that was told is final" } else { "refused is never charged" };
        evidence.broken(deal, rule, text);
    } else {
        evidence.world.stage.gap("a stranger paid after a refusal", || text);
    }
}
