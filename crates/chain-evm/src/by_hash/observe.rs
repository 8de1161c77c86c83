//! The facilitator's half: find the transaction, and judge what it carries.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use groat_core::books::{Mined, Settled};
use groat_core::ports::{Mechanism, Observer, Seen};
use groat_core::{Claim, Depth, Failure, Fault, Network, Offer, Payment, Reason, Refusal, Timestamp};
use serde::Deserialize;
use tokio::time::Instant;

use super::event::{Envelope, made, needs_envelope};
use super::{ByHashEvm, Proof, binding};
use crate::rpc::{Block, TxReceipt};
use crate::{Chain, account};

/// How long a transaction that the node knows is waited for.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long one that it has never heard of: the payer's node may be faster than ours.
const WAIT_UNKNOWN: Duration = Duration::from_secs(3);
/// How old a payment may be when it is shown (threat row B18).
const AGE_S_MAX: u64 = 900;

/// A transaction, mined or not.
#[derive(Debug, Clone, Deserialize)]
struct Transaction {
    from: Address,
    #[serde(default)]
    to: Option<Address>,
    value: U256,
}

#[async_trait]
impl Observer for ByHashEvm {
    async fn ready(&self) -> Vec<Network> {
        self.chains.iter().map(|chain| chain.network().clone()).collect()
    }

    async fn observe(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Seen, Failure> {
        let proof = Proof::read(&payment.proof)?;
        let chain = self.chain(&offer.network)?;
        let (receipt, block) = find(chain, proof.hash).await?;
        if !receipt.status.to::<bool>() {
            return Err(refused(Reason::TransactionFailed, proof.hash));
        }
        let envelope = match needs_envelope(offer)? {
            true => Some(envelope(chain, proof.hash).await?),
            false => None,
        };
        let made = made(offer, envelope.as_ref(), &receipt.logs, proof.count)?;
        let made = made.ok_or_else(|| refused(Reason::TransferEventMismatch, proof.hash))?;
        if let Some(reason) = made.misfit {
            return Err(refused(reason, proof.hash));
        }
        let valid_until = Timestamp(block.timestamp.to::<u64>()).plus(AGE_S_MAX);
        if valid_until < now {
            return Err(refused(Reason::Expired, proof.hash));
        }
        binding::check(chain, payment, offer, made.payer).await?;
        let (key, _) = self.key(payment, offer)?;
        Ok(Seen {
            claim: Claim {
                key,
                network: offer.network.clone(),
                asset: offer.asset.clone(),
                payer: account::text(made.payer),
                pay_to: offer.pay_to.clone(),
                // Whoever pays more has paid this.
                amount: offer.amount,
                valid_from: Timestamp(0),
                valid_until,
                alone: false,
                funds: None,
            },
            settled: Settled {
                transaction: proof.hash.to_string(),
                block: block.number.to(),
                block_hash: block.hash.to_string(),
                by_other: true,
            },
        })
    }

    async fn depth(&self, network: &Network, mined: &Mined) -> Result<Depth, Fault> {
        let chain = self.chain(network).map_err(|_| Fault::unavailable("chain", "no node is set"))?;
        chain.depth(mined).await
    }

    async fn has(&self, network: &Network, mined: &Mined) -> Result<Option<bool>, Fault> {
        let chain = self.chain(network).map_err(|_| Fault::unavailable("chain", "no node is set"))?;
        chain.has(mined).await
    }
}

impl ByHashEvm {
    pub(super) fn chain(&self, network: &Network) -> Result<&Chain, Reason> {
        self.chains.iter().find(|chain| chain.network() == network).ok_or(Reason::InvalidNetwork)
    }
}

/// What a transaction says of itself.
async fn envelope(chain: &Chain, hash: B256) -> Result<Envelope, Fault> {
    let transaction: Option<Transaction> = chain.rpc().ask("eth_getTransactionByHash", (hash,)).await?;
    let missing = || Fault::garbled("chain", "a transaction has a receipt and is not there");
    let Transaction { from, to, value } = transaction.ok_or_else(missing)?;
    Ok(Envelope { from, to, value })
}

/// The receipt and its block, waited for. What is not in a block of the chain is pending, never refused.
pub(crate) async fn find(chain: &Chain, hash: B256) -> Result<(TxReceipt, Block), Failure> {
    let begun = Instant::now();
    let (mut is_known, mut place) = (false, None);
    loop {
        let head = chain.newest();
        if let Some(receipt) = chain.rpc().receipt(hash).await? {
            let block = chain.rpc().block(receipt.block_number.to()).await?;
            if let Some(block) = block.filter(|block| block.hash == receipt.block_hash) {
                return Ok((receipt, block));
            }
            // A reorganisation is under way, or two nodes have answered: the next look tells.
            is_known = true;
        }
        if !is_known {
            let known: Option<serde_json::Value> =
                chain.rpc().ask("eth_getTransactionByHash", (hash,)).await?;
            is_known = known.is_some();
        }
        let pending = || Fault::Pending { transaction: Some(hash.to_string()) };
        place = match (is_known, place) {
            (true, _) => None,
            (false, Some(place)) => Some(place),
            (false, None) => Some(chain.stranger().ok_or_else(pending)?),
        };
        let limit = if is_known { WAIT_MAX } else { WAIT_UNKNOWN };
        let Some(left) = limit.checked_sub(begun.elapsed()) else {
            return Err(pending().into());
        };
        chain.wait_block(head, left.min(Duration::from_secs(1))).await;
    }
}

fn refused(reason: Reason, hash: B256) -> Failure {
    Refusal { transaction: Some(hash.to_string()), ..reason.into() }.into()
}
