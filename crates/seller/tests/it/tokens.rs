//! The payment service: a permit buys a pass once, and everybody can ask what became of it.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::routing::any;
use futures_util::future::join_all;
use groat_core::Reason;
use groat_core::books::{Book, SaleState};
use groat_seller::{PassTerms, PaymentService, Settle};
use http::StatusCode;
use serde_json::{Value, json};

use crate::kit::*;
use crate::token_shop::*;

#[tokio::test]
async fn a_permit_buys_a_token_that_opens_the_resource_it_was_sold_for() {
    for settle in [Settle::After, Settle::Before] {
        let world = World::new();
        let app = shop(&world, settle);
        let asked = send(&app, get("/weather?city=Bern")).await;
        assert_eq!(
            (asked.status, asked.header("payment-endpoint")),
            (StatusCode::PAYMENT_REQUIRED, ENDPOINT)
        );
        assert_eq!(asked.json()["access_token_endpoint"], ENDPOINT);
        let sold = send(&app, order_at(ENDPOINT, &permit("n"))).await;
        assert_eq!(sold.status, StatusCode::OK, "{sold:?}");
        let answer = sold.json();
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(300)));
        assert_eq!(answer["metadata"]["payment_id"], id("n").to_string());
        assert!(sold.receipt().is_some_and(|receipt| receipt.is_settled()));
        // It has been paid for, and nothing has run yet.
        assert_eq!((world.fake.settles(), world.hits()), (1, 0));
        let token = token(&sold);
        for _ in 0..3 {
            assert_eq!(send(&app, bearer("/weather?city=Bern", &token)).await.status, StatusCode::OK);
        }
        let elsewhere = send(&app, bearer("/news", &token)).await;
        assert_eq!(elsewhere.status, StatusCode::PAYMENT_REQUIRED);
        let said = elsewhere.header("www-authenticate");
        assert!(said.starts_with("Bearer realm=") && said.contains(r#"error="invalid_token""#), "{said}");
        assert_eq!((world.fake.settles(), world.hits()), (1, 3));
    }
}

#[tokio::test]
async fn f078_one_permit_is_one_payment_and_one_token_however_often_and_however_it_is_sent() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let other = {
        let mut other = permit("n");
        other["value"] = json!("10000");
        other["signature"]["r"] = json!("0x0000abc");
        other["created_at"] = json!("2026-01-01T00:00:00");
        other
    };
    let plain = permit("n");
    let asked =
        (0..100).map(|run| send(&app, order_at(ENDPOINT, if run % 2 == 0 { &other } else { &plain })));
    let all = join_all(asked.collect::<Vec<_>>()).await;
    let first = token(&all[0]);
    assert!(all.iter().all(|seen| seen.status == StatusCode::OK && token(seen) == first));
    assert_eq!((world.fake.settles(), world.sales()), (1, 1));
    // After a restart, and after time has passed, it is still the same and no longer good.
    let again = shop(&world, Settle::After);
    world.clock.store(NOW + 100, Ordering::SeqCst);
    let later = send(&again, order_at(ENDPOINT, &permit("n"))).await;
    assert_eq!((token(&later), &later.json()["expires_in"]), (first, &json!(200)));
    world.clock.store(NOW + 300, Ordering::SeqCst);
    let late = send(&again, order_at(ENDPOINT, &permit("n"))).await;
    assert_eq!((late.status, late.error().as_str()), (StatusCode::GONE, "pass_expired"));
    assert_eq!(world.fake.settles(), 1);
}

#[tokio::test]
async fn b13_one_permit_buys_one_thing() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    assert_eq!(send(&app, order_at(ENDPOINT, &permit("n"))).await.status, StatusCode::OK);
    let other = send(&app, order_at("/token/GET/news", &permit("n"))).await;
    assert_eq!((other.status, other.error().as_str()), (StatusCode::BAD_REQUEST, "payment_already_used"));
    assert!(other.json().get("access_token").is_none());
}

#[tokio::test]
async fn b14_there_is_no_token_before_the_money_has_moved() {
    for (script, status, error) in [
        (
            refuse(Reason::InsufficientBalance),
            StatusCode::BAD_REQUEST,
            "invalid_exact_evm_insufficient_balance",
        ),
        (pending("0x1"), StatusCode::SERVICE_UNAVAILABLE, "settlement_pending"),
    ] {
        let world = World::new();
        let app = shop(&world, Settle::After);
        world.fake.script_settle(script);
        if status.is_server_error() {
            world.fake.script_settle(pending("0x1"));
        }
        let seen = send(&app, order_at(ENDPOINT, &permit("n"))).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, error), "{seen:?}");
        assert!(
            seen.json().get("access_token").is_none() && seen.header("x-payment-access-token").is_empty()
        );
    }
}

