//! How a facilitator looks at a chain whose nodes are slow, behind, or asked for what nobody knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use futures_util::future::join_all;
use groat_chain_evm::{ByHashEvm, Chain, ChainOptions, Rpc};
use groat_core::books::Mined;
use groat_core::ports::Observer;
use groat_core::{Depth, Failure, Fault, Network, Timestamp};
use groat_devchain::Mining;
use serde_json::{Value, json};

use super::market::{Market, PRICE};
use super::seen::{offer, payment};
use crate::node::{Node, node};
use crate::world::{NOW, PAY_TO};

fn network() -> Network {
    Network::eip155(84532)
}

fn looks(rpc: Rpc) -> ByHashEvm {
    ByHashEvm::on(vec![Chain::new(84532, rpc, vec![], ChainOptions::default())])
}

async fn depth(looks: &ByHashEvm, block: &Value) -> Result<Depth, Fault> {
    let number = u64::from_str_radix(&block["number"].as_str().unwrap()[2..], 16).unwrap();
    let block_hash = block["hash"].as_str().unwrap().to_owned();
    looks.depth(&network(), &Mined { transaction: "0x0".into(), block: number, block_hash }).await
}

/// Links of the chain are believed for a second.
async fn until_links_are_old() {
    tokio::time::sleep(Duration::from_millis(1_050)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_of_a_slow_node_is_kept_when_whoever_asked_has_left() {
    let market = Market::new(Mining::Manual);
    let looks = looks(Rpc::local(market.chain.transport()));
    market.chain.mine(1);
    let block = market.ask("eth_getBlockByNumber", json!(["latest", false]));
    depth(&looks, &block).await.unwrap();
    market.chain.mine(40);
    until_links_are_old().await;
    market.chain.faults(|faults| faults.delay = Duration::from_millis(15));
    // Forty questions take more than any of these has time for.
    for _ in 0..20 {
        if let Ok(depth) = tokio::time::timeout(Duration::from_millis(150), depth(&looks, &block)).await {
            assert_eq!(depth.unwrap().confirmations, 41);
            return;
        }
    }
    panic!("each look begins anew");
}

/// A chain that is told block by block.
#[derive(Default)]
struct Told {
    /// Which branch each block is of, from block 0.
    branches: Vec<u8>,
    /// Blocks that are not there the next time they are asked for.
    missing: Vec<u64>,
    /// Blocks of another branch the next time.
    other: HashMap<u64, u8>,
    /// In which block the transaction is.
    mined: Option<u64>,
    questions: usize,
}

fn hash(branch: u8, number: u64) -> B256 {
    let mut hash = B256::repeat_byte(branch);
    hash[24..].copy_from_slice(&number.to_be_bytes());
    hash
}

const TRANSACTION: B256 = B256::repeat_byte(0xab);

impl Told {
    fn hash(&self, number: u64) -> B256 {
        hash(self.branches[usize::try_from(number).unwrap()], number)
    }

    fn block(&mut self, which: &Value) -> Value {
        let last = self.branches.len() as u64 - 1;
        let number = match which.as_str().unwrap() {
            "latest" => last,
            "safe" | "finalized" => 0,
            number => u64::from_str_radix(&number[2..], 16).unwrap(),
        };
        if let Some(at) = self.missing.iter().position(|missing| *missing == number) {
            self.missing.remove(at);
            return Value::Null;
        }
        if number > last {
            return Value::Null;
        }
        let branch = self.other.remove(&number);
        let parent = number.checked_sub(1).map_or(B256::ZERO, |number| self.hash(number));
        json!({
            "number": format!("{number:#x}"),
            "hash": branch.map_or(self.hash(number), |branch| hash(branch, number)),
            "parentHash": parent,
            "timestamp": format!("{NOW:#x}"),
        })
    }

    fn answer(&mut self, method: &str, params: &Value) -> Value {
        self.questions += 1;
        match method {
            "eth_getBlockByNumber" => self.block(&params[0]),
            "eth_blockNumber" => json!(format!("{:#x}", self.branches.len() - 1)),
            "eth_getTransactionReceipt" => self.mined.map_or(Value::Null, |number| {
                json!({
                    "status": "0x1",
                    "transactionHash": TRANSACTION,
                    "blockHash": self.hash(number),
                    "blockNumber": format!("{number:#x}"),
                    "logs": [],
                })
            }),
            "eth_getTransactionByHash" => self.mined.map_or(
                Value::Null,
                |_| json!({ "from": PAY_TO, "to": PAY_TO, "value": format!("{PRICE:#x}") }),
            ),
            other => panic!("{other}"),
        }
    }
}

fn told(told: Told) -> (Arc<Mutex<Told>>, Node) {
    let told = Arc::new(Mutex::new(told));
    let asked = Arc::clone(&told);
    (told, node(move |method, params| Ok(asked.lock().unwrap().answer(method, params))))
}

#[tokio::test]
async fn a_block_that_a_node_does_not_have_yet_is_a_fault_and_hides_no_reorganisation() {
    let (chain, node) = told(Told { branches: vec![1; 5], ..Told::default() });
    let looks = looks(Rpc::local(node));
    let old = chain.lock().unwrap().block(&json!("0x4"));
    assert_eq!(depth(&looks, &old).await.unwrap().confirmations, 1);
    // Block 4 and those above are others now, and of one of them the node does not know yet.
    *chain.lock().unwrap() =
        Told { branches: vec![1, 1, 1, 1, 2, 2, 2, 2], missing: vec![5], ..Told::default() };
    until_links_are_old().await;
    let seen = depth(&looks, &old).await;
    assert!(matches!(seen, Err(Fault::Unavailable { .. })), "{seen:?}");
    assert_eq!(depth(&looks, &old).await.unwrap().confirmations, 0);
}

#[tokio::test]
async fn a_receipt_whose_block_was_just_replaced_is_asked_for_again() {
    let other = HashMap::from([(3, 7)]);
    let (_, node) = told(Told { branches: vec![1; 5], mined: Some(3), other, ..Told::default() });
    let mut terms = Market::new(Mining::Instant).direct("native", PRICE);
    terms.pay_to = PAY_TO.to_owned();
    let seen = looks(Rpc::local(node)).observe(&payment(TRANSACTION), &offer(&terms), Timestamp(NOW)).await;
    assert_eq!(seen.unwrap().settled.block_hash, hash(1, 3).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn h_hashes_that_nobody_knows_are_waited_for_a_few_at_a_time() {
    let (chain, node) = told(Told { branches: vec![1; 5], ..Told::default() });
    let (looks, offer) = (looks(Rpc::local(node)), offer(&Market::new(Mining::Instant).direct("native", 1)));
    let begun = Instant::now();
    let ends = join_all((0..100u8).map(|byte| {
        let (looks, offer) = (looks.clone(), offer.clone());
        async move {
            let seen = looks.observe(&payment(B256::repeat_byte(byte)), &offer, Timestamp(NOW)).await;
            assert!(matches!(seen, Err(Failure::Fault(Fault::Pending { .. }))), "{seen:?}");
            begun.elapsed()
        }
    }));
    let ends = ends.await;
    let at_once = ends.iter().filter(|end| **end < Duration::from_secs(2)).count();
    assert!((60..100).contains(&at_once), "{at_once}");
    assert!(chain.lock().unwrap().questions < 1_500);
}
