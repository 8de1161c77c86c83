//! Prices in front of another server: what is matched is what is forwarded, and nothing else gets through.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use groat_seller::{Gateway, GatewayConfig, Unmatched};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

use crate::kit::*;

/// What the server behind the gateway saw: method, target and header fields.
type Log = Arc<Mutex<Vec<(Method, String, http::HeaderMap)>>>;

/// A server that answers everything and reads every spelling of a path, the worst to stand in front of.
async fn upstream() -> (String, Log) {
    let log: Log = Arc::default();
    let seen = log.clone();
    let app = Router::new().fallback(any(move |request: Request<Body>| {
        let seen = seen.clone();
        async move {
            let target = request.uri().to_string();
            seen.lock().unwrap().push((request.method().clone(), target.clone(), request.headers().clone()));
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response =
                Response::new(Body::from(format!("{target} {}", String::from_utf8_lossy(&body))));
            response.headers_mut().insert("payment-response", "forged".parse().unwrap());
            response.headers_mut().insert("x-upstream", "1".parse().unwrap());
            response.headers_mut().insert("keep-alive", "timeout=5".parse().unwrap());
            response
        }
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), log)
}

fn config(upstream: &str, routes: serde_json::Value) -> GatewayConfig {
    serde_json::from_value(json!({ "upstream": upstream, "routes": routes })).unwrap()
}

fn app(world: &World, config: &GatewayConfig) -> Router {
    Router::new().fallback_service(Gateway::new(&world.pay(), config).unwrap())
}

fn paths(log: &Log) -> Vec<String> {
    log.lock().unwrap().drain(..).map(|(_, target, _)| target).collect()
}

#[tokio::test]
async fn a_priced_path_is_paid_and_all_others_are_free() {
    let (upstream, log) = upstream().await;
    let world = World::new();
    let rules = json!([
        { "path": "GET /weather/:city", "price": "$0.01", "description": "weather" },
        { "path": "POST /echo", "price": "0.02 USDC", "settle": "before" },
    ]);
    let app = app(&world, &config(&upstream, rules));

    let seen = send(&app, get("/free?a=b&a=c")).await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"/free?a=b&a=c "[..]));
    assert!(!seen.headers.contains_key("payment-response") && !seen.headers.contains_key("keep-alive"));
    assert_eq!(seen.header("x-upstream"), "1");
    assert_eq!(send(&app, get("/weather/oslo")).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(paths(&log), ["/free?a=b&a=c"]);

    let seen = buy(&app, get("/weather/oslo?unit=c"), "a").await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"/weather/oslo?unit=c "[..]));
    assert!(seen.receipt().unwrap().is_settled());
    let seen = buy(&app, post("/echo", "hello"), "b").await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"/echo hello"[..]));
    assert_eq!(world.fake.settles(), 2);
}

#[tokio::test]
async fn g17_the_upstream_hears_who_paid_and_never_the_payment() {
    let (upstream, log) = upstream().await;
    let world = World::new();
    let app = app(&world, &config(&upstream, json!([{ "path": "/paid", "price": "$0.01" }])));
    for (path, payer) in [("/paid", Some(PAYER)), ("/free", None)] {
        let mut request = get(path);
        for (name, value) in [
            ("x-payment-payer", "0xforged"),
            ("x-http-method-override", "DELETE"),
            ("x-original-url", "/free"),
            ("connection", "x-private"),
            ("x-private", "1"),
            ("x-kept", "1"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        if payer.is_some() {
            assert_eq!(buy(&app, request, "n").await.status, StatusCode::OK);
        } else {
            request.headers_mut().insert("payment-signature", "as good as money".parse().unwrap());
            assert_eq!(send(&app, request).await.status, StatusCode::OK);
        }
        let (_, _, headers) = log.lock().unwrap().pop().unwrap();
        let told = headers.get("x-payment-payer").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), payer);
        for gone in ["payment-signature", "x-http-method-override", "x-original-url", "x-private"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["x-kept"], "1");
        assert_eq!(headers["x-forwarded-host"], "api.example.com");
    }
}

