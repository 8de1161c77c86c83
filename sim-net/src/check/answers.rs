//! What buyers were told and what handlers did.

use std::collections::BTreeSet;

use http::StatusCode;

use super::Evidence;
use crate::buyer::End;
use crate::notebook::{Deal, Run};

pub(super) fn check(evidence: &Evidence<'_>) {
    for deal in &evidence.deals {
        answers(evidence, deal);
        if deal.end == Some(End::Unknown) {
            let told = deal.answers.last().map(|(_, told)| &told.error);
            let text = format!("{}: {told:?}", deal.id);
            if deal.misused || deal.varied {
                evidence.world.stage.gap("a payment for two things is never told its end", || text);
            } else {
                evidence.open(deal, "in peace every outcome becomes known", &text);
            }
        }
        if deal.end == Some(End::Refused) && !deal.misused {
            refusals(evidence, deal);
        }
    }
    runs(evidence);
}

/// One payment buys one run (invariant I2): with side effects at most one that came to an end, ever.
fn runs(evidence: &Evidence<'_>) {
    for ((seller, id), runs) in evidence.world.notebook.runs() {
        let Some(deal) = evidence.deal(&id) else {
            evidence.world.stage.broken("no run without a payment", &id.to_string());
            continue;
        };
        for (index, (route, _)) in runs.iter().enumerate() {
            for earlier in &runs[..index] {
                let text = format!("{id} {} at seller {seller} after {earlier:?}", route.path());
                match earlier.1 {
                    // A run without side effects may be done again when its answer was lost in a crash.
                    _ if route.is_safe() && earlier.0 == *route => {}
                    _ if route.pays_first() && earlier.0 == *route => {
                        evidence.broken(deal, "one payment, one run with side effects", &text);
                    }
                    Run::CutOff | Run::Answered(200) if earlier.0 == *route => {
                        evidence.broken(deal, "a run cut off is not repeated", &text);
                    }
                    // It failed and was free, so it may be tried again.
                    _ => {}
                }
            }
        }
    }
}

fn answers(evidence: &Evidence<'_>, deal: &Deal) {
    let stage = &evidence.world.stage;
    let on_chain = evidence.transfer(deal).map(|moved| moved.transaction.to_string());
    let (mut bodies, mut routes) = (BTreeSet::new(), BTreeSet::new());
    for (route, told) in &deal.answers {
        if told.is_from_handler() && told.settled().is_none() && (route.pays_first() || told.is_served()) {
            stage.broken("nothing is served unpaid", &format!("{} {told:?}", deal.id));
        }
        if let Some(receipt) = told.settled()
            && receipt.transaction != on_chain
        {
            let text = format!("{} was told {:?}, on chain {on_chain:?}", deal.id, receipt.transaction);
            evidence.broken(deal, "a receipt is a transfer on the chain", &text);
        }
        if told.is_served() {
            bodies.insert(&told.body);
            routes.insert(*route);
        }
    }
    let owed = deal.answers.iter().any(|(_, told)| told.error == "refund_due");
    if owed && !bodies.is_empty() {
        let text = format!("{} was served and told of a refund", deal.id);
        stage.broken("the answer given is the answer kept", &text);
    }
    if bodies.len() > 1 {
        stage.broken("the same request has the same answer", &format!("{} {bodies:?}", deal.id));
    }
    if routes.len() > 1 {
        stage.broken("one payment, one resource", &format!("{} {routes:?}", deal.id));
    }
}

/// Who was refused may sign again: then the first payment must never move money (invariant I6).
fn refusals(evidence: &Evidence<'_>, deal: &Deal) {
    let Some(transfer) = evidence.transfer(deal) else { return };
    let told =
        deal.answers.iter().rev().find(|(_, told)| told.status == StatusCode::PAYMENT_REQUIRED.as_u16());
    let text = format!("{} was refused with `{}`", deal.id, told.map_or("", |(_, told)| &told.error));
    if evidence.world.chain.is_ours(transfer.sender) {
        let rule =
            if deal.was_released() { "a release that was told is final" } else { "refused is never charged" };
        evidence.broken(deal, rule, &text);
    } else {
        evidence.world.stage.gap("a stranger paid after a refusal", || text);
    }
}
