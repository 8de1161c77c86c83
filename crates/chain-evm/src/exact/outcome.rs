//! What became of payments, by the chain alone: receipts, then the authorization states, then the logs.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use groat_core::books::{Attempt, Mined, Settled};
use groat_core::ports::{Look, Outcome};
use groat_core::{Fault, Reason};
use serde_json::json;

use super::abi::{Eip3009, MULTICALL3};
use super::proof::Authorization;
use super::rider::Rider;
use crate::chain::{Chain, Facts, LogsBack, question};
use crate::rpc::{Log, TxReceipt};

/// Receipts of our own transactions first, then the states of the authorizations, then the logs.
pub(super) async fn look(chain: &Chain, riders: &[Rider], attempts: &[Attempt]) -> Result<Look, Fault> {
    let mut is_first = true;
    loop {
        let receipt = mined(chain, attempts).await?;
        let told = tell_all(receipt.as_ref(), riders);
        if let Some(receipt) = &receipt
            && told.iter().all(Told::is_end)
        {
            let outcomes: Vec<_> = told.into_iter().filter_map(Told::end).collect();
            if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Landed(_))) {
                learn(chain, receipt, riders);
            }
            return Ok(seen(Some(receipt), outcomes, receipt.block_number.to::<u64>()));
        }
        let states = states(chain, riders, &told).await?;
        // Most likely a block came between the two questions, and receipts say it for much less than logs.
        if std::mem::take(&mut is_first) && receipt.is_none() && states.used.iter().any(|used| *used) {
            continue;
        }
        let mut outcomes = Vec::with_capacity(riders.len());
        for ((rider, told), used) in riders.iter().zip(told).zip(states.used) {
            outcomes.push(rest(chain, rider, told, used, states.facts.time).await?);
        }
        return Ok(seen(receipt.as_ref(), outcomes, states.facts.number));
    }
}

fn tell_all(receipt: Option<&TxReceipt>, riders: &[Rider]) -> Vec<Told> {
    let Some(receipt) = receipt else { return riders.iter().map(|_| Told::Nothing).collect() };
    let index = index(receipt);
    riders.iter().map(|rider| tell(receipt, &index, rider)).collect()
}

/// Whether each authorization is used, where no receipt has said the end already.
struct States {
    used: Vec<bool>,
    facts: Facts,
}

async fn states(chain: &Chain, riders: &[Rider], told: &[Told]) -> Result<States, Fault> {
    let open = riders.iter().zip(told).filter(|(_, told)| !told.is_end());
    let asked = open.map(|(rider, _)| {
        let Authorization { from: authorizer, nonce, .. } = rider.proof.authorization;
        question(rider.asset, &Eip3009::authorizationStateCall { authorizer, nonce })
    });
    let answer = chain.read(asked.collect()).await?;
    let mut position = 0;
    let mut used = Vec::with_capacity(riders.len());
    for told in told {
        used.push(if told.is_end() {
            true
        } else {
            position += 1;
            let state = answer.value(position - 1);
            state.ok_or_else(|| Fault::garbled("chain", "the token does not tell the authorization state"))?
        });
    }
    Ok(States { used, facts: answer.facts })
}

pub(crate) fn seen(receipt: Option<&TxReceipt>, outcomes: Vec<Outcome>, head: u64) -> Look {
    let mined = receipt.map(|receipt| Mined {
        transaction: receipt.transaction_hash.to_string(),
        block: receipt.block_number.to::<u64>(),
        block_hash: receipt.block_hash.to_string(),
    });
    Look { mined, outcomes, gas: receipt.map_or(0, |receipt| receipt.gas_used.to::<u64>()), head }
}

