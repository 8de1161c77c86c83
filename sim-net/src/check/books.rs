//! What the books say, compared with the chain and with each other.

use groat_chain_evm::account;
use groat_core::books::{Aggregate, Sale, SaleState, Settlement, SettlementState};

use super::Evidence;
use crate::chain::Transfer;
use crate::notebook::Deal;
use crate::world::PAYEES;

pub(super) fn check(evidence: &Evidence<'_>) {
    for (ledger, records) in evidence.settlements.iter().enumerate() {
        for record in records.values() {
            match evidence.deal(&record.id) {
                Some(deal) => settlement(evidence, deal, ledger, record),
                None => evidence.world.stage.broken("no record without a payment", &record.id.to_string()),
            }
        }
    }
    for (seller, records) in evidence.sales.iter().enumerate() {
        for record in records.values() {
            match evidence.deal(&record.id) {
                Some(deal) => sale(evidence, deal, seller, record),
                None => evidence.world.stage.broken("no record without a payment", &record.id.to_string()),
            }
        }
    }
}

fn settlement(evidence: &Evidence<'_>, deal: &Deal, ledger: usize, record: &Settlement) {
    let stage = &evidence.world.stage;
    stage.count(match record.state {
        SettlementState::Settled(ref settled) if settled.by_other => "settlement: settled by a stranger",
        SettlementState::Settled(_) => "settlement: settled",
        SettlementState::Failed { .. } => "settlement: failed",
        SettlementState::Released => "settlement: released",
        SettlementState::Submitted { .. } => "settlement: open",
    });
    let transfer = evidence.transfer(deal);
    let on_chain = transfer.map(|moved| moved.transaction.to_string());
    let text = || format!("{} is {}, on chain {transfer:?}", deal.id, record.state());
    let ours =
        transfer.is_some_and(|moved| Some(&moved.sender) == evidence.world.chain.signers().get(ledger));
    match &record.state {
        SettlementState::Settled(settled) if Some(&settled.transaction) == on_chain.as_ref() => {}
        SettlementState::Settled(_) => evidence.broken(deal, "settled is on the chain", &text()),
        SettlementState::Submitted { .. } => {
            stage.broken("every settlement ends", &text());
        }
        SettlementState::Failed { .. } | SettlementState::Released if ours => {
            evidence.broken(deal, "failed is never on the chain", &text());
        }
        SettlementState::Failed { .. } | SettlementState::Released => {}
    }
}

/// Whether money moved to this seller, by one of ours.
fn is_charged(evidence: &Evidence<'_>, seller: usize, transfer: Option<&Transfer>) -> bool {
    transfer.is_some_and(|moved| {
        Some(moved.to) == account::parse(PAYEES[seller]) && evidence.world.chain.is_ours(moved.sender)
    })
}

fn sale(evidence: &Evidence<'_>, deal: &Deal, seller: usize, record: &Sale) {
    let stage = &evidence.world.stage;
    stage.count(match record.state {
        SaleState::Held { .. } => "sale: held",
        SaleState::Served { .. } => "sale: served",
        SaleState::Paid { .. } => "sale: paid",
        SaleState::Done { .. } => "sale: done",
        SaleState::Withheld { .. } => "sale: withheld",
        SaleState::Released => "sale: released",
    });
    let transfer = evidence.transfer(deal);
    let on_chain = transfer.map(|moved| moved.transaction.to_string());
    let ours = is_charged(evidence, seller, transfer);
    let text = || format!("{} is {} at seller {seller}, on chain {transfer:?}", deal.id, record.state());
    match &record.state {
        SaleState::Done { receipt, .. } | SaleState::Paid { receipt, .. } => {
            let to_us = transfer.is_some_and(|moved| Some(moved.to) == account::parse(PAYEES[seller]));
            if receipt.transaction.is_none() || receipt.transaction != on_chain || !to_us {
                evidence.broken(deal, "a sale that is paid is paid on the chain", &text());
            }
        }
        SaleState::Withheld { .. } | SaleState::Released if ours => {
            evidence.broken(deal, "who is charged is served or owed", &text());
        }
        SaleState::Withheld { .. } | SaleState::Released => {}
        SaleState::Held { .. } => evidence.open(deal, "every hold ends", &text()),
        // An answer lies ready, and nobody was charged or asks for it any more.
        SaleState::Served { .. } if !ours => stage.gap("served, unpaid and never asked for again", text),
        SaleState::Served { .. } => evidence.open(deal, "every hold ends", &text()),
    }
}
