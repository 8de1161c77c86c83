//! What a transaction needs from the chain before it is signed: does it go through, how much gas, at what price.

use std::collections::BTreeSet;

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, Bytes, U64, U256};
use alloy_sol_types::SolCall;
use groat_core::ports::Plan;
use groat_core::{Failure, Fault, Reason};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::abi::{self, Multicall3};
use super::proof::Signature;
use super::rider::Rider;
use super::settle::EMPTY;
use crate::chain::{Chain, TransferGas};
use crate::rpc::Call;
use crate::transaction::{self, Fees};

/// What goes from planning to signing.
#[derive(Debug, Serialize, Deserialize)]
struct Terms {
    fees: Fees,
    /// For one payment that goes alone.
    single: Option<Single>,
    /// For each payment of several, and for one that is left of them.
    shared: u64,
    alone: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Single {
    gas: u64,
    deploy: bool,
}

/// The estimate is of the last block; the state may cost a little more in the next.
const GAS_SLACK_PERCENT: u64 = 20;
/// What a transaction costs before it calls anybody, and the loop around several calls.
const GAS_BASE: u64 = 40_000;
/// What a payee who had nothing costs more (EIP-2929, EIP-2200: zero to something).
const GAS_NEW_PAYEE: u64 = 17_100;

/// One payment in a transaction of its own.
pub(super) async fn single(chain: &Chain, signer: Address, rider: &Rider) -> Result<Plan, Fault> {
    let wallet = rider.proof.authorization.from;
    let plain = matches!(rider.proof.signature, Signature::Ecdsa(_));
    let deploy = !plain && chain.rpc().code(wallet).await?.is_empty();
    let (to, input) = abi::settlement(rider.asset, &rider.proof, deploy);
    let limits = chain.limits();
    let gas_max = match (deploy, plain) {
        (true, _) => limits.gas_deploy_max,
        (false, true) => limits.gas_max,
        (false, false) => limits.gas_contract_max,
    };
    let (gas, fees) = match estimated(chain, signer, to, input, gas_max).await? {
        Ok(estimated) => estimated,
        Err(reason) => return Ok(refused(reason)),
    };
    if plain {
        chain.note_transfer_gas(rider.asset, gas);
    }
    let gas = slack(gas).min(gas_max);
    afford(chain, signer, gas, fees).await?;
    let terms = Terms { fees, single: Some(Single { gas, deploy }), shared: 0, alone: 0 };
    Ok(Plan { verdicts: vec![Ok(())], terms: json!(terms) })
}

/// Any call in a transaction of its own.
pub(crate) async fn plan_call(
    chain: &Chain,
    signer: Address,
    to: Address,
    input: Bytes,
    gas_max: u64,
) -> Result<Plan, Fault> {
    let (gas, fees) = match estimated(chain, signer, to, input, gas_max).await? {
        Ok(estimated) => estimated,
        Err(reason) => return Ok(refused(reason)),
    };
    let gas = slack(gas).min(gas_max);
    afford(chain, signer, gas, fees).await?;
    let terms = Terms { fees, single: Some(Single { gas, deploy: false }), shared: 0, alone: 0 };
    Ok(Plan { verdicts: vec![Ok(())], terms: json!(terms) })
}

/// The transaction of a call that was planned, to be signed.
pub(crate) fn planned_call(
    chain: &Chain,
    nonce: u64,
    to: Address,
    input: Bytes,
    terms: &Value,
) -> Result<TxEip1559, Fault> {
    let Terms { fees, single, .. } =
        Terms::deserialize(terms).map_err(|error| Fault::garbled("plan", error))?;
    let single = single.ok_or_else(|| Fault::garbled("plan", "it is of several payments"))?;
    Ok(transaction::call(chain.chain_id(), nonce, single.gas, fees, to, input))
}

/// What a call takes now, and the price of gas; or why it would come to nothing.
async fn estimated(
    chain: &Chain,
    signer: Address,
    to: Address,
    input: Bytes,
    gas_max: u64,
) -> Result<Result<(u64, Fees), Reason>, Fault> {
    let call = Call { from: Some(signer), to, input, gas: None, price: None };
    let (estimate, fees) =
        tokio::join!(chain.rpc().try_ask::<_, U64>("eth_estimateGas", (call, "latest")), chain.fees(),);
    let gas = match estimate? {
        Ok(gas) => gas.to::<u64>(),
        Err(refusal) if refusal.is_execution() => return Ok(Err(revert_reason(&refusal.message))),
        Err(refusal) => return Err(Fault::unavailable("chain", refusal.message)),
    };
    if gas > gas_max {
        return Ok(Err(Reason::GasBudgetExceeded));
    }
    Ok(Ok((gas, fees?)))
}

fn refused(reason: Reason) -> Plan {
    Plan { verdicts: vec![Err(Failure::from(reason))], terms: Value::Null }
}

/// Several plain payments in one transaction. They are tried first, all together: whoever fails there stays behind.
pub(super) async fn several(chain: &Chain, signer: Address, riders: &[Rider]) -> Result<Plan, Fault> {
    let mut each = TransferGas { alone: 0, shared: Some(0) };
    for asset in riders.iter().map(|rider| rider.asset).collect::<BTreeSet<_>>() {
        if chain.transfer_gas(asset).is_none()
            && let Some(first) = riders.iter().find(|rider| rider.asset == asset)
        {
            // What a transfer of this token takes is found by trying one alone; whether it is good comes below.
            single(chain, signer, first).await?;
        }
        let known = chain.transfer_gas(asset);
        let known = known.unwrap_or(TransferGas { alone: chain.limits().gas_max, shared: None });
        each.alone = each.alone.max(slack(known.alone));
        each.shared = each.shared.zip(known.shared).map(|(most, gas)| most.max(slack(gas)));
    }
    // Alone it also pays for its transaction.
    let shared = each.shared.unwrap_or(each.alone.saturating_sub(transaction::GAS_INTRINSIC));
    let limits = chain.limits();
    let fits =
        (1..=riders.len()).rev().find(|count| gas_of(&riders[..*count], shared) <= limits.gas_batch_max);
    let riders = &riders[..fits.unwrap_or(1)];
    let (fees, verdicts) = tokio::join!(chain.fees(), rehearse(chain, signer, riders));
    let fees = fees?;
    afford(chain, signer, gas_of(riders, shared), fees).await?;
    Ok(Plan { verdicts: verdicts?, terms: json!(Terms { fees, single: None, shared, alone: each.alone }) })
}

async fn rehearse(
    chain: &Chain,
    signer: Address,
    riders: &[Rider],
) -> Result<Vec<Result<(), Failure>>, Fault> {
    let (to, input) = abi::settlements(riders.iter().map(Rider::transfer));
    let call = Call { from: Some(signer), to, input, gas: None, price: None };
    let data = chain.rpc().call(&call).await?;
    let data = data.map_err(|reverted| Fault::garbled("chain", format!("Multicall3: {reverted}")))?;
    let results = Multicall3::aggregate3Call::abi_decode_returns(&data)
        .map_err(|_| Fault::garbled("chain", "there is no Multicall3 on this chain"))?;
    if results.len() != riders.len() {
        return Err(Fault::garbled("chain", "Multicall3 answered less than it was asked"));
    }
    let verdict = |result: &Multicall3::Result| match result.success {
        true => Ok(()),
        false => Err(Failure::from(revert_reason(&String::from_utf8_lossy(&result.returnData)))),
    };
    Ok(results.iter().map(verdict).collect())
}

/// Without money for gas nothing may be promised (threat row E32).
async fn afford(chain: &Chain, signer: Address, gas: u64, fees: Fees) -> Result<(), Fault> {
    let cost = U256::from(gas).saturating_mul(U256::from(fees.max_fee));
    if chain.purse(signer).await? < cost { Err(Fault::unavailable("signer", EMPTY)) } else { Ok(()) }
}

fn slack(gas: u64) -> u64 {
    gas + gas * GAS_SLACK_PERCENT / 100
}

fn gas_of(riders: &[Rider], shared: u64) -> u64 {
    let payees: BTreeSet<_> = riders.iter().map(|rider| rider.proof.authorization.to).collect();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    shared
        .saturating_mul(count(riders.len()))
        .saturating_add(GAS_NEW_PAYEE.saturating_mul(count(payees.len())))
        .saturating_add(GAS_BASE)
}

/// The transaction, to be signed.
pub(super) fn transaction(
    chain: &Chain,
    nonce: u64,
    riders: &[Rider],
    terms: &Value,
) -> Result<TxEip1559, Fault> {
    let terms = Terms::deserialize(terms).map_err(|error| Fault::garbled("plan", error))?;
    let (gas, (to, input)) = match (riders, &terms.single) {
        ([rider], Some(Single { gas, deploy })) => {
            (*gas, abi::settlement(rider.asset, &rider.proof, *deploy))
        }
        ([rider], None) => ((terms.alone + GAS_NEW_PAYEE).min(chain.limits().gas_max), rider.transfer()),
        (riders, _) => (gas_of(riders, terms.shared), abi::settlements(riders.iter().map(Rider::transfer))),
    };
    Ok(transaction::call(chain.chain_id(), nonce, gas, terms.fees, to, input))
}

/// What a token says when it refuses (protocol page 01, section 1.6: mapping of revert texts).
fn revert_reason(message: &str) -> Reason {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().all(|word| message.contains(word));
    if says(&["authorization", "used"]) || says(&["authorizationusedorcanceled"]) {
        Reason::NonceAlreadyUsed
    } else if says(&["authorization", "expired"]) {
        Reason::Expired
    } else if says(&["authorization", "not yet valid"]) {
        Reason::NotYetValid
    } else if says(&["exceeds balance"]) || says(&["insufficientbalance"]) {
        Reason::InsufficientBalance
    } else if says(&["invalid", "signature"]) {
        Reason::InvalidSignature
    } else {
        Reason::SimulationFailed
    }
}