/// The receipt of the one attempt that is in a block.
pub(crate) async fn mined(chain: &Chain, attempts: &[Attempt]) -> Result<Option<TxReceipt>, Fault> {
    for attempt in attempts.iter().rev() {
        let hash: B256 = attempt
            .transaction
            .parse()
            .map_err(|_| Fault::garbled("store", "an attempt has no transaction hash"))?;
        if let Some(receipt) = chain.rpc().receipt(hash).await? {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

/// What a receipt of ours says of one payment.
enum Told {
    /// All there is to know.
    End(Outcome),
    /// It was mined and moved nothing.
    Reverted(String),
    /// The token took it without a word. Some do so with a used nonce (threat row E12): then somebody else was first.
    Silent(String),
    /// Not mined.
    Nothing,
}

impl Told {
    fn is_end(&self) -> bool {
        matches!(self, Self::End(_))
    }

    fn end(self) -> Option<Outcome> {
        match self {
            Self::End(outcome) => Some(outcome),
            _ => None,
        }
    }
}

/// Where in a receipt each token says that an authorization was used (threat row E35).
type Index = HashMap<(Address, B256, B256), usize>;

fn index(receipt: &TxReceipt) -> Index {
    let mut index = Index::new();
    for (at, log) in receipt.logs.iter().enumerate() {
        if let [topic, from, nonce] = log.topics[..]
            && topic == Eip3009::AuthorizationUsed::SIGNATURE_HASH
        {
            index.entry((log.address, from, nonce)).or_insert(at);
        }
    }
    index
}

fn tell(receipt: &TxReceipt, index: &Index, rider: &Rider) -> Told {
    let transaction = receipt.transaction_hash.to_string();
    if receipt.status.to::<u64>() != 1 {
        return Told::Reverted(transaction);
    }
    let authorization = &rider.proof.authorization;
    match index.get(&(rider.asset, authorization.from.into_word(), authorization.nonce)) {
        Some(at) => Told::End(judge_logs(receipt, *at, rider.asset, authorization)),
        // Its call has failed, and the others went on.
        None if receipt.to == Some(MULTICALL3) && !rider.alone => Told::Reverted(transaction),
        // The nonce was spent for nothing (`transaction::void`), and no token was called.
        None if receipt.to.is_some() && receipt.to == receipt.from => Told::Reverted(transaction),
        None => Told::Silent(transaction),
    }
}

/// The state of the authorization and the chain's clock say what the receipts did not.
async fn rest(chain: &Chain, rider: &Rider, told: Told, used: bool, time: U256) -> Result<Outcome, Fault> {
    let authorization = &rider.proof.authorization;
    let (silent, reverted) = match told {
        Told::End(outcome) => return Ok(outcome),
        Told::Silent(transaction) => (Some(transaction), None),
        Told::Reverted(transaction) => (None, Some(transaction)),
        Told::Nothing => (None, None),
    };
    if used {
        let told = foreign(chain, rider.asset, authorization, reverted.clone()).await?;
        if silent.is_none() || !matches!(told, Outcome::Unknown) {
            return Ok(told);
        }
    }
    // A dead authorization is dead by the chain's clock, not by ours.
    let expired = time >= authorization.valid_before;
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

/// Several transfers of one token in one transaction show what one takes among others.
fn learn(chain: &Chain, receipt: &TxReceipt, riders: &[Rider]) {
    let Some(first) = riders.first().filter(|_| riders.len() >= LEARNED_FROM_MIN) else { return };
    if riders.iter().all(|rider| rider.asset == first.asset) {
        let count = u64::try_from(riders.len()).unwrap_or(u64::MAX);
        chain.note_shared_gas(first.asset, receipt.gas_used.to::<u64>() / count);
    }
}

/// Fewer say more of the transaction than of its transfers.
const LEARNED_FROM_MIN: usize = 8;

/// Used, but not by a receipt of ours: somebody else submitted it, or the payer cancelled it (threat rows E09, E10).
async fn foreign(
    chain: &Chain,
    asset: Address,
    authorization: &Authorization,
    reverted: Option<String>,
) -> Result<Outcome, Fault> {
    let topics = json!([
        [Eip3009::AuthorizationUsed::SIGNATURE_HASH, Eip3009::AuthorizationCanceled::SIGNATURE_HASH],
        authorization.from.into_word(),
        authorization.nonce,
    ]);
    let mut back = LogsBack::new(chain, asset, topics).await?;
    while let Some(logs) = back.next().await? {
        for log in logs {
            if log.topics.first() == Some(&Eip3009::AuthorizationCanceled::SIGNATURE_HASH) {
                return Ok(Outcome::Failed { reason: Reason::NonceAlreadyUsed, transaction: reverted });
            }
            let Some(hash) = log.transaction_hash else { continue };
            let Some(receipt) = chain.rpc().receipt(hash).await? else { continue };
            return Ok(match judge_receipt(&receipt, asset, authorization) {
                // Ours all the same, where the book was put back and knows nothing of it (KP16).
                Outcome::Landed(settled) => {
                    Outcome::Landed(Settled { by_other: !is_ours(chain, &receipt), ..settled })
                }
                other => other,
            });
        }
    }
    // The state says used and the logs are out of reach: not known, which is never the same as failed.
    Ok(Outcome::Unknown)
}

pub(crate) fn is_ours(chain: &Chain, receipt: &TxReceipt) -> bool {
    chain.keys().iter().any(|key| Some(key.address()) == receipt.from)
}

/// Where in a receipt the token itself says that this authorization was used (threat row E35).
pub(super) fn judge_receipt(receipt: &TxReceipt, asset: Address, authorization: &Authorization) -> Outcome {
    let key = (asset, authorization.from.into_word(), authorization.nonce);
    match index(receipt).get(&key) {
        Some(at) => judge_logs(receipt, *at, asset, authorization),
        None => mismatch(receipt),
    }
}

/// Money moved as agreed only if the token itself says both: this authorization was used, and the next transfer is of
/// exactly this sum from payer to payee (threat rows E12, E13, E27, E35). A transfer elsewhere in the receipt proves
/// nothing: a payer could use many nonces on itself in one transaction, and pay once.
fn judge_logs(receipt: &TxReceipt, used_at: usize, asset: Address, authorization: &Authorization) -> Outcome {
    // A second use before any transfer leaves this one without: the transfer belongs to one of them.
    let of_token = |log: &&Log| {
        let kinds = [Eip3009::Transfer::SIGNATURE_HASH, Eip3009::AuthorizationUsed::SIGNATURE_HASH];
        log.address == asset && log.topics.first().is_some_and(|topic| kinds.contains(topic))
    };
    let next = receipt.logs[used_at + 1..].iter().find(of_token);
    let transfer = next.filter(|log| log.topics.first() == Some(&Eip3009::Transfer::SIGNATURE_HASH));
    let moved = transfer.is_some_and(|log: &Log| {
        log.topics[1..] == [authorization.from.into_word(), authorization.to.into_word()]
            && log.data.as_ref() == authorization.value.to_be_bytes::<32>()
    });
    if receipt.status.to::<u64>() == 1 && moved {
        return Outcome::Landed(Settled {
            transaction: receipt.transaction_hash.to_string(),
            block: receipt.block_number.to::<u64>(),
            block_hash: receipt.block_hash.to_string(),
            by_other: false,
        });
    }
    mismatch(receipt)
}

pub(crate) fn mismatch(receipt: &TxReceipt) -> Outcome {
    let transaction = Some(receipt.transaction_hash.to_string());
    Outcome::Failed { reason: Reason::TransferEventMismatch, transaction }
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
            from: None,
            to: None,
            gas_used: U64::ZERO,
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
