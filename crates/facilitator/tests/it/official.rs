//! The requests that official clients made (`vectors/x402/01` and `02`), settled on a chain.

use std::sync::Arc;

use alloy_primitives::U256;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use groat_chain_evm::ExactEvm;
use groat_devchain::{Mining, USDC};
use groat_facilitator::http::{Ready, Service};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::outsider::succeeded;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn vectors_01_and_02_verify_and_settle_and_the_receipt_is_theirs_to_read() {
    for (file, network) in [
        (include_str!("../../../../vectors/x402/01-exact-eip3009-v2.json"), "eip155:84532"),
        (include_str!("../../../../vectors/x402/02-exact-eip3009-v1.json"), "base-sepolia"),
    ] {
        let vector: Value = serde_json::from_str(file).unwrap();
        let world = World::new(Mining::Instant);
        world.chain.set_time(vector["clockUnixSeconds"].as_u64().unwrap());
        let payer = vector["payer"].as_str().unwrap();
        world.give(USDC, payer.parse().unwrap(), 10_000);
        let body = &vector["facilitatorRequestBody"];
        let verified = post(&world, "/verify", body).await;
        assert_eq!(verified, json!({ "isValid": true, "payer": payer }), "{network}");
        let settled = post(&world, "/settle", body).await;
        assert_eq!(settled["success"], true, "{network}: {settled}");
        assert_eq!((&settled["network"], &settled["payer"]), (&json!(network), &json!(payer)));
        assert!(succeeded(&world.chain, settled["transaction"].as_str().unwrap()));
        assert_eq!(world.received(), U256::from(10_000));
        // Once more is the same answer; verify knows that it is used, and still says who paid.
        assert_eq!(post(&world, "/settle", body).await, settled);
        let again = post(&world, "/verify", body).await;
        assert_eq!((&again["isValid"], &again["payer"]), (&json!(false), &json!(payer)), "{again}");
        assert_eq!(world.transactions(), 1);
    }
}

async fn post(world: &World, path: &str, body: &Value) -> Value {
    let mechanisms = vec![Arc::new(ExactEvm::offline()) as Arc<dyn groat_core::ports::Mechanism>];
    let service = Service::new(Arc::new(world.engine.clone()), mechanisms, String::new, Ready::default());
    let request = Request::post(path).header("content-type", "application/json");
    let response =
        service.router().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}
