//! The chain over HTTP: JSON-RPC on `POST /`, on this machine only.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::DevChain;
use crate::rpc::{LOST, RpcError};

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Arc<Notify>,
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// Largest request body.
const BODY_BYTES_MAX: usize = 8 << 20;

impl DevChain {
    /// Serves JSON-RPC. Only loopback addresses are taken: anybody who can ask can also print money (threat row O18).
    pub async fn serve(&self, address: SocketAddr) -> io::Result<Server> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "a dev chain listens on loopback only",
            ));
        }
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let router = Router::new()
            .route("/", post(answer).get(|| async { "JSON-RPC is spoken here: POST\n" }))
            .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone());
        tokio::spawn(async move {
            let server = axum::serve(listener, router);
            tokio::select! {
                _ = server => {}
                () = stopped.notified() => {}
            }
        });
        Ok(Server { address, stop })
    }

    /// Answers a body: one call or a batch. `None` is a reply that got lost.
    pub(crate) fn answer_bytes(&self, body: &[u8]) -> Option<Value> {
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return Some(failure(&Value::Null, &RpcError::new(-32700, "the body is not JSON")));
        };
        match request {
            Value::Array(calls) if calls.is_empty() => {
                Some(failure(&Value::Null, &RpcError::new(-32600, "the batch is empty")))
            }
            Value::Array(calls) => {
                calls.iter().map(|call| self.answer_call(call)).collect::<Option<Vec<_>>>().map(Value::Array)
            }
            call => self.answer_call(&call),
        }
    }

    fn answer_call(&self, call: &Value) -> Option<Value> {
        let id = call.get("id").unwrap_or(&Value::Null);
        let Some(method) = call.get("method").and_then(Value::as_str) else {
            return Some(failure(id, &RpcError::new(-32600, "a call names its method")));
        };
        let params = call.get("params").cloned().unwrap_or(Value::Null);
        match self.request(method, params) {
            Ok(result) => Some(json!({ "jsonrpc": "2.0", "id": id, "result": result })),
            Err(error) if error.code == LOST => None,
            Err(error) => Some(failure(id, &error)),
        }
    }

    pub(crate) fn delay(&self) -> std::time::Duration {
        self.faults(|faults| faults.delay)
    }
}

fn failure(id: &Value, error: &RpcError) -> Value {
    let mut body = json!({ "code": error.code, "message": error.message });
    if let Some(data) = &error.data {
        body["data"] = data.clone();
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": body })
}

async fn answer(State(chain): State<DevChain>, body: Bytes) -> Response {
    let reply = chain.answer_bytes(&body);
    let delay = chain.delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match reply {
        Some(reply) => ([(header::CONTENT_TYPE, "application/json")], reply.to_string()).into_response(),
        // What a proxy says when the node behind it has hung up.
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}
