//! A node that answers JSON-RPC from a function.

use std::sync::Arc;
use std::task::{Context, Poll};

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use serde_json::{Value, json};
use tower::Service;

type Answer = dyn Fn(&str, &Value) -> Result<Value, String> + Send + Sync;

/// A transport whose calls are answered by `answer`; its error is a revert.
pub(crate) fn node(answer: impl Fn(&str, &Value) -> Result<Value, String> + Send + Sync + 'static) -> Node {
    Node(Arc::new(answer))
}

#[derive(Clone)]
pub(crate) struct Node(Arc<Answer>);

impl Node {
    fn answer(&self, call: &Value) -> Value {
        match (self.0)(call["method"].as_str().unwrap(), &call["params"]) {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }),
            Err(message) => {
                json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": 3, "message": message } })
            }
        }
    }
}

impl Service<RequestPacket> for Node {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let reply = match serde_json::to_value(&packet).unwrap() {
            Value::Array(calls) => calls.iter().map(|call| self.answer(call)).collect(),
            call => self.answer(&call),
        };
        Box::pin(async move { serde_json::from_str(&reply.to_string()).map_err(TransportErrorKind::custom) })
    }
}
