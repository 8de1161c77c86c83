//! JSON-RPC: which method is answered where.

mod dev;
mod encode;
mod filters;
mod params;
mod read;
mod write;

use alloy_primitives::Bytes;
use serde_json::{Value, json};

use crate::chain::Node;

pub(crate) use filters::Filters;
pub(crate) use write::LOST;

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// Its code: 3 for a revert, -32601 for an unknown method, -32602 for wrong parameters, -32000 for the rest.
    pub code: i64,
    /// Its text.
    pub message: String,
    /// What a contract reverted with.
    pub data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The chain does not want this.
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(-32000, message)
    }

    /// The parameters are not what the method takes.
    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// A contract reverted; `None` when it ran out of gas or stopped otherwise.
    pub(crate) fn revert(data: Option<Bytes>) -> Self {
        let Some(data) = data else { return Self::server("out of gas or invalid opcode") };
        let message = match reason(&data) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self { code: 3, message, data: Some(json!(data)) }
    }
}

/// The text of `Error(string)` or the code of `Panic(uint256)`.
fn reason(data: &[u8]) -> Option<String> {
    use alloy_sol_types::{Panic, Revert, SolError};
    if let Ok(revert) = Revert::abi_decode(data) {
        return Some(revert.reason);
    }
    Panic::abi_decode(data).ok().map(|panic| format!("panic 0x{:02x}", panic.code))
}

/// Answers one call.
pub(crate) fn dispatch(node: &mut Node, method: &str, params: &Value) -> Result<Value, RpcError> {
    if let Some(code) = node.faults.strike(method) {
        return Err(RpcError::new(code, "simulated trouble"));
    }
    let params = params::Params::new(params);
    match method.split('_').next().unwrap_or_default() {
        "evm" | "anvil" | "hardhat" | "dev" => dev::answer(node, method, &params),
        _ => match method {
            "eth_sendRawTransaction" | "eth_sendRawTransactionSync" => write::answer(node, method, &params),
            "eth_newFilter"
            | "eth_newBlockFilter"
            | "eth_newPendingTransactionFilter"
            | "eth_getFilterChanges"
            | "eth_getFilterLogs"
            | "eth_uninstallFilter"
            | "eth_getLogs" => filters::answer(node, method, &params),
            _ => read::answer(node, method, &params),
        },
    }
}

/// No such method; clients that try several depend on the code.
fn unknown(method: &str) -> RpcError {
    RpcError::new(-32601, format!("the method {method} does not exist/is not available"))
}
