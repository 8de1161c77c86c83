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
    let (mut reverted, mut silent) = (None, None);
    for attempt in attempts {
        let hash: B256 = attempt
            .transaction
            .parse()
            .map_err(|_| Fault::garbled("store", "an attempt has no transaction hash"))?;
        match chain.rpc().receipt(hash).await? {
            None => {}
            Some(receipt) if receipt.status.to::<u64>() != 1 => reverted = Some(attempt.transaction.clone()),
            // Some tokens take a used nonce without a word (threat row E12): then somebody else was first.
            Some(receipt) if used_at(&receipt, asset, authorization).is_none() => {
                silent = Some(attempt.transaction.clone());
            }
            Some(receipt) => return Ok(judge_receipt(&receipt, asset, authorization)),
        }
    }
    let used = authorization_used(chain, asset, authorization).await?;
    if used {
        let told = foreign(chain, asset, authorization, reverted.clone()).await?;
        if silent.is_none() || !matches!(told, Outcome::Unknown) {
            return Ok(told);
        }
    }
    // A dead authorization is dead by the chain's clock, not by ours.
    let head = chain.rpc().head().await?;
    let expired = U256::from(head.timestamp.to::<u64>()) >= authorization.valid_before;
    Ok(match (silent, reverted) {
        // The logs may still come.
        (Some(_), _) if used && !expired => Outcome::Unknown,
        (Some(transaction), _) => {
            Outcome::Failed { reason: Reason::TransferEventMismatch, transaction: Some(transaction) }
        }
        (None, transaction) if expired => Outcome::Failed { reason: Reason::Expired, transaction },
        (None, Some(transaction)) => Outcome::Reverted { transaction },
        (None, None) => Outcome::Unknown,
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

/// Where in a receipt the token itself says that this authorization was used (threat row E35).
fn used_at(receipt: &TxReceipt, asset: Address, authorization: &Authorization) -> Option<usize> {
    let topics =
        [Eip3009::AuthorizationUsed::SIGNATURE_HASH, authorization.from.into_word(), authorization.nonce];
    receipt.logs.iter().position(|log| log.address == asset && log.topics == topics)
}

/// Money moved as agreed only if the token itself says both: this authorization was used, and the next transfer is of
/// exactly this sum from payer to payee (threat rows E12, E13, E27, E35). A transfer elsewhere in the receipt proves
/// nothing: a payer could use many nonces on itself in one transaction, and pay once.
pub(super) fn judge_receipt(receipt: &TxReceipt, asset: Address, authorization: &Authorization) -> Outcome {
    let transaction = receipt.transaction_hash.to_string();
    let used = used_at(receipt, asset, authorization);
    let transfer = used.and_then(|at| {
        // A second use before any transfer leaves this one without: the transfer belongs to one of them.
        let of_token = |log: &&Log| {
            let kinds = [Eip3009::Transfer::SIGNATURE_HASH, Eip3009::AuthorizationUsed::SIGNATURE_HASH];
            log.address == asset && log.topics.first().is_some_and(|topic| kinds.contains(topic))
        };
        let next = receipt.logs[at + 1..].iter().find(of_token);
        next.filter(|log| log.topics.first() == Some(&Eip3009::Transfer::SIGNATURE_HASH))
    });
    let moved = transfer.is_some_and(|log: &Log| {
        log.topics[1..] == [authorization.from.into_word(), authorization.to.into_word()]
            && log.data.as_ref() == authorization.value.to_be_bytes::<32>()
    });
    if receipt.status.to::<u64>() == 1 && moved {
        return Outcome::Landed(Settled {
            transaction,
            block: receipt.block_number.to::<u64>(),
            block_hash: receipt.block_hash.to_string(),
            by_other: false,
        });
    }
    Outcome::Failed { reason: Reason::TransferEventMismatch, transaction: Some(transaction) }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, U64, address};

    use super::*;

    const ASSET: Address = address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    const PAYER: Address = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    const PAYEE: Address = address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");

    fn authorization(nonce: u8) -> Authorization {
        Authorization {
            from: PAYER,
            to: PAYEE,
            value: U256::from(10_000),
            valid_after: U256::ZERO,
            valid_before: U256::MAX,
            nonce: B256::repeat_byte(nonce),
        }
    }

    fn log(address: Address, topics: Vec<B256>, data: Bytes) -> Log {
        Log { address, topics, data, transaction_hash: None }
    }

    fn used(asset: Address, nonce: u8) -> Log {
        let topics =
            vec![Eip3009::AuthorizationUsed::SIGNATURE_HASH, PAYER.into_word(), B256::repeat_byte(nonce)];
        log(asset, topics, Bytes::new())
    }

    fn moved(asset: Address, to: Address, value: u64) -> Log {
        let topics = vec![Eip3009::Transfer::SIGNATURE_HASH, PAYER.into_word(), to.into_word()];
        log(asset, topics, U256::from(value).to_be_bytes::<32>().into())
    }

    fn lands(logs: Vec<Log>, nonce: u8, status: u64) -> bool {
        let receipt = TxReceipt {
            status: U64::from(status),
            transaction_hash: B256::ZERO,
            block_hash: B256::ZERO,
            block_number: U64::from(1),
            logs,
        };
        matches!(judge_receipt(&receipt, ASSET, &authorization(nonce)), Outcome::Landed(_))
    }

    #[test]
    fn e13_e27_only_this_sum_between_these_two_counts() {
        assert!(lands(vec![used(ASSET, 1), moved(ASSET, PAYEE, 10_000)], 1, 1));
        assert!(!lands(vec![used(ASSET, 1), moved(ASSET, PAYEE, 10_000)], 1, 0));
        assert!(!lands(vec![used(ASSET, 1), moved(ASSET, PAYEE, 9_900), moved(ASSET, ASSET, 100)], 1, 1));
        assert!(!lands(vec![used(ASSET, 1), moved(ASSET, PAYER, 10_000)], 1, 1));
        assert!(!lands(vec![used(ASSET, 2), moved(ASSET, PAYEE, 10_000)], 1, 1));
        assert!(!lands(vec![moved(ASSET, PAYEE, 10_000)], 1, 1));
        assert!(!lands(vec![used(ASSET, 1)], 1, 1));
        assert!(!lands(Vec::new(), 1, 1));
        // Half a topic is no reason to fall over.
        assert!(!lands(
            vec![used(ASSET, 1), log(ASSET, vec![Eip3009::Transfer::SIGNATURE_HASH], Bytes::new())],
            1,
            1
        ));
    }

    #[test]
    fn e35_what_another_contract_says_counts_for_nothing() {
        let fake = address!("0x0DD0000000000000000000000000000000000004");
        assert!(!lands(vec![used(fake, 1), moved(fake, PAYEE, 10_000)], 1, 1));
        assert!(!lands(vec![used(fake, 1), moved(ASSET, PAYEE, 10_000)], 1, 1));
        assert!(!lands(vec![used(ASSET, 1), moved(fake, PAYEE, 10_000)], 1, 1));
        assert!(lands(vec![used(ASSET, 1), moved(fake, PAYER, 1), moved(ASSET, PAYEE, 10_000)], 1, 1));
    }

    #[test]
    fn e09_one_transfer_pays_for_one_authorization() {
        let batch = vec![
            used(ASSET, 1),
            moved(ASSET, PAYER, 10_000),
            used(ASSET, 2),
            moved(ASSET, PAYEE, 10_000),
            used(ASSET, 3),
            moved(ASSET, PAYER, 10_000),
        ];
        assert_eq!([1, 2, 3].map(|nonce| lands(batch.clone(), nonce, 1)), [false, true, false]);
        let both = vec![used(ASSET, 1), used(ASSET, 2), moved(ASSET, PAYEE, 10_000)];
        assert_eq!([1, 2].map(|nonce| lands(both.clone(), nonce, 1)), [false, true]);
    }
}
