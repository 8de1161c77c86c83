//! The node: the chain's JSON-RPC over the network, on a bad day.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::hex;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::wire::serve;
use crate::world::World;

pub(crate) async fn run(world: Arc<World>) -> turmoil::Result {
    serve(Router::new().route("/", post(answer)).with_state(world)).await
}

/// Nothing comes back: at once, or never.
async fn silence(world: &World) -> Response {
    if world.stage.chance(500) {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    StatusCode::BAD_GATEWAY.into_response()
}

async fn answer(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let stage = &world.stage;
    let Ok(call) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let method = call["method"].as_str().unwrap_or_default();
    // Heads are asked for all the time; that they fail teaches little.
    let is_telling = method != "eth_blockNumber" || stage.chance(50);
    if is_telling && stage.strikes(Fault::RpcLost) {
        return silence(&world).await;
    }
    if is_telling && stage.strikes(Fault::RpcFails) {
        let error = json!({ "code": -32000, "message": "simulated trouble" });
        return Json(json!({ "jsonrpc": "2.0", "id": call["id"], "error": error })).into_response();
    }
    let is_of_the_past = matches!(method, "eth_getTransactionReceipt" | "eth_getLogs");
    let (result, is_lost) = if is_of_the_past && stage.strikes(Fault::StaleNode) {
        (Ok(if method == "eth_getLogs" { json!([]) } else { Value::Null }), false)
    } else if method == "eth_sendRawTransaction" {
        send(&world, &call)
    } else {
        (
            world.chain.dev.request(method, call["params"].clone()),
            is_telling && stage.strikes(Fault::RpcReplyLost),
        )
    };
    if stage.chance(100) {
        stage.pause_ms(1, 100).await;
    }
    if is_lost {
        return silence(&world).await;
    }
    match result {
        Ok(result) => Json(json!({ "jsonrpc": "2.0", "id": call["id"], "result": result })).into_response(),
        Err(error) => {
            let error = json!({ "code": error.code, "message": error.message, "data": error.data });
            Json(json!({ "jsonrpc": "2.0", "id": call["id"], "error": error })).into_response()
        }
    }
}

/// A transaction comes in; whether its reply is lost is told too.
fn send(world: &World, call: &Value) -> (Result<Value, groat_devchain::RpcError>, bool) {
    let raw = call["params"][0].as_str().and_then(|text| hex::decode(text).ok()).unwrap_or_default();
    let hash = world.chain.observe(&raw, &world.notebook.nonces());
    if let Some(hash) = hash
        && world.stage.strikes(Fault::BroadcastDropped)
    {
        return (Ok(json!(hash)), false);
    }
    let result = world.chain.dev.request("eth_sendRawTransaction", call["params"].clone());
    (result, world.stage.strikes(Fault::BroadcastReplyLost))
}