#[tokio::test]
async fn what_is_no_order_is_told_and_costs_nothing() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let told = |request| send(&app, request);
    let broken = told(post(ENDPOINT, "{}")).await;
    assert_eq!((broken.status, broken.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_payload"));
    assert!(broken.json()["message"].as_str().unwrap().contains("`permit` is missing"));
    let unknown = told(order_at("/token/GET/nothing", &permit("n"))).await;
    assert_eq!((unknown.status, unknown.error().as_str()), (StatusCode::NOT_FOUND, "unknown_resource"));
    let bare = told(order_at("/token", &permit("n"))).await;
    assert_eq!((bare.status, bare.error().as_str()), (StatusCode::BAD_REQUEST, "resource_missing"));
    let large = told(post(ENDPOINT, "x".repeat(100_000))).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut put = post(ENDPOINT, "{}");
    *put.method_mut() = http::Method::PUT;
    assert_eq!(told(put).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!((world.fake.settles(), world.store.count(Book::Sales)), (0, 0));
}

#[tokio::test]
async fn an_order_may_name_its_resource_in_the_body() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let order = json!({ "version": "Version 0.1", "permit": permit("n"), "resource": "http://localhost/weather?x=1" });
    let sold = send(&app, post("/token", order.to_string())).await;
    assert_eq!(send(&app, bearer("/weather", &token(&sold))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_price_is_quoted_without_asking_for_the_resource() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let asked = send(&app, get("/weather")).await.json();
    for path in
        ["/token/quote?resource=http%3A%2F%2Flocalhost%2Fweather", "/token/GET/weather/quote", ENDPOINT]
    {
        let quoted = send(&app, get(path)).await;
        assert_eq!((quoted.status, quoted.json()), (StatusCode::OK, asked.clone()), "{path}");
    }
    assert_eq!(send(&app, get("/token/quote?resource=/nothing")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.hits(), 0);
}

#[tokio::test]
async fn f079_the_payer_learns_what_became_of_a_payment_by_its_id() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let path = format!("/x402/payments/{}", id("n"));
    let unknown = send(&app, get(&path)).await;
    assert_eq!((unknown.status, unknown.error().as_str()), (StatusCode::NOT_FOUND, "unknown_payment"));
    world.fake.script_settle(pending("0x1"));
    world.fake.script_settle(pending("0x1"));
    send(&app, order_at(ENDPOINT, &permit("n"))).await;
    let open = send(&app, get(&path)).await.json();
    assert_eq!((&open["status"], &open["money_taken"]), (&json!("verified"), &json!("unknown")));
    send(&app, order_at(ENDPOINT, &permit("n"))).await;
    let paid = send(&app, get(&path)).await.json();
    assert_eq!(
        (&paid["status"], &paid["money_taken"], &paid["paid_at"]),
        (&json!("settled"), &json!("yes"), &json!(NOW))
    );
    assert_eq!(send(&app, get("/x402/payments/pay_x")).await.status, StatusCode::NOT_FOUND);
    // What the facilitator has never heard of and no chain takes any more has not moved.
    (0..2).for_each(|_| world.fake.script_settle(unavailable()));
    send(&app, order_at(ENDPOINT, &permit("lost"))).await;
    let path = format!("/x402/payments/{}", id("lost"));
    assert_eq!(send(&app, get(&path)).await.json()["status"], "verified");
    world.clock.store(DEAD, Ordering::SeqCst);
    let over = send(&app, get(&path)).await.json();
    assert_eq!((&over["status"], &over["money_taken"]), (&json!("expired"), &json!("no")));
}

#[tokio::test]
async fn f076_a_server_elsewhere_can_check_a_token() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    let about = |token: &str| send(&app, post("/x402/introspect", format!("token={token}")));
    let good = about(&sold).await.json();
    assert_eq!(
        (&good["active"], &good["scope"], &good["exp"]),
        (&json!(true), &json!("GET /weather"), &json!(NOW + 300))
    );
    for bad in ["x", "", &sold[..sold.len() - 1]] {
        assert_eq!(about(bad).await.json(), json!({ "active": false }), "{bad}");
    }
    world.clock.store(NOW + 300, Ordering::SeqCst);
    assert_eq!(about(&sold).await.json(), json!({ "active": false }));
    let keys = send(&app, get("/.well-known/jwks.json")).await.json();
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["crv"]), (&json!("OKP"), &json!("Ed25519")));
    let scheme = send(&app, get("/x402/schemes/evm")).await.json();
    assert_eq!((&scheme["kind"], &scheme["networks"]), (&json!("onchain"), &json!([NETWORK])));
}

