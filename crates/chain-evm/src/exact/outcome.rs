//! What became of a payment, by the chain alone: receipts, then the authorization state, then the logs.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolEvent};
use groat_core::books::{Attempt, Settled};
use groat_core::ports::Outcome;
use groat_core::{Fault, Reason};
use serde_json::json;

use super::abi::Eip3009;
use super::proof::Authorization;
use crate::chain::Chain;
use crate::rpc::{Call, Log, TxReceipt};

/// Blocks per log query; hosted nodes refuse more (threat row C17).
const LOG_RANGE: u64 = 2_000;
/// How many ranges back a foreign submission is looked for.
const LOG_RANGES_MAX: u64 = 25;

/// Receipts of our own transactions first, then the state of the authorization, then the logs.
pub(super) async fn outcome(
    chain: &Chain,
    asset: Address,
    authorization: &Authorization,
    attempts: &[Attempt],
) -> Result<Outcome, Fault> {
    let mut reverted = None;
    for attempt in attempts {
        let hash: B256 = attempt
            .transaction
            .parse()
            .map_err(|_| Fault::garbled("store", "an attempt has no transaction hash"))?;
        match chain.rpc().receipt(hash).await? {
            None => {}
            Some(receipt) if receipt.status.to::<u64>() != 1 => reverted = Some(attempt.transaction.clone()),
            Some(receipt) => return Ok(judge_receipt(&receipt, asset, authorization)),
        }
    }
    let used = authorization_used(chain, asset, authorization).await?;
    if used {
        return foreign(chain, asset, authorization, reverted).await;
    }
    // A dead authorization is dead by the chain's clock, not by ours.
    let head = chain.rpc().head().await?;
    let expired = U256::from(head.timestamp.to::<u64>()) >= authorization.valid_before;
    Ok(match (expired, reverted) {
        (true, transaction) => Outcome::Failed { reason: Reason::Expired, transaction },
        (false, Some(transaction)) => Outcome::Reverted { transaction },
        (false, None) => Outcome::Unknown,
    })
}

async fn authorization_used(
    chain: &Chain,
    asset: Address,
    authorization: &Authorization,
) -> Result<bool, Fault> {
    let question =
        Eip3009::authorizationStateCall { authorizer: authorization.from, nonce: authorization.nonce }
            .abi_encode();
    let call = Call { from: None, to: asset, input: question.into(), gas: None, price: None };
    let answer = chain.rpc().call(&call).await?;
    answer
        .ok()
        .and_then(|data| Eip3009::authorizationStateCall::abi_decode_returns(&data).ok())
        .ok_or_else(|| Fault::garbled("chain", "the token does not tell the authorization state"))
}

/// Used, but not by a receipt of ours: somebody else submitted it, or the payer cancelled it (threat rows E09, E10).
async fn foreign(
    chain: &Chain,
    asset: Address,
    authorization: &Authorization,
    reverted: Option<String>,
) -> Result<Outcome, Fault> {
    let head = chain.rpc().head().await?.number.to::<u64>();
    let mut to = head;
    for _ in 0..LOG_RANGES_MAX {
        let from = to.saturating_sub(LOG_RANGE - 1);
        let logs = chain
            .rpc()
            .logs(json!({
                "address": asset,
                "fromBlock": format!("{from:#x}"),
                "toBlock": format!("{to:#x}"),
                "topics": [
                    [Eip3009::AuthorizationUsed::SIGNATURE_HASH, Eip3009::AuthorizationCanceled::SIGNATURE_HASH],
                    authorization.from.into_word(),
                    authorization.nonce,
                ],
            }))
            .await?;
        for log in logs.iter().filter(|log| log.address == asset) {
            if log.topics.first() == Some(&Eip3009::AuthorizationCanceled::SIGNATURE_HASH) {
                return Ok(Outcome::Failed { reason: Reason::NonceAlreadyUsed, transaction: reverted });
            }
            let Some(hash) = log.transaction_hash else { continue };
            let Some(receipt) = chain.rpc().receipt(hash).await? else { continue };
            return Ok(match judge_receipt(&receipt, asset, authorization) {
                Outcome::Landed(settled) => Outcome::Landed(Settled { by_other: true, ..settled }),
                other => other,
            });
        }
        if from == 0 {
            break;
        }
        to = from - 1;
    }
    // The state says used and the logs are out of reach: not known, which is never the same as failed.
    Ok(Outcome::Unknown)
}

/// Money moved as agreed only if the token itself says both: this authorization was used, and exactly this sum went
/// from payer to payee (threat rows E12, E13, E27, E35).
fn judge_receipt(receipt: &TxReceipt, asset: Address, authorization: &Authorization) -> Outcome {
    let says = |topics: &[B256], data: &[u8]| {
        receipt
            .logs
            .iter()
            .any(|log: &Log| log.address == asset && log.topics == topics && log.data.as_ref() == data)
    };
    let used = says(
        &[Eip3009::AuthorizationUsed::SIGNATURE_HASH, authorization.from.into_word(), authorization.nonce],
        &[],
    );
    let moved = says(
        &[Eip3009::Transfer::SIGNATURE_HASH, authorization.from.into_word(), authorization.to.into_word()],
        &authorization.value.to_be_bytes::<32>(),
    );
    let transaction = receipt.transaction_hash.to_string();
    if receipt.status.to::<u64>() == 1 && used && moved {
        return Outcome::Landed(Settled {
            transaction,
            block: receipt.block_number.to::<u64>(),
            block_hash: receipt.block_hash.to_string(),
            by_other: false,
        });
    }
    Outcome::Failed { reason: Reason::TransferEventMismatch, transaction: Some(transaction) }
}
