//! What the chain says: nothing is moved twice, nothing appears, nothing vanishes.

use std::collections::BTreeMap;

use groat_core::books::SettlementState;

use super::Evidence;
use crate::chain::{Account, Way, hash_text};

pub(super) fn check(evidence: &Evidence<'_>) {
    once(evidence);
    conserved(evidence);
    recorded(evidence);
    wishes(evidence);
}

fn once(evidence: &Evidence<'_>) {
    let mut counts = BTreeMap::new();
    for transfer in &evidence.ledger.transfers {
        *counts.entry(transfer.authorization.id()).or_insert(0_u32) += 1;
    }
    for (authorization, count) in counts.into_iter().filter(|(_, count)| *count > 1) {
        evidence.world.stage.broken("one payment moves money once", format!("{authorization:?}: {count}"));
    }
}

fn conserved(evidence: &Evidence<'_>) {
    let genesis: u64 = evidence.world.chain.genesis().balances.values().sum();
    let now: u64 = evidence.ledger.balances.values().sum();
    let transfers = evidence.ledger.transfers.iter();
    let credits: u64 = transfers
        .filter(|transfer| transfer.authorization.to == Account::SHOP)
        .map(|transfer| transfer.authorization.value)
        .sum();
    let direct = |to: Account| -> u64 {
        let ways = evidence.ledger.direct.values().map(|direct| &direct.way);
        ways.filter(|way| way.payee() == to).map(Way::value).sum()
    };
    let of_shop = credits + direct(Account::SHOP) == evidence.ledger.balance(Account::SHOP);
    let of_manager = direct(Account::MANAGER) == evidence.ledger.balance(Account::MANAGER);
    if genesis != now || !of_shop || !of_manager {
        evidence.world.stage.broken("value is conserved", format!("{genesis} {now} {credits}"));
    }
}

/// Whatever we have sent is in the book, as settled by exactly this transaction.
fn recorded(evidence: &Evidence<'_>) {
    for transfer in evidence.ledger.transfers.iter().filter(|transfer| transfer.sender == Account::GAS) {
        let id = transfer.authorization.id();
        let Some(deal) = evidence.deals.iter().find(|deal| deal.authorization.id() == id) else {
            evidence.world.stage.broken("no money without a payment", format!("{id:?}"));
            continue;
        };
        let transaction = hash_text(transfer.hash);
        match evidence.settlements.get(&deal.id).map(|record| &record.state) {
            Some(SettlementState::Settled(settled)) if settled.transaction == transaction => {}
            other => {
                let text = format!("{} by {transaction}: {other:?}", deal.id);
                evidence.world.stage.broken("no money without its record", text);
            }
        }
    }
}

/// A buyer that signs again only after a refusal pays once for one wish.
fn wishes(evidence: &Evidence<'_>) {
    let mut charged: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for deal in &evidence.deals {
        if evidence.transfer(&deal.authorization.id()).is_some() {
            charged.entry(deal.wish).or_default().push(deal);
        }
    }
    for (wish, deals) in charged.into_iter().filter(|(_, deals)| deals.len() > 1) {
        // Who sends a payment elsewhere, or is overtaken by a stranger, has a charge that nobody here can prevent.
        if !deals.iter().any(|deal| deal.misused || deal.meddled) {
            let text = format!("wish {wish}: {:?}", deals.iter().map(|deal| deal.id).collect::<Vec<_>>());
            let shaken = deals.iter().find(|deal| evidence.world.chain.is_shaken(&deal.authorization.id()));
            let released = deals.iter().any(|deal| deal.was_released());
            let rule = if released { "a release that was told is final" } else { "one wish is charged once" };
            evidence.broken(shaken.unwrap_or(&deals[0]), rule, text);
        }
    }
}
