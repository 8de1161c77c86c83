//! Transactions come in.

use serde_json::{Value, json};

use super::encode;
use super::params::Params;
use super::{RpcError, unknown};
use crate::chain::Node;
use crate::transaction::Signed;

/// The code of a lost reply; the transports turn it into silence.
pub(crate) const LOST: i64 = i64::MIN;

pub(super) fn answer(node: &mut Node, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
    let tx = Signed::read(&params.bytes(0)?).map_err(RpcError::server)?;
    let hash = node.send(tx).map_err(RpcError::server)?;
    if node.faults.loses_reply() {
        return Err(RpcError::new(LOST, "the reply is lost"));
    }
    match (method, node.mined.get(&hash)) {
        ("eth_sendRawTransaction", _) => Ok(json!(hash)),
        // EIP-7966: here only a chain that mines at once can answer at once.
        ("eth_sendRawTransactionSync", Some(mined)) => Ok(encode::receipt(node, mined)),
        ("eth_sendRawTransactionSync", None) => Err(RpcError {
            code: 4,
            message: "the transaction was added to the mempool but wasn't processed in time".into(),
            data: Some(json!(hash)),
        }),
        _ => Err(unknown(method)),
    }
}
