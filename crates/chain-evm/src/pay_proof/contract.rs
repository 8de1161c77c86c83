//! What the contract says to a facilitator: which tokens it takes, and which requests it has settled.

use alloy_primitives::{Address, B256, Bytes, U64, U256, fixed_bytes};
use alloy_sol_types::{SolEvent, sol};
use async_trait::async_trait;
use groat_core::books::{Mined, Paid};
use groat_core::ports::{BlockMark, PayCurrency, RelayOrder, RequestChain, RequestPaid, Standing};
use groat_core::{Amount, Fault, Network, Payment, Reason, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::mechanism::PayProofEvm;
use super::observe::PaymentSettled;
use super::relay;
use crate::assets::{self, Transfer};
use crate::chain::question;
use crate::{Chain, account};

sol! {
    function symbolOf(address token) external view returns (string);
    function supportsInterface(bytes4 id) external view returns (bool);
}

/// The last blocks of a range are asked for one by one and by hash: behind one URL there may be nodes that do not have them yet, and
/// by their numbers they would say that nothing happened in them.
const NEW_BLOCKS: u64 = 16;

/// A log with its place.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlacedLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    #[serde(default)]
    removed: bool,
    transaction_hash: B256,
    block_hash: B256,
    block_number: U64,
    log_index: U64,
}

impl PlacedLog {
    /// The event, if the contract itself has emitted it (threat row T08).
    fn event(&self, contract: Address) -> Option<RequestPaid> {
        if self.removed || self.address != contract {
            return None;
        }
        let event = PaymentSettled::decode_raw_log(self.topics.iter().copied(), &self.data).ok()?;
        Some(RequestPaid {
            topic: event.requestId.to_string(),
            seller: account::text(event.seller),
            amount: Amount::from_u256(event.amount),
            currency: event.currency,
            paid: Paid {
                transaction: self.transaction_hash.to_string(),
                block: self.block_number.to(),
                block_hash: self.block_hash.to_string(),
                index: self.log_index.to(),
                buyer: account::text(event.buyer),
                at: Timestamp(event.timestamp.try_into().unwrap_or(u64::MAX)),
            },
        })
    }
}

impl PayProofEvm {
    pub(super) fn set_up(&self, network: &Network) -> Result<(&Chain, Address), Fault> {
        let chain = self.chain(network).zip(self.contract(network));
        chain.ok_or_else(|| Fault::unavailable("chain", format!("requests cannot be paid on {network} here")))
    }

    /// Events of the contract in these blocks.
    async fn logs(
        &self,
        chain: &Chain,
        contract: Address,
        mut blocks: Value,
        topic: Option<&str>,
    ) -> Result<Vec<PlacedLog>, Fault> {
        let mut topics = vec![json!(PaymentSettled::SIGNATURE_HASH)];
        topics.extend(topic.map(|topic| json!(topic)));
        blocks["address"] = json!(contract);
        blocks["topics"] = json!(topics);
        chain.rpc().ask("eth_getLogs", (blocks,)).await
    }
}

/// How a token that the contract takes can be paid with. Of a token without EIP-1363 nobody can ask whether it knows
/// `transferAndCall` (ERC-677), so that is not promised.
fn methods(known: &assets::Asset, is_payable_token: bool) -> Vec<&'static str> {
    let called = is_payable_token.then_some("transferAndCall");
    let authorized = (known.transfer == Transfer::Eip3009).then_some("authorization");
    called.into_iter().chain(authorized).chain(["pay"]).collect()
}

#[async_trait]
impl RequestChain for PayProofEvm {
    fn contracts(&self) -> Vec<(Network, String)> {
        let here = self.contracts.iter().filter(|(network, _)| self.chain(network).is_some());
        here.map(|(network, contract)| (network.clone(), account::text(*contract))).collect()
    }

    fn relay_scheme(&self) -> &'static str {
        relay::SCHEME
    }

    fn relayed(&self, order: &RelayOrder) -> Result<Payment, Reason> {
        let contract = self.contract(&order.network).ok_or(Reason::InvalidNetwork)?;
        relay::payment(order, contract)
    }

    async fn currencies(&self, network: &Network) -> Result<Vec<PayCurrency>, Fault> {
        let (chain, contract) = self.set_up(network)?;
        let known: Vec<_> = assets::all().iter().filter(|known| known.network == *network).collect();
        let questions = known.iter().flat_map(|known| {
            [
                question(contract, &symbolOfCall { token: known.asset }),
                question(known.asset, &supportsInterfaceCall { id: fixed_bytes!("b0202a11") }),
            ]
        });
        let answer = chain.read(questions.collect()).await?;
        let mut currencies = Vec::new();
        for (at, known) in known.into_iter().enumerate() {
            let symbol: String = answer.value(2 * at).unwrap_or_default();
            if symbol.is_empty() {
                continue;
            }
            currencies.push(PayCurrency {
                symbol,
                token: account::text(known.asset),
                decimals: known.decimals,
                methods: methods(known, answer.value(2 * at + 1).unwrap_or(false)),
            });
        }
        Ok(currencies)
    }

    async fn block(&self, network: &Network, number: Option<u64>) -> Result<Option<BlockMark>, Fault> {
        let (chain, _) = self.set_up(network)?;
        let block = match number {
            Some(number) => chain.rpc().block(number).await?,
            None => Some(chain.rpc().head().await?),
        };
        Ok(block.map(|block| BlockMark {
            number: block.number.to(),
            hash: block.hash.to_string(),
            at: Timestamp(block.timestamp.to()),
        }))
    }

    async fn paid(
        &self,
        network: &Network,
        from: u64,
        to: u64,
        topic: Option<&str>,
    ) -> Result<Vec<RequestPaid>, Fault> {
        let (chain, contract) = self.set_up(network)?;
        // Whoever searches for one request goes where others have read before.
        let new = topic.map_or(NEW_BLOCKS, |_| 0);
        let old = to.checked_sub(new).filter(|old| from <= *old);
        let mut logs = Vec::new();
        if let Some(old) = old {
            let range = json!({ "fromBlock": U256::from(from), "toBlock": U256::from(old) });
            logs = self.logs(chain, contract, range, topic).await?;
        }
        for number in old.map_or(from, |old| old + 1)..=to {
            let block = chain.rpc().block(number).await?;
            let block =
                block.ok_or_else(|| Fault::unavailable("chain", "a block below the head is not there"))?;
            logs.extend(self.logs(chain, contract, json!({ "blockHash": block.hash }), topic).await?);
        }
        // A node may answer more than it was asked.
        let asked = |event: &RequestPaid| {
            (from..=to).contains(&event.paid.block) && topic.is_none_or(|topic| event.topic == topic)
        };
        Ok(logs.iter().filter_map(|log| log.event(contract)).filter(asked).collect())
    }

    async fn standing(&self, network: &Network, mined: &Mined) -> Result<Standing, Fault> {
        self.set_up(network)?.0.standing(mined).await
    }
}
