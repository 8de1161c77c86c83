//! Blocks, transactions and receipts as JSON.

use alloy_consensus::Transaction;
use alloy_primitives::{B256, Bloom, Log, U64, U256};
use serde_json::{Value, json};

use crate::chain::{Block, Mined, Node};
use crate::transaction::Signed;

/// A quantity: `0x` and hex without leading zeros.
pub(super) fn hex(number: impl TryInto<U256>) -> Value {
    json!(number.try_into().unwrap_or_default())
}

/// A block, with its transactions in full or by hash.
pub(super) fn block(node: &Node, block: &Block, full: bool) -> Value {
    let header = &block.header;
    let transactions: Vec<Value> = match full {
        true => block
            .transactions
            .iter()
            .filter_map(|hash| node.mined.get(hash))
            .map(|tx| mined(node, tx))
            .collect(),
        false => block.transactions.iter().map(|hash| json!(hash)).collect(),
    };
    json!({
        "number": hex(block.number),
        "hash": block.hash,
        "parentHash": header.parent_hash,
        "nonce": "0x0000000000000000",
        "sha3Uncles": header.ommers_hash,
        "logsBloom": header.logs_bloom,
        "transactionsRoot": header.transactions_root,
        "stateRoot": header.state_root,
        "receiptsRoot": header.receipts_root,
        "miner": header.beneficiary,
        "mixHash": header.mix_hash,
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": header.extra_data,
        "size": "0x400",
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas.unwrap_or_default()),
        "uncles": [],
        "transactions": transactions,
    })
}

/// A transaction that is in a block.
pub(super) fn mined(node: &Node, mined: &Mined) -> Value {
    let mut value = pending(&mined.tx);
    value["blockHash"] = json!(block_hash(node, mined));
    value["blockNumber"] = hex(mined.block);
    value["transactionIndex"] = hex(mined.index);
    value["gasPrice"] = hex(mined.gas_price);
    value
}

/// A transaction that waits.
pub(super) fn pending(signed: &Signed) -> Value {
    let tx = &signed.envelope;
    let signature = tx.signature();
    let kind = tx.tx_type() as u8;
    let parity = U64::from(u8::from(signature.v()));
    let mut value = json!({
        "hash": signed.hash,
        "type": hex(kind),
        "nonce": hex(tx.nonce()),
        "from": signed.sender,
        "to": tx.to(),
        "value": tx.value(),
        "gas": hex(tx.gas_limit()),
        "gasPrice": hex(tx.max_fee_per_gas()),
        "input": tx.input(),
        "chainId": tx.chain_id().map(U64::from),
        "r": signature.r(),
        "s": signature.s(),
        "v": parity,
        "blockHash": null,
        "blockNumber": null,
        "transactionIndex": null,
    });
    match tx.max_priority_fee_per_gas() {
        Some(tip) => {
            value["maxFeePerGas"] = hex(tx.max_fee_per_gas());
            value["maxPriorityFeePerGas"] = hex(tip);
            value["yParity"] = json!(parity);
            value["accessList"] = json!(tx.access_list());
        }
        None if kind == 0 => {
            let v = tx.chain_id().map_or(27, |id| id * 2 + 35) + u64::from(signature.v());
            value["v"] = hex(v);
        }
        None => {}
    }
    value
}

/// A receipt.
pub(super) fn receipt(node: &Node, mined: &Mined) -> Value {
    let tx = &mined.tx;
    let mut bloom = Bloom::default();
    mined.logs.iter().for_each(|log| bloom.accrue_log(log));
    json!({
        "transactionHash": tx.hash,
        "transactionIndex": hex(mined.index),
        "blockHash": block_hash(node, mined),
        "blockNumber": hex(mined.block),
        "from": tx.sender,
        "to": tx.envelope.to(),
        "cumulativeGasUsed": hex(mined.gas_used_so_far),
        "gasUsed": hex(mined.gas_used),
        "contractAddress": tx.created().filter(|_| mined.success),
        "logs": logs(node, mined),
        "logsBloom": bloom,
        "status": hex(u8::from(mined.success)),
        "effectiveGasPrice": hex(mined.gas_price),
        "type": hex(tx.envelope.tx_type() as u8),
    })
}

/// The events of a transaction.
pub(super) fn logs(node: &Node, mined: &Mined) -> Vec<Value> {
    let hash = block_hash(node, mined);
    (mined.first_log..).zip(&mined.logs).map(|(index, one)| log(mined, hash, index, one)).collect()
}

/// One event.
pub(super) fn log(mined: &Mined, block_hash: B256, index: u64, log: &Log) -> Value {
    json!({
        "address": log.address,
        "topics": log.topics(),
        "data": log.data.data,
        "blockHash": block_hash,
        "blockNumber": hex(mined.block),
        "transactionHash": mined.tx.hash,
        "transactionIndex": hex(mined.index),
        "logIndex": hex(index),
        "removed": false,
    })
}

fn block_hash(node: &Node, mined: &Mined) -> B256 {
    node.block(mined.block).map(|block| block.hash).unwrap_or_default()
}
