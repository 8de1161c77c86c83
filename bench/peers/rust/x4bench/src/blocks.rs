//! When blocks appeared, so that a settlement's latency can be told apart from the chain's.
use crate::http::{Rpc, hex_u128};
use crate::load::{Shot, judge};
use anyhow::Result;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Asks the chain itself, never the counting proxy.
const INTERVAL: Duration = Duration::from_millis(4);

/// The moment at which each block was first seen.
pub struct Blocks {
    seen: Rc<RefCell<BTreeMap<u128, Instant>>>,
}

impl Blocks {
    /// Watches until the runtime ends.
    pub fn watch(rpc: &str) -> Result<Self> {
        let seen = Rc::new(RefCell::new(BTreeMap::new()));
        let (mut rpc, blocks) = (Rpc::new(rpc)?, seen.clone());
        tokio::task::spawn_local(async move {
            loop {
                if let Ok(number) = rpc.number("eth_blockNumber", json!([])).await {
                    blocks.borrow_mut().entry(number).or_insert_with(Instant::now);
                }
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Ok(Self { seen })
    }

    /// Milliseconds from the block of each settlement to its answer.
    pub async fn delays(&self, rpc: &mut Rpc, shots: &[Shot]) -> Result<Vec<f64>> {
        let mut delays = vec![];
        for shot in shots {
            let (true, _, Some(hash)) = judge(&shot.result) else { continue };
            let receipt = rpc.call("eth_getTransactionReceipt", json!([hash])).await?;
            let Ok(number) = hex_u128(&receipt["blockNumber"]) else { continue };
            // A block that was missed between two looks came before the next one that was seen.
            let Some(at) = self.seen.borrow().range(number..).next().map(|(_, at)| *at) else { continue };
            delays.push(shot.ended.saturating_duration_since(at).as_secs_f64() * 1e3);
        }
        Ok(delays)
    }
}
