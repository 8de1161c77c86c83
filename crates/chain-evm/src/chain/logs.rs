//! Events of one contract, from the newest block backwards.

use alloy_primitives::Address;
use groat_core::Fault;
use serde_json::{Value, json};

use super::Chain;
use crate::rpc::Log;

/// Blocks per log query; hosted nodes refuse more (threat row C17).
const LOG_RANGE: u64 = 2_000;
/// How many ranges back a foreign submission is looked for.
const LOG_RANGES_MAX: u64 = 25;

/// One range of blocks after the other, backwards.
pub(crate) struct LogsBack<'c> {
    chain: &'c Chain,
    contract: Address,
    topics: Value,
    /// The newest block that has not been asked about.
    to: Option<u64>,
    left: u64,
}

impl<'c> LogsBack<'c> {
    /// From the newest block on.
    pub(crate) async fn new(chain: &'c Chain, contract: Address, topics: Value) -> Result<Self, Fault> {
        let to = Some(chain.rpc().head().await?.number.to::<u64>());
        Ok(Self { chain, contract, topics, to, left: LOG_RANGES_MAX })
    }

    /// The events of the next range; `None` after the last that is looked at.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Log>>, Fault> {
        let Some(to) = self.to.filter(|_| self.left > 0) else { return Ok(None) };
        let from = to.saturating_sub(LOG_RANGE - 1);
        let filter = json!({
            "address": self.contract,
            "fromBlock": format!("{from:#x}"),
            "toBlock": format!("{to:#x}"),
            "topics": self.topics,
        });
        let mut logs = self.chain.rpc().logs(filter).await?;
        logs.retain(|log| log.address == self.contract);
        self.to = from.checked_sub(1);
        self.left -= 1;
        Ok(Some(logs))
    }
}
