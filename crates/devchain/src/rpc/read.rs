//! Questions that change nothing.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Map, Value, json};

use super::encode::{self, hex};
use super::params::{Params, number};
use super::{RpcError, unknown};
use crate::chain::{BLOCK_GAS, Block, Node, TRANSACTION_GAS};
use crate::exec;
use crate::transaction::call_env;

/// What the node suggests for the block producer, in wei.
const TIP: u64 = 1_000_000;

pub(super) fn answer(node: &Node, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
    Ok(match method {
        "eth_chainId" => hex(node.config.chain_id),
        "net_version" => json!(node.config.chain_id.to_string()),
        "net_listening" => json!(true),
        "web3_clientVersion" => json!(concat!("groat-devchain/", env!("CARGO_PKG_VERSION"))),
        "eth_syncing" => json!(false),
        "eth_accounts" => json!([]),
        "eth_blockNumber" => hex(node.head().number),
        "eth_gasPrice" => hex(node.next_base_fee() + TIP),
        "eth_maxPriorityFeePerGas" => hex(TIP),
        "eth_blobBaseFee" => hex(1u8),
        "eth_feeHistory" => fee_history(node, params)?,
        "eth_getBalance" => {
            at_head(node, params, 1)?;
            json!(node.ledger.account(params.address(0)?).balance)
        }
        "eth_getTransactionCount" => transaction_count(node, params)?,
        "eth_getCode" => {
            at_head(node, params, 1)?;
            json!(node.ledger.code(params.address(0)?))
        }
        "eth_getStorageAt" => {
            at_head(node, params, 2)?;
            let value = node.ledger.slot(params.address(0)?, params.number(1)?);
            json!(B256::from(value))
        }
        "eth_call" => call(node, params)?,
        "eth_estimateGas" => estimate(node, params)?,
        "eth_getTransactionReceipt" => {
            node.mined.get(&params.hash(0)?).map_or(Value::Null, |mined| encode::receipt(node, mined))
        }
        "eth_getTransactionByHash" => {
            let hash = params.hash(0)?;
            let mined = node.mined.get(&hash).map(|mined| encode::mined(node, mined));
            mined.or_else(|| node.pool.find(hash).map(encode::pending)).unwrap_or_default()
        }
        "eth_getBlockByNumber" | "eth_getBlockByHash" => {
            let full = params.at(1).as_bool().unwrap_or(false);
            find_block(node, params.at(0))?.map_or(Value::Null, |block| encode::block(node, block, full))
        }
        "eth_getBlockReceipts" => find_block(node, params.at(0))?.map_or(Value::Null, |block| {
            let mined = block.transactions.iter().filter_map(|hash| node.mined.get(hash));
            mined.map(|mined| encode::receipt(node, mined)).collect()
        }),
        "eth_getBlockTransactionCountByNumber" | "eth_getBlockTransactionCountByHash" => {
            find_block(node, params.at(0))?.map_or(Value::Null, |block| hex(block.transactions.len()))
        }
        "txpool_content" => {
            let mut pending = serde_json::Map::new();
            for tx in node.pool.all() {
                let of = pending.entry(tx.sender.to_checksum(None)).or_insert_with(|| json!({}));
                of[tx.nonce().to_string()] = encode::pending(tx);
            }
            json!({ "pending": pending, "queued": {} })
        }
        "txpool_status" => json!({ "pending": hex(node.pool.len()), "queued": "0x0" }),
        _ => return Err(unknown(method)),
    })
}

/// The block that a tag, number or hash names.
pub(super) fn find_block<'n>(node: &'n Node, tag: &Value) -> Result<Option<&'n Block>, RpcError> {
    let wrong = || RpcError::params("a block is named by a tag, a number or a hash");
    if let Value::Object(members) = tag {
        let inner = members.get("blockHash").or_else(|| members.get("blockNumber")).ok_or_else(wrong)?;
        return find_block(node, inner);
    }
    let text = match tag {
        Value::Null => return Ok(Some(node.head())),
        Value::String(text) => text.as_str(),
        _ => return number(tag).map(|number| node.block(number.saturating_to())).ok_or_else(wrong),
    };
    match text {
        "latest" | "pending" => Ok(Some(node.head())),
        // As deep as on chains with epochs of 32 blocks.
        "safe" => Ok(node.block(node.head().number.saturating_sub(32))),
        "finalized" => Ok(node.block(node.head().number.saturating_sub(64))),
        "earliest" => Ok(node.block(0)),
        hash if hash.len() == 66 => {
            let hash: B256 = hash.parse().map_err(|_| wrong())?;
            Ok(node.blocks.iter().rev().find(|block| block.hash == hash))
        }
        _ => number(tag).map(|number| node.block(number.saturating_to())).ok_or_else(wrong),
    }
}

/// Only the newest state is kept.
fn at_head(node: &Node, params: &Params<'_>, index: usize) -> Result<(), RpcError> {
    match find_block(node, params.at(index))? {
        Some(block) if block.number == node.head().number => Ok(()),
        Some(_) => Err(RpcError::server("missing trie node: this chain keeps only the newest state")),
        None => Err(RpcError::server("header not found")),
    }
}

