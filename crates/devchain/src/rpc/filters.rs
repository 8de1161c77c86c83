//! Events: by question, and by filters that are asked again and again.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, Log};
use serde_json::{Value, json};

use super::encode::{self, hex};
use super::params::{Params, number};
use super::read::find_block;
use super::{RpcError, unknown};
use crate::chain::Node;

/// Installed filters.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    next: u64,
    installed: HashMap<u64, Filter>,
}

#[derive(Debug)]
enum Filter {
    /// New block hashes since the last question.
    Blocks(Vec<B256>),
    /// New waiting transactions since the last question.
    Pending(Vec<B256>),
    /// Events from this block on.
    Logs { query: Value, from: u64 },
}

/// Most that a filter keeps for somebody who never asks.
const KEPT_MAX: usize = 10_000;
/// Most filters at once.
const FILTERS_MAX: usize = 10_000;

impl Filters {
    pub(crate) fn block(&mut self, hash: B256) {
        for filter in self.installed.values_mut() {
            if let Filter::Blocks(hashes) = filter
                && hashes.len() < KEPT_MAX
            {
                hashes.push(hash);
            }
        }
    }

    pub(crate) fn pending(&mut self, hash: B256) {
        for filter in self.installed.values_mut() {
            if let Filter::Pending(hashes) = filter
                && hashes.len() < KEPT_MAX
            {
                hashes.push(hash);
            }
        }
    }

    fn install(&mut self, filter: Filter) -> Result<Value, RpcError> {
        if self.installed.len() >= FILTERS_MAX {
            return Err(RpcError::server("too many filters"));
        }
        self.next += 1;
        self.installed.insert(self.next, filter);
        Ok(hex(self.next))
    }
}

pub(super) fn answer(node: &mut Node, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
    match method {
        "eth_getLogs" => Query::read(node, params.at(0))?.run(node),
        "eth_newBlockFilter" => node.filters.install(Filter::Blocks(Vec::new())),
        "eth_newPendingTransactionFilter" => node.filters.install(Filter::Pending(Vec::new())),
        "eth_newFilter" => {
            Query::read(node, params.at(0))?;
            let from = node.head().number + 1;
            node.filters.install(Filter::Logs { query: params.at(0).clone(), from })
        }
        "eth_uninstallFilter" => Ok(json!(node.filters.installed.remove(&params.small(0)?).is_some())),
        "eth_getFilterLogs" | "eth_getFilterChanges" => {
            changes(node, params.small(0)?, method == "eth_getFilterLogs")
        }
        _ => Err(unknown(method)),
    }
}

fn changes(node: &mut Node, id: u64, all: bool) -> Result<Value, RpcError> {
    let head = node.head().number;
    let (query, since) = match node.filters.installed.get_mut(&id) {
        None => return Err(RpcError::server("filter not found")),
        Some(Filter::Blocks(hashes) | Filter::Pending(hashes)) => return Ok(json!(std::mem::take(hashes))),
        Some(Filter::Logs { query, .. }) if all => (query.clone(), None),
        Some(Filter::Logs { query, from }) => (query.clone(), Some(std::mem::replace(from, head + 1))),
    };
    let mut query = Query::read(node, &query)?;
    if let Some(since) = since {
        (query.from, query.to) = (since, head);
    }
    query.run(node)
}

/// What events are asked for.
struct Query {
    from: u64,
    to: u64,
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
}

impl Query {
    fn read(node: &Node, filter: &Value) -> Result<Self, RpcError> {
        let wrong = |what: &str| RpcError::params(format!("{what} of the filter cannot be read"));
        let head = node.head().number;
        let bound = |name: &str| match filter.get(name) {
            None | Some(Value::Null) => Ok(head),
            Some(Value::String(tag)) if !tag.starts_with("0x") => {
                Ok(find_block(node, &filter[name])?.map_or(0, |block| block.number))
            }
            Some(value) => number(value).map(|number| number.saturating_to()).ok_or_else(|| wrong(name)),
        };
        let (from, to) = match filter.get("blockHash").filter(|hash| !hash.is_null()) {
            Some(hash) => {
                let block = find_block(node, hash)?.ok_or_else(|| RpcError::server("unknown block"))?;
                (block.number, block.number)
            }
            None => (bound("fromBlock")?, bound("toBlock")?),
        };
        let topics = filter.get("topics").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Ok(Self {
            from,
            to,
            addresses: one_or_many(filter.get("address")).ok_or_else(|| wrong("address"))?,
            topics: topics
                .iter()
                .map(|topic| one_or_many(Some(topic)).ok_or_else(|| wrong("topics")))
                .collect::<Result<_, _>>()?,
        })
    }

    fn matches(&self, log: &Log) -> bool {
        let address = self.addresses.is_empty() || self.addresses.contains(&log.address);
        let topic = |(index, wanted): (usize, &Vec<B256>)| {
            wanted.is_empty() || log.topics().get(index).is_some_and(|topic| wanted.contains(topic))
        };
        address && self.topics.iter().enumerate().all(topic)
    }

    fn run(&self, node: &Node) -> Result<Value, RpcError> {
        let mut found = Vec::new();
        let oldest = node.blocks.front().map_or(0, |block| block.number);
        for number in self.from.max(oldest)..=self.to.min(node.head().number) {
            let Some(block) = node.block(number) else { continue };
            for mined in block.transactions.iter().filter_map(|hash| node.mined.get(hash)) {
                let logs = (mined.first_log..).zip(&mined.logs).filter(|(_, log)| self.matches(log));
                found.extend(logs.map(|(index, log)| encode::log(mined, block.hash, index, log)));
            }
        }
        Ok(Value::Array(found))
    }
}

/// Nothing, one value, or a list of them.
fn one_or_many<T: serde::de::DeserializeOwned>(value: Option<&Value>) -> Option<Vec<T>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(values)) => values.iter().map(|value| T::deserialize(value).ok()).collect(),
        Some(value) => T::deserialize(value).ok().map(|one| vec![one]),
    }
}
