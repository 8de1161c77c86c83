//! Schemes whose payers have paid before they show it, on the model chain: by the hash of a transaction, and by a
//! signed proof that names one.

mod by_hash;
mod by_proof;

use std::time::Duration;

use groat_core::books::{Mined, Settled};
use groat_core::{Depth, Failure, Fault as Trouble, Reason, Refusal};
use tokio::time::Instant;

use crate::chain::{Block, Direct, Receipt, hash_text};
use crate::node::Node;

pub(crate) use by_hash::{ByHash, NATIVE, binding, service_terms};
pub(crate) use by_proof::{ByProof, sign_proof};

/// How old a payment by hash may be when it is shown.
pub(crate) const AGE_S_MAX: u64 = 120;
/// How long a transaction that the node knows is waited for.
const WAIT_MAX: Duration = Duration::from_secs(6);
/// How long one that it has never heard of.
const WAIT_UNKNOWN: Duration = Duration::from_secs(2);
/// No reorganisation goes deeper.
const DEPTH_FINAL: u64 = 6;

/// A hash as proofs write it, in any case.
pub(crate) fn parse_hash(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    u64::from_str_radix(digits, 16).ok()
}

pub(crate) fn refused(reason: Reason, hash: u64) -> Failure {
    Refusal { transaction: Some(hash_text(hash)), ..reason.into() }.into()
}

fn pending(hash: u64) -> Failure {
    Trouble::Pending { transaction: Some(hash_text(hash)) }.into()
}

/// A transaction in a block: what the block says of it, and what it paid if it went through.
struct Found {
    receipt: Receipt,
    paid: Option<Direct>,
}

impl Found {
    fn settled(&self, hash: u64) -> Settled {
        Settled {
            transaction: hash_text(hash),
            block: self.receipt.block,
            block_hash: format!("{:#x}", self.receipt.block_hash),
            by_other: true,
        }
    }
}

/// Looks for a transaction, and waits for it for a while. What is not in a block is pending, never refused.
async fn find(node: &Node, hash: u64) -> Result<Found, Failure> {
    let begun = Instant::now();
    loop {
        let lag = node.lag();
        let seen = node.ask(lag).await?;
        if let Some(receipt) = seen.after.receipts.get(&hash).copied() {
            // The block is asked for by itself, and may be another by now.
            let later = node.ask(lag).await?;
            return match later.after.receipts.get(&hash) {
                Some(same) if same.block_hash == receipt.block_hash => {
                    Ok(Found { receipt, paid: later.after.direct.get(&hash).cloned() })
                }
                _ => Err(pending(hash)),
            };
        }
        let limit = if node.chain.is_waiting(hash) { WAIT_MAX } else { WAIT_UNKNOWN };
        let Some(left) = limit.checked_sub(begun.elapsed()) else { return Err(pending(hash)) };
        // A block or a second, whichever comes first.
        let _ = tokio::time::timeout(left.min(Duration::from_secs(1)), node.chain.news()).await;
        node.life.step().await;
    }
}

/// How deep a block lies.
async fn depth(node: &Node, mined: &Mined) -> Result<Depth, Trouble> {
    let seen: Block = node.ask(node.lag()).await?;
    let there = parse_hash(&mined.transaction).and_then(|hash| seen.after.receipts.get(&hash));
    let is_there = there.is_some_and(|there| format!("{:#x}", there.block_hash) == mined.block_hash);
    let is_final = is_there && seen.number >= mined.block + DEPTH_FINAL;
    let confirmations = if is_there { seen.number.max(mined.block) - mined.block + 1 } else { 0 };
    Ok(Depth { confirmations, safe: is_final, finalized: is_final })
}
