//! A node that tells more than was asked, or something else.

use std::sync::Arc;

use alloy_json_rpc::{RequestPacket, ResponsePacket, SerializedRequest};
use alloy_transport::{TransportError, TransportFut};
use groat_chain_evm::{Chain, ChainOptions, Rpc};
use groat_core::Timestamp;
use groat_devchain::DevChain;
use groat_indexer::{Indexer, IndexerOptions};
use groat_store::MemoryStore;
use serde_json::{Value, json};
use tower::Service;

use crate::world::{CONTRACTS, World, hashes};

type Lie = Arc<dyn Fn(&mut Vec<Value>) + Send + Sync>;

/// The chain's own answers, with other logs.
#[derive(Clone)]
struct Liar {
    truth: DevChain,
    lie: Lie,
}

impl Liar {
    fn chain(chain: &DevChain, lie: impl Fn(&mut Vec<Value>) + Send + Sync + 'static) -> Chain {
        let liar = Self { truth: chain.clone(), lie: Arc::new(lie) };
        Chain::new(84532, Rpc::local(liar), Vec::new(), ChainOptions::default())
    }
}

impl Service<RequestPacket> for Liar {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), TransportError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        let (truth, lie) = (self.truth.clone(), Arc::clone(&self.lie));
        Box::pin(async move {
            let request = request.as_single().map(SerializedRequest::serialized).unwrap();
            let request: Value = serde_json::from_str(request.get()).unwrap();
            let method = request["method"].as_str().unwrap();
            let mut result = truth.request(method, request["params"].clone()).unwrap();
            if method == "eth_getLogs" {
                lie(result.as_array_mut().unwrap());
            }
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
            // Through text: an answer keeps the letters of its result.
            Ok(serde_json::from_str(&answer.to_string()).unwrap())
        })
    }
}

async fn indexer(world: &World, lie: impl Fn(&mut Vec<Value>) + Send + Sync + 'static) -> Arc<Indexer> {
    let chain = Liar::chain(&world.chain, lie);
    let clock = Arc::new(|| Timestamp(0));
    let store = Arc::new(MemoryStore::default());
    Arc::new(Indexer::open(chain, CONTRACTS, store, clock, IndexerOptions::default()).await.unwrap())
}

#[tokio::test]
async fn c03_logs_that_do_not_fit_are_left_out() {
    let world = World::new();
    let paid = world.pay();
    world.chain.mine(3);
    let lie = |logs: &mut Vec<Value>| {
        let Some(log) = logs.first().cloned() else { return };
        let mut add = |change: &dyn Fn(&mut Value)| {
            let mut log = log.clone();
            log["logIndex"] = "0x63".into();
            change(&mut log);
            logs.push(log);
        };
        add(&|log| log["address"] = "0x00000000000000000000000000000000000000aa".into());
        add(&|log| log["topics"][0] = format!("0x{}", "11".repeat(32)).into());
        add(&|log| log["topics"] = Value::Array(Vec::new()));
        add(&|log| log["data"] = "0x00".into());
        add(&|log| log["blockNumber"] = "0xffff".into());
        add(&|log| log["blockNumber"] = Value::Null);
        add(&|log| log["transactionHash"] = Value::Null);
        add(&|log| log["removed"] = true.into());
        // The same again.
        logs.push(log);
    };
    let indexer = indexer(&world, lie).await;
    assert_eq!(indexer.poll().await.unwrap().found, 1);
    assert_eq!(hashes(&indexer, &world).await, [paid]);
}

#[tokio::test]
async fn a_log_of_another_block_stops_the_reading_until_the_node_agrees_with_itself() {
    let world = World::new();
    world.pay();
    world.chain.mine(3);
    let lie = |logs: &mut Vec<Value>| {
        for log in logs {
            log["blockHash"] = format!("0x{}", "22".repeat(32)).into();
        }
    };
    let indexer = indexer(&world, lie).await;
    assert!(indexer.poll().await.is_err());
    assert_eq!(indexer.status().0, 0);
    assert!(hashes(&indexer, &world).await.is_empty());
}