fn transaction_count(node: &Node, params: &Params<'_>) -> Result<Value, RpcError> {
    let address = params.address(0)?;
    let nonce = node.ledger.account(address).nonce;
    if params.at(1) == "pending" {
        return Ok(hex(node.pool.next_nonce(address, nonce)));
    }
    // Older counts follow from what was mined since, so they need no older state.
    let block = find_block(node, params.at(1))?.ok_or_else(|| RpcError::server("header not found"))?.number;
    let since = node.mined.values().filter(|mined| mined.block > block && mined.tx.sender == address).count();
    Ok(hex(nonce.saturating_sub(since as u64)))
}

/// The members of a call object.
struct Call {
    from: Address,
    to: Option<Address>,
    data: Bytes,
    value: U256,
    gas: Option<u64>,
    gas_price: u128,
}

impl Call {
    fn read(params: &Params<'_>) -> Result<Self, RpcError> {
        let members: Map<String, Value> = params.read(0, "a call object")?;
        let member = |name: &str| members.get(name).filter(|value| !value.is_null());
        let address = |name| member(name).map(parse::<Address>).transpose();
        let quantity = |name: &str| {
            member(name)
                .map(|value| {
                    number(value).ok_or_else(|| RpcError::params(format!("{name} must be a number")))
                })
                .transpose()
        };
        Ok(Self {
            from: address("from")?.unwrap_or_default(),
            to: address("to")?,
            data: member("input")
                .or_else(|| member("data"))
                .map(parse::<Bytes>)
                .transpose()?
                .unwrap_or_default(),
            value: quantity("value")?.unwrap_or_default(),
            gas: quantity("gas")?.map(|gas| gas.saturating_to::<u64>().min(BLOCK_GAS)),
            gas_price: quantity("gasPrice")?
                .or(quantity("maxFeePerGas")?)
                .unwrap_or_default()
                .saturating_to(),
        })
    }

    fn run(&self, node: &Node, gas: u64) -> Result<(Result<Bytes, Option<Bytes>>, u64), RpcError> {
        let tx = call_env(self.from, self.to, self.data.clone(), self.value, gas, self.gas_price);
        let done = exec::call(&node.ledger, node.config.chain_id, node.head_env(), tx)
            .map_err(|error| RpcError::server(format!("{error:?}")))?;
        let used = done.result.tx_gas_used();
        Ok((exec::output(done.result), used))
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, RpcError> {
    T::deserialize(value).map_err(|_| RpcError::params("a member of the call object cannot be read"))
}

fn call(node: &Node, params: &Params<'_>) -> Result<Value, RpcError> {
    at_head(node, params, 1)?;
    let call = Call::read(params)?;
    let (output, _) = call.run(node, call.gas.unwrap_or(BLOCK_GAS))?;
    output.map(|data| json!(data)).map_err(RpcError::revert)
}

/// The least gas that is enough, found by halving, within one part in a hundred.
fn estimate(node: &Node, params: &Params<'_>) -> Result<Value, RpcError> {
    let call = Call::read(params)?;
    let limit = call.gas.unwrap_or(TRANSACTION_GAS).min(TRANSACTION_GAS);
    let (output, used) = call.run(node, limit)?;
    output.map_err(RpcError::revert)?;
    let (mut low, mut high) = (used.saturating_sub(1), limit);
    // Refunds and the 1/64 rule make a call need more than it uses; a little more is usually enough.
    let guess = used + used / 8;
    if guess < high && call.run(node, guess)?.0.is_ok() {
        high = guess;
    }
    while high - low > high / 100 {
        let middle = low + (high - low) / 2;
        if call.run(node, middle)?.0.is_ok() { high = middle } else { low = middle }
    }
    Ok(hex(high))
}

fn fee_history(node: &Node, params: &Params<'_>) -> Result<Value, RpcError> {
    let count = params.small(0)?.clamp(1, 1024);
    let newest = find_block(node, params.at(1))?.unwrap_or_else(|| node.head()).number;
    let oldest = (newest + 1).saturating_sub(count);
    let blocks: Vec<&Block> = (oldest..=newest).filter_map(|number| node.block(number)).collect();
    let percentiles = params.at(2).as_array().map_or(0, Vec::len);
    let mut fees: Vec<Value> =
        blocks.iter().map(|block| hex(block.header.base_fee_per_gas.unwrap_or_default())).collect();
    fees.push(hex(node.next_base_fee()));
    #[expect(clippy::float_arithmetic, reason = "the protocol wants a ratio; no money is made of it")]
    let ratio = |block: &&Block| block.header.gas_used as f64 / BLOCK_GAS as f64;
    Ok(json!({
        "oldestBlock": hex(blocks.first().map_or(newest, |block| block.number)),
        "baseFeePerGas": fees,
        "gasUsedRatio": blocks.iter().map(ratio).collect::<Vec<f64>>(),
        "reward": vec![vec![hex(TIP); percentiles]; blocks.len()],
    }))
}