#[tokio::test]
async fn a_route_whose_price_depends_on_the_request_sells_no_tokens() {
    let world = World::new();
    let pay = seller(&world);
    let terms = PassTerms { ttl_s: 300, scope: None, uses: None };
    let price = |_| async { groat_core::Price::parse("$0.01").map_err(|error| error.to_string()) };
    let layer = pay.route().price_fn(price).pass(terms).build().unwrap();
    assert!(PaymentService::new(&pay).route("GET /weather", &layer).is_err());
    let app = Router::new().route("/weather", any(|| async { "x" }).layer(layer));
    assert_eq!(send(&app, get("/weather")).await.header("payment-endpoint"), "");
}

#[tokio::test]
async fn a_crash_while_a_token_is_sold_owes_nothing_but_the_token_whatever_the_method_is() {
    let app = |world: &World| {
        let pay = seller(world);
        let terms = PassTerms { ttl_s: 300, scope: None, uses: None };
        let layer = pay.route().price("$0.01").pass(terms).build().unwrap();
        let service = PaymentService::new(&pay).route("POST /weather", &layer).unwrap();
        Router::new().fallback_service(service)
    };
    let world = World::new();
    let sold = send(&app(&world), order_at("/token/POST/weather", &permit("n"))).await;
    let sale = world.sale("n").await;
    let SaleState::Done { receipt, .. } = sale.state.clone() else { panic!("{sale:?}") };
    let world = World::after_crash(sale, SaleState::Paid { receipt, started: true }).await;
    let again = send(&app(&world), order_at("/token/POST/weather", &permit("n"))).await;
    assert_eq!((again.status, token(&again)), (StatusCode::OK, token(&sold)));
    assert_eq!(world.fake.settles(), 0);
}

fn recorded(name: &str) -> Value {
    let path = format!("{}/../../vectors/token/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn whatever_the_package_ever_sent_is_answered_with_a_token_or_a_clear_no() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let odd = recorded("04-token-answers.json")["cases"].as_array().unwrap().clone();
    let short = recorded("03-short-signatures.json");
    let bodies =
        odd.iter().filter(|case| case["request"]["method"] == "POST").map(|case| &case["request"]["body"]);
    let bodies = bodies.chain(short["permit2"].as_array().unwrap().iter().map(|one| &one["body"]));
    let mut count = 0;
    for body in bodies {
        let seen = send(&app, post(ENDPOINT, body.as_str().unwrap_or_default().to_owned())).await;
        let is_sold = seen.status == StatusCode::OK && seen.json()["access_token"].is_string();
        let is_told = seen.status == StatusCode::BAD_REQUEST && !seen.error().is_empty();
        assert!(is_sold || is_told, "{body}: {seen:?}");
        count += 1;
    }
    assert_eq!(count, 35);
}

#[tokio::test]
async fn an_order_that_is_too_large_is_told_as_a_body_that_is() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let mut large = permit("n");
    large["note"] = json!("x".repeat(20_000));
    let seen = send(&app, order_at(ENDPOINT, &large)).await;
    assert_eq!(seen.status, StatusCode::PAYLOAD_TOO_LARGE, "{seen:?}");
}

#[tokio::test]
async fn other_methods_at_the_endpoint_sell_nothing_and_head_is_get() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let mut request = order_at(ENDPOINT, &permit("n"));
        *request.method_mut() = method.parse().unwrap();
        let seen = send(&app, request).await;
        assert_eq!((seen.status.as_u16(), seen.header("allow")), (405, "POST, GET, HEAD"), "{method}");
    }
    let mut head = get(ENDPOINT);
    *head.method_mut() = http::Method::HEAD;
    let (seen, got) = (send(&app, head).await, send(&app, get(ENDPOINT)).await);
    assert_eq!((seen.status, got.status), (StatusCode::OK, StatusCode::OK));
    assert!(seen.body.is_empty(), "{seen:?}");
    assert_eq!(world.fake.settles(), 0);
}

#[tokio::test]
async fn t05_t13_there_is_no_token_for_everything() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    for path in [
        "/token/GET/",
        "/token/GET",
        "/token/*/weather",
        "/token/GET/*",
        "/token//weather",
        "/token/GET//weather",
    ] {
        let seen = send(&app, order_at(path, &permit("n"))).await;
        assert!(
            seen.status.is_client_error() && seen.json().get("access_token").is_none(),
            "{path}: {seen:?}"
        );
    }
    for resource in ["*", "/", "", "https://localhost/*", "GET *", "* /weather", "//weather"] {
        let order = json!({ "version": "Version 0.1", "permit": permit("n"), "resource": resource });
        let seen = send(&app, post("/token", order.to_string())).await;
        assert!(
            seen.status.is_client_error() && seen.json().get("access_token").is_none(),
            "{resource}: {seen:?}"
        );
    }
    assert_eq!(world.fake.settles(), 0);
}
