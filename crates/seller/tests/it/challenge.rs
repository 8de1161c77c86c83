//! What somebody hears who has not paid, or not so that it can be read.

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use groat_core::{Amount, Price, Reason};
use groat_seller::{ConfigError, Cors, Paid, RequestView, Settle};
use http::{Method, Request, StatusCode};
use serde_json::json;
use tower::Layer;

use crate::kit::*;

#[tokio::test]
async fn an_unpaid_request_gets_a_challenge_and_touches_nothing() {
    let world = World::new();
    let app = world.weather(&world.pay());
    for _ in 0..3 {
        let seen = send(&app, get("/weather?city=oslo")).await;
        assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED);
        assert!(seen.has_challenge());
        assert_eq!(seen.header("cache-control"), "no-store");
        assert!(seen.header("vary").contains("payment-signature"));
        assert_eq!(seen.error(), "Payment required");
    }
    assert_eq!((world.hits(), world.sales(), world.fake.verifies()), (0, 0, 0));
}

#[tokio::test]
async fn a_challenge_names_the_public_url_with_its_query() {
    let world = World::new();
    let app = Router::new().nest("/v1", world.weather(&world.pay()));
    for path in ["/v1/weather", "/v1/weather?city=oslo", "/v1/weather"] {
        let seen = send(&app, get(path)).await;
        let read = groat_wire::Dialects::standard().read_challenge(&seen.headers, &seen.body).unwrap();
        assert_eq!(read.unwrap().1.resource.url, format!("https://api.example.com{path}"));
    }
}

#[tokio::test]
async fn h15_a_head_is_asked_for_money_without_a_body() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let request = Request::head("/weather").body(Body::empty()).unwrap();
    let seen = send(&app, request).await;
    assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED);
    assert!(seen.headers.contains_key("payment-required"));
    assert!(seen.body.is_empty());
    let request = Request::head("/weather").body(Body::empty()).unwrap();
    assert_eq!(buy(&app, request, "n").await.status, StatusCode::OK);
}

#[tokio::test]
async fn h18_an_unpaid_upload_is_answered_without_being_read() {
    let world = World::new();
    let app = world.weather(&world.pay());
    // A body that never comes: reading it would wait forever.
    let stalled = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let seen = send(&app, post("/weather", stalled)).await;
    assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn h01_a_payment_that_cannot_be_read_is_400_with_the_challenge() {
    let world = World::new();
    let app = world.weather(&world.pay());
    for garbage in ["!", "e30", "e30=", "bnVsbA==", "eyJ4NDAyVmVyc2lvbiI6Mn0=", "////", "W10="] {
        let mut request = get("/weather");
        request.headers_mut().insert("payment-signature", garbage.parse().unwrap());
        let seen = send(&app, request).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{garbage}");
        assert_eq!(seen.error(), "invalid_payload", "{garbage}");
        assert_eq!(seen.header("cache-control"), "no-store");
        assert!(seen.has_challenge());
    }
    assert_eq!((world.hits(), world.sales(), world.fake.verifies()), (0, 0, 0));
}

#[tokio::test]
async fn h05_an_oversized_payment_is_431() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let mut request = get("/weather");
    request.headers_mut().insert("payment-signature", "A".repeat(64 << 10).parse().unwrap());
    assert_eq!(send(&app, request).await.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(world.sales(), 0);
}

#[tokio::test]
async fn h07_two_payments_in_one_request_are_ambiguous() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let paid = pay_for(&app, get("/weather"), "n").await;
    let value = paid.headers()["payment-signature"].clone();
    for other in ["payment-signature", "x-payment"] {
        let mut request = get("/weather");
        request.headers_mut().append("payment-signature", value.clone());
        request.headers_mut().append(other, value.clone());
        assert_eq!(send(&app, request).await.status, StatusCode::BAD_REQUEST, "{other}");
    }
    assert_eq!(world.sales(), 0);
}

#[tokio::test]
async fn a_proof_without_a_key_is_400() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let request = pay_changed(&app, get("/weather"), "n", |payment| payment.proof = json!({})).await;
    let seen = send(&app, request).await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_payload"));
    assert_eq!(world.sales(), 0);
}

