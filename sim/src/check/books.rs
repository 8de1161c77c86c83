//! What the books say, compared with the chain and with each other.

use groat_core::books::{Aggregate, Sale, SaleState, Settlement, SettlementState};

use super::Evidence;
use crate::chain::{Account, hash_text};
use crate::notebook::Deal;

pub(super) fn check(evidence: &Evidence<'_>) {
    let settlements = evidence.settlements.values().filter(|record| !evidence.is_direct(&record.id));
    for record in settlements {
        match evidence.deal(&record.id) {
            Some(deal) => settlement(evidence, deal, record),
            None => evidence.world.stage.broken("no record without a payment", record.id.to_string()),
        }
    }
    for record in evidence.sales.values().filter(|record| !evidence.is_direct(&record.id)) {
        match evidence.deal(&record.id) {
            Some(deal) => sale(evidence, deal, record),
            None => evidence.world.stage.broken("no record without a payment", record.id.to_string()),
        }
    }
}

fn settlement(evidence: &Evidence<'_>, deal: &Deal, record: &Settlement) {
    let stage = &evidence.world.stage;
    stage.count(match record.state {
        SettlementState::Settled(ref settled) if settled.by_other => "settlement: settled by a stranger",
        SettlementState::Settled(_) => "settlement: settled",
        SettlementState::Failed { .. } => "settlement: failed",
        SettlementState::Released => "settlement: released",
        SettlementState::Submitted { .. } => "settlement: open",
    });
    let transfer = evidence.transfer(&deal.authorization.id());
    let on_chain = transfer.map(|transfer| hash_text(transfer.hash));
    let text = || format!("{} is {}, on chain {on_chain:?}", deal.id, record.state());
    match (&record.state, transfer) {
        (SettlementState::Settled(settled), _) if Some(&settled.transaction) == on_chain.as_ref() => {}
        // Reorganisations are followed until blocks are final.
        (SettlementState::Settled(_), _) => stage.broken("settled is on the chain", text()),
        (SettlementState::Submitted { .. }, _) => {
            stage.broken("every settlement ends", text());
        }
        (SettlementState::Failed { .. } | SettlementState::Released, Some(transfer)) => {
            if transfer.sender == Account::GAS {
                stage.broken("failed is never on the chain", text());
            } else {
                stage.gap("a stranger paid after a refusal", text);
            }
        }
        (SettlementState::Failed { .. } | SettlementState::Released, None) => {}
    }
}

fn sale(evidence: &Evidence<'_>, deal: &Deal, record: &Sale) {
    let stage = &evidence.world.stage;
    stage.count(match record.state {
        SaleState::Held { .. } => "sale: held",
        SaleState::Served { .. } => "sale: served",
        SaleState::Paid { .. } => "sale: paid",
        SaleState::Done { .. } => "sale: done",
        SaleState::Withheld { .. } => "sale: withheld",
        SaleState::Released => "sale: released",
    });
    let transfer = evidence.transfer(&deal.authorization.id());
    let on_chain = transfer.map(|transfer| hash_text(transfer.hash));
    let ours = transfer.is_some_and(|transfer| transfer.sender == Account::GAS);
    let text = || format!("{} is {}, on chain {on_chain:?}", deal.id, record.state());
    match &record.state {
        SaleState::Done { receipt, .. } | SaleState::Paid { receipt, .. } => {
            if receipt.transaction.is_none() || receipt.transaction != on_chain {
                evidence.broken(deal, "a sale that is paid is paid on the chain", text());
            }
        }
        SaleState::Released if ours && !evidence.world.together => {
            evidence.broken(deal, "nothing under way is released", text());
        }
        SaleState::Withheld { .. } | SaleState::Released if ours => {
            evidence.broken(deal, "who is charged is served or owed", text());
        }
        SaleState::Withheld { .. } | SaleState::Released => {}
        SaleState::Held { .. } => stage.broken("every hold ends", text()),
        // An answer lies ready, and nobody was charged or asks for it any more.
        SaleState::Served { .. } if !ours => stage.gap("served, unpaid and never asked for again", text),
        SaleState::Served { .. } => evidence.broken(deal, "every hold ends", text()),
    }
}
