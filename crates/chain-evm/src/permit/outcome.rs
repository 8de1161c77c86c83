//! What became of a permit, by the chain alone: receipts of ours, then what the till says, then its events.
//!
//! The till's code is known, because its address follows from it. So its word counts: it says "paid" only after the payee had
//! the money. Who has brought the permit does not matter (threat rows E09, E25).

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolEvent;
use groat_core::books::{Attempt, Settled, Settlement};
use groat_core::ports::{Look, Outcome};
use groat_core::{Fault, Reason};
use serde_json::json;

use super::look::{Nonce, Seen, look as ask};
use super::till::Till;
use super::{Permit, PermitKind, Taking};
use crate::chain::{Chain, LogsBack};
use crate::exact::abi::Eip3009;
use crate::exact::outcome::{is_ours, mined, mismatch, seen};
use crate::rpc::{Log, TxReceipt};

/// A payment from the book, read again.
#[derive(Debug, Clone)]
pub(super) struct Rider {
    pub(super) permit: Permit,
    pub(super) till: Address,
    pub(super) payee: Address,
}

impl Rider {
    pub(super) fn read(settlement: &Settlement) -> Result<Self, Fault> {
        let unreadable = |_| Fault::garbled("store", "a payment in the book cannot be read");
        let Taking { till, payee, .. } = Taking::of(&settlement.offer).map_err(unreadable)?;
        Ok(Self { permit: Permit::read(&settlement.payment.proof).map_err(unreadable)?, till, payee })
    }

    fn event(&self) -> B256 {
        match self.permit.kind {
            PermitKind::Permit2 => Till::PaidByPermit2::SIGNATURE_HASH,
            PermitKind::Eip2612 => Till::PaidByPermit::SIGNATURE_HASH,
        }
    }
}

/// Receipts of our own transactions first, then the state, then the events.
pub(super) async fn look(chain: &Chain, rider: &Rider, attempts: &[Attempt]) -> Result<Look, Fault> {
    let mut is_first = true;
    loop {
        let receipt = mined(chain, attempts).await?;
        if let Some(receipt) = &receipt
            && let Some(outcome) = judge_receipt(receipt, rider)
        {
            return Ok(seen(Some(receipt), vec![outcome], receipt.block_number.to::<u64>()));
        }
        let state = ask(chain, rider.till, &rider.permit).await?;
        // Most likely a block came between the two questions, and receipts say it for much less than logs.
        if std::mem::take(&mut is_first) && receipt.is_none() && state.paid == Some(true) {
            continue;
        }
        let outcome = rest(chain, rider, receipt.as_ref(), &state).await?;
        return Ok(seen(receipt.as_ref(), vec![outcome], state.facts.number));
    }
}

/// What the till and the chain's clock say beyond the receipts.
async fn rest(
    chain: &Chain,
    rider: &Rider,
    receipt: Option<&TxReceipt>,
    state: &Seen,
) -> Result<Outcome, Fault> {
    let transaction = receipt.map(|receipt| receipt.transaction_hash.to_string());
    match state.paid {
        Some(true) => return foreign(chain, rider).await,
        Some(false) => {}
        None => return Err(Fault::garbled("chain", "the till does not tell what it has taken")),
    }
    // Spent elsewhere or for nothing: Permit2 never takes it again. A token may still allow what was signed.
    if rider.permit.kind == PermitKind::Permit2 && state.nonce == Nonce::Spent {
        return Ok(Outcome::Failed { reason: Reason::NonceAlreadyUsed, transaction });
    }
    // A dead permit is dead by the chain's clock, not by ours; the till takes none after its deadline.
    if state.facts.time > rider.permit.deadline {
        return Ok(Outcome::Failed { reason: Reason::Expired, transaction });
    }
    Ok(match transaction {
        Some(transaction) => Outcome::Reverted { transaction },
        None => Outcome::Unknown,
    })
}

/// Paid, but not by a receipt of ours: the till's event leads to the transaction.
async fn foreign(chain: &Chain, rider: &Rider) -> Result<Outcome, Fault> {
    let permit = &rider.permit;
    let topics =
        json!([rider.event(), permit.owner.into_word(), permit.nonce_topic(), permit.token.into_word()]);
    let mut back = LogsBack::new(chain, rider.till, topics).await?;
    while let Some(logs) = back.next().await? {
        for hash in logs.iter().filter_map(|log| log.transaction_hash) {
            let Some(receipt) = chain.rpc().receipt(hash).await? else { continue };
            return Ok(match judge_receipt(&receipt, rider) {
                Some(Outcome::Landed(settled)) => {
                    Outcome::Landed(Settled { by_other: !is_ours(chain, &receipt), ..settled })
                }
                Some(other) => other,
                None => continue,
            });
        }
    }
    // The state says paid and the events are out of reach: not known, which is never the same as failed.
    Ok(Outcome::Unknown)
}

/// The till says that this permit was taken, and the token that this sum went from the owner to the payee just before
/// (threat row E27). `None` when the till says nothing.
pub(super) fn judge_receipt(receipt: &TxReceipt, rider: &Rider) -> Option<Outcome> {
    let permit = &rider.permit;
    let topics = [rider.event(), permit.owner.into_word(), permit.nonce_topic(), permit.token.into_word()];
    let is_till = |log: &Log| log.address == rider.till;
    let at = receipt.logs.iter().position(|log| is_till(log) && log.topics == topics)?;
    if receipt.status.to::<u64>() != 1 {
        return None;
    }
    let amount = permit.amount.to_be_bytes::<32>();
    let moved = |log: &&Log| {
        log.address == permit.token
            && log.topics
                == [Eip3009::Transfer::SIGNATURE_HASH, permit.owner.into_word(), rider.payee.into_word()]
            && log.data.as_ref() == amount
    };
    // What lies before another event of the till belongs to that one.
    let of_this = receipt.logs[..at].iter().rev().take_while(|log| !is_till(log)).find(moved);
    if of_this.is_none() || receipt.logs[at].data.as_ref() != amount {
        return Some(mismatch(receipt));
    }
    Some(Outcome::Landed(Settled {
        transaction: receipt.transaction_hash.to_string(),
        block: receipt.block_number.to::<u64>(),
        block_hash: receipt.block_hash.to_string(),
        by_other: false,
    }))
}