#[tokio::test]
async fn b04_an_altered_offer_is_no_offer() {
    let world = World::new();
    let app = world.weather(&world.pay());
    for (member, value) in [
        ("payTo", json!(PAYER)),
        ("amount", json!("1")),
        ("network", json!("eip155:8453")),
        ("more", json!(1)),
    ] {
        let request = pay_changed(&app, get("/weather"), "n", |payment| {
            let mut echo = payment.accepted.as_ref().and_then(|text| text.value().cloned()).unwrap();
            echo[member] = value.clone();
            payment.accepted = Some(echo.to_string().into());
        })
        .await;
        let seen = send(&app, request).await;
        assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED, "{member}");
        assert_eq!(seen.error(), Reason::NoMatchingRequirements.code());
    }
    assert_eq!((world.hits(), world.sales()), (0, 0));
}

#[tokio::test]
async fn b01_a_payment_for_another_resource_is_refused() {
    let world = World::new();
    let app = world.weather(&world.pay());
    for other in ["https://evil.example/weather", "https://api.example.com/other", "/weather", "weather"] {
        let request = pay_changed(&app, get("/weather"), "n", |payment| {
            payment.resource = Some(json!({ "url": other }));
        })
        .await;
        let seen = send(&app, request).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::PAYMENT_REQUIRED, "resource_mismatch"),
            "{other}"
        );
    }
    let request = pay_changed(&app, get("/weather?city=oslo"), "n", |payment| {
        payment.resource = Some(json!({ "url": "https://api.example.com/weather" }));
    })
    .await;
    assert_eq!(send(&app, request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn r04_a_payment_for_a_sibling_route_is_refused() {
    let world = World::new();
    let pay = world.pay();
    let handler = any(world.counted(|_, _| async { text("ok") }));
    let app = Router::new()
        .route("/a", handler.clone().layer(pay.price("$0.01")))
        .route("/b", handler.layer(pay.price("$0.01")));
    let mut paid = pay_for(&app, get("/a"), "n").await;
    *paid.uri_mut() = "/b".parse().unwrap();
    let seen = send(&app, paid).await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::PAYMENT_REQUIRED, "resource_mismatch"));
    assert_eq!(world.hits(), 0);
}

