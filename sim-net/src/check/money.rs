//! What the chain says: nothing is moved twice, nothing appears, nothing vanishes, nothing is stuck.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use groat_chain_evm::account;
use groat_core::books::{Book, SettlementState};
use groat_core::ports::Store;
use serde_json::Value;

use super::Evidence;
use crate::buyer::purse;
use crate::chain::PURSE;
use crate::chain::outsider::ELSEWHERE;
use crate::world::{BUYERS, NETWORK, PAYEES, World};

pub(super) fn check(evidence: &Evidence<'_>) {
    once(evidence);
    conserved(evidence);
    recorded(evidence);
    wishes(evidence);
    for text in lanes(evidence.world) {
        evidence.world.stage.broken("no nonce gap outlives its payment", &text);
    }
}

fn once(evidence: &Evidence<'_>) {
    let mut counts = BTreeMap::new();
    for moved in &evidence.transfers {
        *counts.entry((moved.payer, moved.nonce)).or_insert(0_u32) += 1;
    }
    for (authorization, count) in counts.into_iter().filter(|(_, count)| *count > 1) {
        evidence.world.stage.broken("one payment moves money once", &format!("{authorization:?}: {count}"));
    }
}

/// Invariant I10, on the chain: what payees have is what was moved to them, and no dollar came or went.
fn conserved(evidence: &Evidence<'_>) {
    let dev = &evidence.world.chain.dev;
    let mut total: u64 = (0..BUYERS)
        .filter_map(purse)
        .chain([ELSEWHERE])
        .map(|account| dev.usdc_balance(account).saturating_to::<u64>())
        .sum();
    for payee in PAYEES.iter().filter_map(|payee| account::parse(payee)) {
        let balance: u64 = dev.usdc_balance(payee).saturating_to();
        let credits: u64 =
            evidence.transfers.iter().filter(|moved| moved.to == payee).map(|moved| moved.value).sum();
        if credits != balance {
            evidence.world.stage.broken("credits are transfers", &format!("{payee}: {credits} {balance}"));
        }
        total += balance;
    }
    if total != PURSE * BUYERS as u64 {
        evidence.world.stage.broken("value is conserved", &total.to_string());
    }
}

/// Whatever we have sent is in the book, as settled by exactly this transaction.
fn recorded(evidence: &Evidence<'_>) {
    for moved in &evidence.transfers {
        let Some(ledger) = evidence.world.chain.signers().iter().position(|it| *it == moved.sender) else {
            continue;
        };
        let deal = evidence.deals.iter().find(|deal| deal.payer == moved.payer && deal.nonce == moved.nonce);
        let Some(deal) = deal else {
            evidence.world.stage.broken("no money without a payment", &format!("{moved:?}"));
            continue;
        };
        let transaction = moved.transaction.to_string();
        match evidence.settlements[ledger].get(&deal.id).map(|record| &record.state) {
            Some(SettlementState::Settled(settled)) if settled.transaction == transaction => {}
            other => {
                let text = format!("{} by {transaction}: {other:?}", deal.id);
                evidence.broken(deal, "no money without its record", &text);
            }
        }
    }
}

/// A buyer that signs again only after a refusal pays once for one wish (invariant I12).
fn wishes(evidence: &Evidence<'_>) {
    let mut charged: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for deal in &evidence.deals {
        if evidence.transfer(deal).is_some() {
            charged.entry(deal.wish).or_default().push(deal);
        }
    }
    for (wish, deals) in charged.into_iter().filter(|(_, deals)| deals.len() > 1) {
        // Who sends a payment elsewhere, or is overtaken by a stranger, has a charge that nobody here can prevent.
        if deals.iter().any(|deal| deal.misused || deal.meddled) {
            continue;
        }
        let text = format!("wish {wish}: {:?}", deals.iter().map(|deal| deal.id).collect::<Vec<_>>());
        let shaken = deals.iter().find(|deal| evidence.world.chain.is_shaken(&deal.nonce));
        let released = deals.iter().any(|deal| deal.was_released());
        let rule = if released { "a release that was told is final" } else { "one wish is charged once" };
        evidence.broken(shaken.unwrap_or(&deals[0]), rule, &text);
    }
}

/// Signers with nonces that were given out and are not on the chain: they stop everything behind them (invariant I13).
pub(super) fn lanes(world: &World) -> Vec<String> {
    let mut gaps = Vec::new();
    for (disk, signer) in world.ledgers().zip(world.chain.signers()) {
        let key = format!("{NETWORK}/{}", account::text(*signer));
        let record = disk.store().get(Book::Lanes, &key).now_or_never().and_then(Result::ok).flatten();
        let next =
            record.and_then(|record| serde_json::from_str::<Value>(&record.body).ok()?.get("next")?.as_u64());
        let mined = world.chain.mined_count(*signer);
        if next.is_some_and(|next| next > mined) {
            gaps.push(format!("{signer}: next {next:?}, mined {mined}"));
        }
    }
    gaps
}