#[tokio::test]
async fn h14_no_spelling_of_a_priced_path_is_free() {
    let (upstream, log) = upstream().await;
    let world = World::new();
    let rules = json!([{ "path": "/paid/*", "price": "$0.01" }, { "path": "/secret", "price": "$0.01" }]);
    let app = app(&world, &config(&upstream, rules));
    const ASKED: u16 = 402;
    const REFUSED: u16 = 400;
    for (path, status) in [
        ("/paid", ASKED),
        ("/paid/", ASKED),
        ("/paid/x", ASKED),
        ("/paid/x/y?z", ASKED),
        ("/PAID/x", ASKED),
        ("/%70aid/x", ASKED),
        ("/p%61%69d", ASKED),
        ("/secret", ASKED),
        ("/secret/", ASKED),
        ("/SECRET", ASKED),
        ("/secret?", ASKED),
        ("/secret?/../x", ASKED),
        ("/%73ecret", ASKED),
        ("//secret", REFUSED),
        ("/free//secret", REFUSED),
        ("/./secret", REFUSED),
        ("/free/../secret", REFUSED),
        ("/free/%2e%2e/secret", REFUSED),
        ("/free/.%2E/secret", REFUSED),
        ("/free%2f..%2fsecret", REFUSED),
        ("/free/..%2fsecret", REFUSED),
        ("/%2fsecret", REFUSED),
        ("/free%5c..%5csecret", REFUSED),
        ("/free/..;/secret", REFUSED),
        ("/secret;x=1", REFUSED),
        ("/secret%3bx", REFUSED),
        ("/secret%3fx", REFUSED),
        ("/secret%23", REFUSED),
        ("/secret%00", REFUSED),
        ("/secret%0a", REFUSED),
        ("/secret.", REFUSED),
        ("/secret%20", REFUSED),
        ("/%2573ecret", REFUSED),
        ("/free/%252e%252e/secret", REFUSED),
        ("/%c0%afsecret", REFUSED),
        ("/free/%c0%ae%c0%ae/secret", REFUSED),
        ("/%ff", REFUSED),
        ("/secret%", REFUSED),
        ("/secret%2", REFUSED),
        ("/secret%zz", REFUSED),
    ] {
        let seen = send(&app, get(path)).await;
        assert_eq!(seen.status.as_u16(), status, "{path}");
        assert_eq!(paths(&log), [""; 0], "{path} got through");
    }
    for (path, forwarded) in [
        ("/", "/"),
        ("/paidx", "/paidx"),
        ("/free/a%20b", "/free/a%20b"),
        ("/free/%7euser", "/free/~user"),
        ("/free/caf%c3%a9", "/free/caf%C3%A9"),
        ("/free/?q=../%2e%2e%2f", "/free/?q=../%2e%2e%2f"),
        ("/free/a.b/c..d", "/free/a.b/c..d"),
    ] {
        assert_eq!(send(&app, get(path)).await.status, StatusCode::OK, "{path}");
        assert_eq!(paths(&log), [forwarded]);
    }
}

