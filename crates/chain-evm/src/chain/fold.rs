//! One question to the node for everybody who asks at the same time: calls are folded into one `aggregate3`.
//!
//! Whoever comes alone is asked for at once. While a question is in the air, or the last one was asked for a [`CROWD`],
//! others gather for at most [`LINGER`] (and a few only until the answer is there); then they go together. Under load a
//! node is asked some hundred times a second and not thousands, and what that saves is worth more than the wait.

use std::sync::Mutex;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolValue};
use groat_core::Fault;
use tokio::sync::oneshot;

use super::{Chain, lock};
use crate::exact::abi::{MULTICALL3, Multicall3};
use crate::rpc::Call;

/// How long a question waits for others. The runtime's timer adds up to a millisecond.
const LINGER: Duration = Duration::from_millis(1);
/// So many in one question are a crowd: more are sure to come.
const CROWD: usize = 8;
/// Calls in one question: far below what nodes let a call burn (50 million gas).
const CALLS_MAX: usize = 1_200;

/// What was answered to one asker, and the block it is true of.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    results: Vec<Multicall3::Result>,
    pub(crate) facts: Facts,
}

/// The newest block, as a contract sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) number: u64,
    pub(crate) time: U256,
    pub(crate) base_fee: U256,
    /// What the first of our accounts has for gas, in wei.
    pub(crate) purse: U256,
}

impl Answer {
    /// The answer to the call at `index`; `None` when it failed or is of another kind.
    pub(crate) fn value<T>(&self, index: usize) -> Option<T>
    where
        T: SolValue + From<<T::SolType as alloy_sol_types::SolType>::RustType>,
    {
        self.results.get(index).and_then(value)
    }
}

fn value<T>(result: &Multicall3::Result) -> Option<T>
where
    T: SolValue + From<<T::SolType as alloy_sol_types::SolType>::RustType>,
{
    result.success.then(|| T::abi_decode(&result.returnData).ok()).flatten()
}

#[derive(Debug, Default)]
pub(super) struct Fold(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    asked: Vec<Asked>,
    in_air: usize,
    /// The last question was asked for many.
    is_crowded: bool,
    /// Somebody will send what waits.
    is_due: bool,
}

#[derive(Debug)]
struct Asked {
    calls: Vec<Multicall3::Call3>,
    answer: oneshot::Sender<Result<Answer, Fault>>,
}

/// A call that may fail.
pub(crate) fn question(target: Address, call: &impl SolCall) -> Multicall3::Call3 {
    Multicall3::Call3 { target, allowFailure: true, callData: call.abi_encode().into() }
}

impl Chain {
    /// Asks contracts, together with whoever else asks now.
    pub(crate) async fn read(&self, calls: Vec<Multicall3::Call3>) -> Result<Answer, Fault> {
        let (answer, wait) = oneshot::channel();
        let pause = {
            let mut waiting = lock(&self.0.fold.0);
            waiting.asked.push(Asked { calls, answer });
            let is_quiet = waiting.in_air == 0 && !waiting.is_crowded;
            let pause = if is_quiet { Duration::ZERO } else { LINGER };
            (!std::mem::replace(&mut waiting.is_due, true)).then_some(pause)
        };
        if let Some(pause) = pause {
            let chain = self.clone();
            tokio::spawn(async move {
                // Whoever is ready to ask as well gets the chance.
                tokio::task::yield_now().await;
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                chain.send_what_waits();
            });
        }
        wait.await.unwrap_or_else(|_| Err(Fault::unavailable("chain", "the question was given up")))
    }

    fn send_what_waits(&self) {
        loop {
            let asked = {
                let mut waiting = lock(&self.0.fold.0);
                waiting.is_due = false;
                let mut calls = 0;
                let fits = |asked: &&Asked| {
                    calls += asked.calls.len();
                    calls <= CALLS_MAX
                };
                let count = waiting.asked.iter().take_while(fits).count().max(1).min(waiting.asked.len());
                if count == 0 {
                    return;
                }
                waiting.in_air += 1;
                waiting.is_crowded = count >= CROWD;
                waiting.asked.drain(..count).collect::<Vec<_>>()
            };
            let chain = self.clone();
            tokio::spawn(async move {
                chain.ask_for(asked).await;
                let is_crowded = {
                    let mut waiting = lock(&chain.0.fold.0);
                    waiting.in_air -= 1;
                    waiting.is_crowded
                };
                if !is_crowded {
                    chain.send_what_waits();
                }
            });
        }
    }

    async fn ask_for(&self, mut asked: Vec<Asked>) {
        let calls = asked.iter_mut().flat_map(|asked| asked.calls.iter().cloned()).collect();
        let answered = self.aggregate(calls).await;
        let alone = asked.len() == 1;
        let mut rest = match &answered {
            Ok(answer) => answer.results.as_slice(),
            Err(_) => &[],
        };
        for Asked { calls, answer } in asked {
            let own = match &answered {
                Ok(Answer { facts, .. }) => {
                    let (own, others) = rest.split_at(calls.len().min(rest.len()));
                    rest = others;
                    Ok(Answer { results: own.to_vec(), facts: *facts })
                }
                Err(fault) => Err(fault.clone()),
            };
            let suspect = match &own {
                Ok(own) => own.results.iter().any(|result| !result.success),
                Err(_) => true,
            };
            if alone || !suspect {
                // Whoever asked may be gone.
                let _ = answer.send(own);
                continue;
            }
            // Another's call may have burnt the gas of this one.
            let chain = self.clone();
            tokio::spawn(async move {
                let _ = answer.send(chain.aggregate(calls).await);
            });
        }
    }

    async fn aggregate(&self, mut calls: Vec<Multicall3::Call3>) -> Result<Answer, Fault> {
        let submitter = self.keys().first().map(crate::gas_key::GasKey::address).unwrap_or_default();
        let count = calls.len();
        calls.extend([
            question(MULTICALL3, &Multicall3::getBlockNumberCall {}),
            question(MULTICALL3, &Multicall3::getCurrentBlockTimestampCall {}),
            question(MULTICALL3, &Multicall3::getBasefeeCall {}),
            question(MULTICALL3, &Multicall3::getEthBalanceCall { account: submitter }),
        ]);
        let input = Multicall3::aggregate3Call { calls }.abi_encode().into();
        let call = Call { from: None, to: MULTICALL3, input, gas: None, price: None };
        let answer = self.rpc().call(&call).await?;
        let data = answer.map_err(|reverted| Fault::garbled("chain", format!("Multicall3: {reverted}")))?;
        let mut results = Multicall3::aggregate3Call::abi_decode_returns(&data)
            .map_err(|_| Fault::garbled("chain", "there is no Multicall3 on this chain"))?;
        if results.len() != count + 4 {
            return Err(Fault::garbled("chain", "Multicall3 answered less than it was asked"));
        }
        let facts: Vec<U256> = results.drain(count..).filter_map(|result| value(&result)).collect();
        let [number, time, base_fee, purse] = facts[..] else {
            return Err(Fault::garbled("chain", "Multicall3 knows no block"));
        };
        let number = number.try_into().unwrap_or(u64::MAX);
        self.0.heads.note(number);
        Ok(Answer { results, facts: Facts { number, time, base_fee, purse } })
    }
}
