//! What hostile clients send to the service: a typed answer, never 500, and the next request works.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use groat_chain_evm::ExactEvm;
use groat_devchain::Mining;
use groat_facilitator::http::{Ready, Service};
use groat_wire::facilitator::write_request;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{World, offer};

fn service(world: &World) -> Router {
    let mechanisms = vec![Arc::new(ExactEvm::offline()) as Arc<dyn groat_core::ports::Mechanism>];
    Service::new(Arc::new(world.engine.clone()), mechanisms, String::new, Ready::default()).router()
}

async fn post(
    app: &Router,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (StatusCode, Value) {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()).await
}

async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{status} {bytes:?}")))
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread")]
async fn h01_h03_h04_malformed_bodies_get_a_typed_answer_and_do_no_harm() {
    let world = World::new(Mining::Instant);
    let app = service(&world);
    let text = write_request(&world.payer(1).pay(1), &offer());
    let good: Value = serde_json::from_str(&text).unwrap();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_inside = text.replacen(
        "\"authorization\"",
        &format!("\"x\":{},\"authorization\"", "[".repeat(200) + &"]".repeat(200)),
        1,
    );
    let twice = text.replacen("\"paymentPayload\"", "\"paymentPayload\":{},\"paymentPayload\"", 1);
    let shapes = [
        "",
        "null",
        "[]",
        "1",
        "\"x\"",
        "{",
        "{}",
        "\u{feff}{}",
        "{\"x402Version\":2}",
        &deep,
        &deep_inside,
        &twice,
        &text[..text.len() - 1],
        &format!("{text}{text}"),
        "\u{0}",
    ];
    for path in ["/verify", "/settle"] {
        for shape in shapes {
            let (status, answer) = post(&app, path, &[JSON], shape.to_owned()).await;
            let shown: String = shape.chars().take(60).collect();
            assert!(
                status == StatusCode::BAD_REQUEST || status == StatusCode::OK,
                "{path} {shown}: {status} {answer}"
            );
            let refused = answer["isValid"] == false || answer["success"] == false;
            assert!(refused, "{path} {shown}: {answer}");
        }
        // Every member of every object, replaced by every kind of value.
        for pointer in pointers(&good) {
            for value in [
                json!(null),
                json!(-1),
                json!(1.5),
                json!("\u{0}"),
                json!([[]]),
                json!({}),
                json!("9".repeat(90)),
            ] {
                let mut body = good.clone();
                *body.pointer_mut(&pointer).unwrap() = value.clone();
                if body == good {
                    continue;
                }
                let (status, answer) = post(&app, path, &[JSON], body.to_string()).await;
                assert!(
                    status == StatusCode::BAD_REQUEST || status == StatusCode::OK,
                    "{pointer} {value}: {status} {answer}"
                );
            }
        }
    }
    // A description and the like may be anything; all that did settle is the one good payment.
    let (status, answer) = post(&app, "/settle", &[JSON], text).await;
    assert_eq!((status, &answer["success"]), (StatusCode::OK, &json!(true)), "{answer}");
    assert_eq!(world.transactions(), 1);
}

/// Pointers to everything in a value, leaves and objects.
fn pointers(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), value)];
    while let Some((at, value)) = open.pop() {
        if let Value::Object(members) = value {
            open.extend(members.iter().map(|(name, member)| (format!("{at}/{name}"), member)));
        }
        if !at.is_empty() {
            found.push(at);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn h08_h09_h10_bodies_that_are_large_packed_or_no_json_are_not_read() {
    let world = World::new(Mining::Instant);
    let app = service(&world);
    let good = write_request(&world.payer(1).pay(1), &offer());
    let large = format!("{}{good}", " ".repeat(256 * 1024));
    for (headers, body, expected) in [
        (vec![JSON], large, StatusCode::PAYLOAD_TOO_LARGE),
        (vec![JSON, ("content-encoding", "gzip")], good.clone(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (vec![("content-type", "text/plain")], good.clone(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (vec![], good.clone(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let (status, answer) = post(&app, "/settle", &headers, body).await;
        assert_eq!(status, expected, "{answer}");
    }
    assert_eq!(world.transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn h25_no_answer_repeats_the_signature_or_names_the_node() {
    let world = World::new(Mining::Instant);
    let app = service(&world);
    let payment = world.payer(1).pay(1);
    let signature = payment.proof["signature"].as_str().unwrap().to_owned();
    let body = write_request(&payment, &offer());
    world.chain.faults(|faults| faults.fail_next.insert("eth_call".to_owned(), (9, -32603)));
    let (status, answer) = post(&app, "/verify", &[JSON], body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(
        !answer.to_string().contains(&signature[2..]) && !answer.to_string().contains("http"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_says_where_to_look() {
    let app = service(&World::new(Mining::Instant));
    for (request, expected) in [
        (Request::get("/nothing"), StatusCode::NOT_FOUND),
        (Request::get("/settle"), StatusCode::METHOD_NOT_ALLOWED),
        (Request::get("/payments/zzz"), StatusCode::BAD_REQUEST),
        (Request::get("/payments"), StatusCode::BAD_REQUEST),
    ] {
        let (status, answer) =
            read(app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer["message"].is_string() && answer["error"].is_string(), "{answer}");
    }
}