#[tokio::test]
async fn h15_methods_that_nobody_sells_are_not_a_way_around() {
    let (upstream, log) = upstream().await;
    let world = World::new();
    let rules = json!([{ "path": "GET /a", "price": "$0.01" }, { "path": "/b", "price": "$0.01" }]);
    let app = app(&world, &config(&upstream, rules));
    let ask =
        |method: &str, path: &str| Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    for (method, path, status) in [
        ("HEAD", "/a", 402),
        ("BREW", "/a", 405),
        ("TRACE", "/a", 405),
        ("DELETE", "/b", 402),
        ("BREW", "/b", 402),
        ("CONNECT", "/b", 405),
    ] {
        assert_eq!(send(&app, ask(method, path)).await.status.as_u16(), status, "{method} {path}");
        assert_eq!(paths(&log), [""; 0]);
    }
    // Only GET has a price here: the operator says so.
    assert_eq!(send(&app, ask("POST", "/a")).await.status, StatusCode::OK);
    assert_eq!(send(&app, ask("OPTIONS", "*")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn h12_an_upgrade_is_refused() {
    let (upstream, log) = upstream().await;
    let world = World::new();
    let app = app(&world, &config(&upstream, json!([{ "path": "/paid", "price": "$0.01" }])));
    for path in ["/paid", "/free"] {
        let mut request = get(path);
        request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        assert_eq!(send(&app, request).await.status, StatusCode::NOT_IMPLEMENTED);
    }
    assert_eq!(paths(&log), [""; 0]);
}

#[tokio::test]
async fn the_first_rule_that_fits_counts_and_the_rest_may_be_hidden() {
    let (upstream, log) = upstream().await;
    let world = World::new();
    let rules = json!([{ "path": "/a/cheap", "price": "$0.01" }, { "path": "/a/*", "price": "$1" }]);
    let mut config = config(&upstream, rules);
    config.unmatched = Unmatched::NotFound;
    let app = app(&world, &config);
    for (path, amount) in [("/a/cheap", "10000"), ("/a/other", "1000000")] {
        let seen = send(&app, get(path)).await;
        let read = groat_wire::Dialects::standard().read_challenge(&seen.headers, &seen.body).unwrap();
        assert_eq!(read.unwrap().1.offers[0].amount.to_string(), amount);
    }
    assert_eq!(send(&app, get("/b")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(paths(&log), [""; 0]);
}

#[tokio::test]
async fn an_upstream_that_is_down_costs_nothing_on_a_get() {
    let world = World::new();
    // A port that was ours a moment ago: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let app = app(&world, &config(&gone, json!([{ "path": "/paid", "price": "$0.01" }])));
    for seen in [send(&app, get("/free")).await, buy(&app, get("/paid"), "n").await] {
        assert_eq!((seen.status, seen.error().as_str()), (StatusCode::BAD_GATEWAY, "upstream_unavailable"));
    }
    assert_eq!(world.fake.settles(), 0);
}

#[tokio::test]
async fn without_prices_everything_is_forwarded_as_it_is() {
    let (upstream, log) = upstream().await;
    let app = app(&World::new(), &config(&format!("{upstream}/base/"), json!([])));
    assert_eq!(send(&app, get("/a//b/%2e?x")).await.status, StatusCode::OK);
    assert_eq!(paths(&log), ["/base/a//b/%2e?x"]);
}

#[test]
fn g02_a_gateway_that_cannot_work_is_an_error() {
    let world = World::new();
    let good = "http://127.0.0.1:1";
    let rule = |path: &str, price: &str| json!([{ "path": path, "price": price }]);
    for (upstream, rules) in [
        ("ftp://example.com", json!([])),
        ("example.com", json!([])),
        ("http://x/?a", json!([])),
        (good, rule("paid", "$1")),
        (good, rule("/paid", "1,5")),
        (good, rule("/%70aid", "$1")),
        (good, json!([{ "path": "/a", "price": "$1", "networks": ["nowhere"] }])),
        (good, json!([{ "path": "/a", "price": "$1", "pay_to": "me" }])),
    ] {
        assert!(Gateway::new(&world.pay(), &config(upstream, rules.clone())).is_err(), "{upstream} {rules}");
    }
    for unknown in [
        json!({ "upstream": good, "route": [] }),
        json!({ "upstream": good, "routes": [{ "path": "/a", "price": "$1", "pay_too": "0x" }] }),
        json!({ "upstream": good, "unmatched": "allow" }),
        json!({ "routes": [] }),
    ] {
        assert!(serde_json::from_value::<GatewayConfig>(unknown.clone()).is_err(), "{unknown}");
    }
}

#[tokio::test]
async fn c20_our_passes_go_no_further_on_any_route_and_those_of_others_do() {
    let (upstream, log) = upstream().await;
    let world = World::new();
    let rules = json!([
        { "path": "/pass", "price": "$0.01", "pass": { "ttl_s": 300 } },
        { "path": "/plain", "price": "$0.01" },
    ]);
    let app = app(&world, &config(&upstream, rules));
    let token = buy(&app, get("/pass"), "a").await.header("x-payment-access-token").to_owned();
    let bearer = |path: &str, token: &str| {
        let mut request = get(path);
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    assert_eq!(send(&app, bearer("/pass", &token)).await.status, StatusCode::OK);
    for (at, token) in [token.as_str(), "their.own.token"].into_iter().enumerate() {
        log.lock().unwrap().clear();
        send(&app, bearer("/free", token)).await;
        let paid = pay_for(&app, bearer("/plain", token), &format!("b{at}")).await;
        assert_eq!(send(&app, paid).await.status, StatusCode::OK);
        let seen = log.lock().unwrap();
        let shown = seen.iter().filter(|(_, _, headers)| headers.contains_key("authorization")).count();
        assert_eq!((seen.len(), shown), (2, 2 * at));
    }
}

#[tokio::test]
async fn what_only_a_seller_of_passes_answers_is_the_upstreams_where_none_are_sold() {
    let (upstream, log) = upstream().await;
    let world = World::new();
    let app = app(&world, &config(&upstream, json!([{ "path": "/plain", "price": "$0.01" }])));
    let targets = ["/token", "/token/GET/plain", "/x402/payments/1", "/.well-known/jwks.json"];
    for target in targets {
        assert_eq!(send(&app, get(target)).await.header("x-upstream"), "1", "{target}");
    }
    assert_eq!(send(&app, post("/x402/introspect", "token=1")).await.header("x-upstream"), "1");
    assert_eq!(paths(&log)[..4], targets);
}

#[tokio::test]
async fn r0_29_where_the_answer_goes_out_before_the_money_its_end_can_be_asked_for() {
    let (upstream, log) = upstream().await;
    let world = World::new();
    let rules = json!([{ "path": "/lent", "price": "$0.01", "settle": "async" }]);
    let app = app(&world, &config(&upstream, rules));
    for _ in 0..2 {
        world.fake.script_settle(pending("0x1"));
    }
    let seen = buy(&app, get("/lent"), "a").await;
    let link = seen.header("link").to_owned();
    let target = link.trim_start_matches('<').split('>').next().unwrap_or_default();
    let told = send(&app, get(target)).await;
    assert_eq!(
        (told.status, &told.json()["payment_id"]),
        (StatusCode::OK, &json!(id("a").to_string())),
        "{told:?}"
    );
    assert_eq!(paths(&log), ["/lent"]);
}
