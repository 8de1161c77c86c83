//! What only a dev chain can do: money from nowhere, time travel, going back, and trouble on demand.

use std::time::Duration;

use serde_json::{Value, json};

use super::encode::hex;
use super::params::Params;
use super::{RpcError, unknown};
use crate::chain::Node;
use crate::{Mining, genesis};

pub(super) fn answer(node: &mut Node, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
    let (family, name) = method.split_once('_').unwrap_or((method, ""));
    match (family, name) {
        ("evm", "snapshot") => return Ok(hex(node.snapshot())),
        ("evm", "revert") => {
            let id = params.small(0)?;
            return Ok(json!(node.revert(id)));
        }
        ("evm" | "anvil", "increaseTime") => {
            let seconds = params.small(0)?;
            node.time.increase(seconds);
            return Ok(json!(seconds));
        }
        ("evm" | "anvil", "setNextBlockTimestamp") => {
            let second = params.small(0)?;
            if second < node.head().header.timestamp {
                return Err(RpcError::params("the time is before that of the newest block"));
            }
            node.time.set_next(second);
        }
        ("anvil" | "hardhat", "setNextBlockBaseFeePerGas") => node.next_fee = Some(params.small(0)?),
        ("evm" | "anvil", "setTime") => {
            let second = params.small(0)?;
            node.time.set(second);
        }
        ("evm", "mine") => {
            node.mine();
            return Ok(json!("0x0"));
        }
        ("anvil" | "hardhat", "mine") => {
            let count = if params.at(0).is_null() { 1 } else { params.small(0)? };
            (0..count.min(10_000)).for_each(|_| node.mine());
        }
        ("evm" | "anvil", "setAutomine") => {
            let on = params.at(0).as_bool().unwrap_or(false);
            node.mining = if on { Mining::Instant } else { Mining::Manual };
        }
        ("evm", "setIntervalMining") => {
            return Err(RpcError::server("choose the interval when the chain starts"));
        }
        ("anvil" | "hardhat", "setBalance") => {
            let (address, wei) = (params.address(0)?, params.number(1)?);
            node.ledger.set_balance(address, wei);
        }
        ("anvil" | "hardhat", "setCode") => {
            let (address, code) = (params.address(0)?, params.bytes(1)?);
            node.ledger.set_code(address, code);
        }
        ("anvil" | "hardhat", "setNonce") => {
            let (address, nonce) = (params.address(0)?, params.small(1)?);
            node.ledger.set_nonce(address, nonce);
        }
        ("anvil" | "hardhat", "setStorageAt") => {
            let (address, slot, value) = (params.address(0)?, params.number(1)?, params.number(2)?);
            node.ledger.set_slot(address, slot, value);
            return Ok(json!(true));
        }
        ("anvil" | "hardhat", "dropTransaction") => {
            let hash = params.hash(0)?;
            return Ok(if node.pool.remove(hash) { json!(hash) } else { Value::Null });
        }
        ("dev", _) => return fault(node, name, params).ok_or_else(|| unknown(method))?,
        _ => return Err(unknown(method)),
    }
    Ok(Value::Null)
}

fn fault(node: &mut Node, name: &str, params: &Params<'_>) -> Option<Result<Value, RpcError>> {
    Some(match name {
        "mintUsdc" => params.address(0).and_then(|account| {
            let units = params.number(1)?;
            genesis::mint_usdc(node, account, units);
            Ok(json!(genesis::usdc_balance(node, account)))
        }),
        "dropNext" => count(params).map(|count| node.faults.drop_next = count).map(|()| Value::Null),
        "loseReply" => count(params).map(|count| node.faults.lose_reply = count).map(|()| Value::Null),
        "delay" => {
            params.small(0).map(|ms| node.faults.delay = Duration::from_millis(ms)).map(|()| Value::Null)
        }
        "hold" => {
            node.faults.hold = true;
            Ok(Value::Null)
        }
        "release" => {
            node.faults.hold = false;
            if node.mining == Mining::Instant {
                node.mine();
            }
            Ok(Value::Null)
        }
        "failNext" => params.read::<String>(0, "a method").and_then(|method| {
            let times = count(&Params::new(&json!([params.at(1)])))?;
            let code = params.at(2).as_i64().unwrap_or(-32000);
            node.faults.fail_next.insert(method, (times, code));
            Ok(Value::Null)
        }),
        "reorg" => params.small(0).map(|depth| {
            node.reorg(depth, params.at(1).as_bool().unwrap_or(false));
            hex(node.head().number)
        }),
        _ => return None,
    })
}

fn count(params: &Params<'_>) -> Result<u32, RpcError> {
    params.small(0)?.try_into().map_err(|_| RpcError::params("the count is too large"))
}
