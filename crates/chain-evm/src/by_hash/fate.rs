//! What became of a transaction that was signed here: in a block, dead because another took its nonce, or still to come.

use alloy_primitives::{Bytes, U64};
use groat_core::ports::Fate;
use groat_core::{Fault, Payment, Reason};

use super::Proof;
use super::payer::seen;
use crate::{Chain, transaction};

/// Another transaction with the same nonce must lie so many blocks deep before ours is dead: a chain may change its mind about
/// its newest blocks, and of several nodes behind one address some are behind others.
const DEPTH: u64 = 10;

/// Dead is only what failed, or what can certainly get into no block any more. Whatever cannot be told is open.
pub(crate) async fn fate(chain: &Chain, payment: &Payment) -> Result<Fate, Fault> {
    let Ok(Proof { hash, .. }) = Proof::read(&payment.proof) else {
        return Ok(Fate::Open { transaction: None });
    };
    // Counted first: should it get into a block meanwhile, it has a receipt afterwards.
    let is_replaced = is_replaced(chain, payment).await?;
    match chain.rpc().receipt(hash).await? {
        Some(receipt) if receipt.status.to::<bool>() => Ok(Fate::Paid(Some(seen(payment, &receipt)))),
        Some(_) => Ok(Fate::Dead(Reason::TransactionFailed)),
        None if is_replaced => Ok(Fate::Dead(Reason::from_code("transaction_replaced"))),
        None => Ok(Fate::Open { transaction: Some(hash.to_string()) }),
    }
}

/// Whether a block that will stay has spent its nonce.
async fn is_replaced(chain: &Chain, payment: &Payment) -> Result<bool, Fault> {
    let raw = payment.proof.get("raw").and_then(|raw| raw.as_str()?.parse::<Bytes>().ok());
    let Some((from, nonce)) = raw.and_then(|raw| transaction::sender(&raw)) else { return Ok(false) };
    let head = chain.rpc().head().await?.number.to::<u64>();
    let Some(deep) = head.checked_sub(DEPTH) else { return Ok(false) };
    let count = chain.rpc().try_ask::<_, U64>("eth_getTransactionCount", (from, U64::from(deep))).await?;
    Ok(count.is_ok_and(|count| count.to::<u64>() > nonce))
}

/// Nothing will be sent with its nonce.
pub(crate) fn discard(chains: &[Chain], payment: &Payment) {
    let chain = chains.iter().find(|chain| *chain.network() == payment.network);
    let raw = payment.proof.get("raw").and_then(|raw| raw.as_str()?.parse::<Bytes>().ok());
    if let (Some(chain), Some((from, nonce))) = (chain, raw.and_then(|raw| transaction::sender(&raw))) {
        chain.free_nonce(from, nonce);
    }
}