#[tokio::test]
async fn b11_without_a_public_url_only_this_machine_is_believed() {
    let world = World::new();
    let pay = groat_seller::Pay::builder()
        .facilitator(world.fake.clone())
        .mechanisms(vec![std::sync::Arc::new(Toy)])
        .store(std::sync::Arc::new(world.store.clone()))
        .network("base-sepolia")
        .pay_to(PAY_TO)
        .build()
        .unwrap();
    let app = world.weather(&pay);
    let asked = |host: &str| Request::get("/weather").header("host", host).body(Body::empty()).unwrap();
    assert_eq!(send(&app, asked("localhost:4021")).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(send(&app, asked("evil.example")).await.status, StatusCode::MISDIRECTED_REQUEST);
    let two = Request::get("http://localhost/weather").header("host", "evil.example").body(Body::empty());
    assert_eq!(send(&app, two.unwrap()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(buy(&app, asked("127.0.0.1:4021"), "n").await.status, StatusCode::OK);
}

#[tokio::test]
async fn h21_a_paid_route_does_not_change_protocols() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let upgrade = |to: &str| {
        let mut request = get("/weather");
        request.headers_mut().insert("upgrade", to.parse().unwrap());
        request
    };
    assert_eq!(send(&app, upgrade("websocket")).await.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(send(&app, upgrade("h2c")).await.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn h22_a_preflight_is_answered_unpaid_and_only_listed_pages_may_read() {
    let world = World::new();
    let cors = Cors { origins: vec!["https://app.example".into()] };
    let app = world.weather(&world.builder().cors(cors).build().unwrap());
    let preflight = |origin: &str| {
        let request = Request::options("/weather").header("origin", origin);
        request.header("access-control-request-method", "POST").body(Body::empty()).unwrap()
    };
    let seen = send(&app, preflight("https://app.example")).await;
    assert_eq!(seen.status, StatusCode::NO_CONTENT);
    assert_eq!(seen.header("access-control-allow-origin"), "https://app.example");
    assert!(seen.header("access-control-allow-headers").contains("payment-signature"));
    let seen = send(&app, preflight("https://evil.example")).await;
    assert_eq!(seen.header("access-control-allow-origin"), "");
    assert_eq!(world.hits(), 0);
    let mut request = get("/weather");
    request.headers_mut().insert("origin", "https://app.example".parse().unwrap());
    assert!(send(&app, request).await.header("access-control-expose-headers").contains("payment-required"));
    // An OPTIONS that is no preflight is a request like any other.
    let options = Request::options("/weather").body(Body::empty()).unwrap();
    assert_eq!(send(&app, options).await.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn a_preflight_can_be_let_through() {
    let world = World::new();
    let app = world.weather(&world.builder().pass_preflight(true).build().unwrap());
    let request = Request::options("/weather").header("origin", "https://app.example");
    let request = request.header("access-control-request-method", "POST").body(Body::empty()).unwrap();
    assert_eq!(send(&app, request).await.status, StatusCode::OK);
    assert_eq!((world.hits(), world.sales()), (1, 0));
}

#[tokio::test]
async fn a_price_may_depend_on_the_request() {
    let world = World::new();
    let layer = world
        .pay()
        .route()
        .price_fn(|view: RequestView| async move {
            assert!(!view.headers().contains_key("payment-signature"));
            let size = if view.query() == Some("size=large") { "$0.02" } else { "$0.01" };
            Price::parse(size)
        })
        .build()
        .unwrap();
    let handler = any(|paid: Paid| async move { paid.amount.to_string() });
    let app = Router::new().route("/", handler.layer(layer));
    let seen = buy(&app, get("/?size=large"), "a").await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"20000"[..]));
    // A payment of the small price does not buy the large thing.
    let mut cheap = pay_for(&app, get("/"), "b").await;
    *cheap.uri_mut() = "/?size=large".parse().unwrap();
    assert_eq!(send(&app, cheap).await.error(), Reason::NoMatchingRequirements.code());
}

#[tokio::test]
async fn g20_a_price_function_that_fails_sells_nothing() {
    let world = World::new();
    let pay = world.pay();
    let broken = [
        pay.route().price_fn(|_| async { Err::<Price, _>("no idea") }),
        pay.route().price_fn(|_| async { panic!("bug") as Result<Price, String> }),
        pay.route().price_fn(|view: RequestView| {
            assert!(view.path().is_empty(), "panics before the future");
            async { Price::parse("$1") }
        }),
        pay.route().price_fn(|_| async { Price::parse("$0.0000000001") }),
        pay.route().price("$1").pay_to_fn(|_| async { Ok::<_, String>("nobody".to_owned()) }),
    ];
    for route in broken {
        let handler = any(world.counted(|_, _| async { text("ok") }));
        let app = Router::new().route("/", handler.layer(route.build().unwrap()));
        let seen = send(&app, get("/")).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::INTERNAL_SERVER_ERROR, "price_unavailable")
        );
    }
    assert_eq!(world.hits(), 0);
}

#[test]
fn a_wrong_price_is_told_when_the_route_is_made() {
    let world = World::new();
    let pay = world.pay();
    for bad in ["$0,01", "free", "$0", "$0.0000001", ""] {
        assert!(matches!(pay.try_price(bad), Err(ConfigError::Wrong { .. })), "{bad}");
    }
    assert_eq!(pay.route().build().unwrap_err(), ConfigError::Missing("price"));
    assert!(pay.route().price("$1").network("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").build().is_err());
    assert!(pay.route().price("$1").network("nowhere").build().is_err());
    assert!(pay.route().price("$1").pay_to("me").build().is_err());
    assert!(
        pay.route().price("$1").units(ASSET, Amount::from_units(1), serde_json::Map::new()).build().is_err()
    );
    let many = pay.route().price("$1").network("base").network("base-sepolia").settle(Settle::Before);
    let _ = many.build().unwrap().layer(axum::routing::MethodRouter::<(), std::convert::Infallible>::new());
}

#[test]
#[should_panic(expected = "pay.price(\"$0,01\"): price: `$0,01` is not a price")]
fn the_panic_of_a_wrong_price_says_what_is_wrong() {
    let _ = World::new().pay().price("$0,01");
}

#[test]
fn a_seller_without_its_parts_is_an_error() {
    let world = World::new();
    assert_eq!(groat_seller::Pay::builder().build().unwrap_err(), ConfigError::Missing("mechanisms"));
    for bad in ["api.example.com", "ftp://x", "https://x/?a=1", "https://u@x/"] {
        assert!(world.builder().public_url(bad).build().is_err(), "{bad}");
    }
    assert!(world.builder().network("nowhere").build().is_err());
    assert!(world.builder().timeout_s(0).build().is_err());
}

#[tokio::test]
async fn paid_on_a_route_without_price_says_what_to_do() {
    let app = Router::new().route("/", any(|_: Paid| async { "never" }));
    let seen = send(&app, get("/")).await;
    assert_eq!(seen.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(String::from_utf8_lossy(&seen.body).contains("has no price"));
}

#[tokio::test]
async fn an_unknown_method_is_paid_too() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let mut request = get("/weather");
    *request.method_mut() = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(send(&app, request).await.status, StatusCode::PAYMENT_REQUIRED);
}
