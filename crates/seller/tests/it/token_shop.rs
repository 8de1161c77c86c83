//! A seller of tokens, its orders, and what its buyers do with them.

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use groat_seller::{PassKey, PassTerms, Pay, PaymentService, Settle};
use http::Request;
use serde_json::{Value, json};

use crate::kit::*;

pub(crate) const ENDPOINT: &str = "/token/GET/weather";

fn key(seed: u8) -> PassKey {
    PassKey::from_seed(&[seed; 32]).unwrap()
}

pub(crate) fn seller(world: &World) -> Pay {
    world.builder().pass_key(key(1)).token_path("/token").build().unwrap()
}

/// `/weather` and `/news` for a cent each, and whoever sells passes for them.
pub(crate) fn shop(world: &World, settle: Settle) -> Router {
    let pay = seller(world);
    let mut service = PaymentService::new(&pay);
    let mut app = Router::new();
    for path in ["/weather", "/news"] {
        let terms = PassTerms { ttl_s: 300, scope: None, uses: None };
        let layer = pay.route().price("$0.01").settle(settle).pass(terms).build().unwrap();
        service = service.route(&format!("GET {path}"), &layer).unwrap();
        let handler = world.counted(|run, _| async move { text(&format!("run {run}")) });
        app = app.route(path, any(handler).layer(layer));
    }
    app.fallback_service(service)
}

pub(crate) fn permit(nonce: &str) -> Value {
    json!({
        "permit_type": "ERC3009",
        "signature": { "signature_type": "ERC3009", "v": 27, "r": "0xabc", "s": "0xdef" },
        "token": ASSET, "chain_id": 84532, "authorizer": PAYER, "recipient": PAY_TO,
        "value": 10_000, "validAfter": 0, "validBefore": NOW + 60, "nonce": nonce,
    })
}

pub(crate) fn order_at(path: &str, permit: &Value) -> Request<Body> {
    post(path, json!({ "version": "Version 0.1", "permit": permit }).to_string())
}

pub(crate) fn bearer(path: &str, token: &str) -> Request<Body> {
    let mut request = get(path);
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

pub(crate) fn token(seen: &Seen) -> String {
    seen.json()["access_token"].as_str().unwrap_or_else(|| panic!("{seen:?}")).to_owned()
}

/// The request with what a payer shows that asks about payments.
pub(crate) fn sign(mut request: Request<Body>, at: u64, signature: &str) -> Request<Body> {
    request.headers_mut().insert("x-payment-timestamp", at.into());
    request.headers_mut().insert("x-payment-signature", signature.parse().unwrap());
    request
}
