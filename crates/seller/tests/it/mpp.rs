//! Payments in the scheme `Payment` of HTTP authentication, beside what else is in `Authorization`.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use groat_core::{Payment, Timestamp};
use groat_wire::mpp::{self, Mpp, PAYMENT_HEADER, RECEIPT_HEADER};
use groat_wire::{Dialect, x402_v2};
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::kit::*;

/// What a 402 asks for in this dialect, paid.
fn paid(seen: &Seen) -> Payment {
    let challenge = Mpp.read_challenge(&seen.headers, &seen.body).unwrap().unwrap();
    let offer = &challenge.offers[0];
    let prescribed = Mpp.prescribe(&challenge, offer);
    let nonce: String = prescribed.nonce.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let payment = Payment {
        dialect: mpp::ID,
        scheme: offer.scheme.clone(),
        network: offer.network.clone(),
        proof: json!({
            "authorization": {
                "from": PAYER,
                "to": offer.pay_to,
                "value": offer.amount.to_string(),
                "validAfter": "0",
                "validBefore": prescribed.expires_at.unwrap().to_string(),
                "nonce": format!("0x{nonce}"),
            },
            "signature": "0xab",
        }),
        accepted: None,
        resource: None,
        extensions: Map::new(),
    };
    Mpp.accept(payment, &challenge, offer)
}

fn with(mut request: Request<Body>, payment: &Payment) -> Request<Body> {
    Mpp.write_payment(payment, request.headers_mut()).unwrap();
    request
}

/// The same payment as a client of an earlier draft sends it.
fn in_authorization(mut request: Request<Body>, payment: &Payment) -> Request<Body> {
    let mut payment = payment.clone();
    let mut echo: Value = serde_json::from_str(payment.accepted.unwrap().text()).unwrap();
    echo.as_object_mut().unwrap().remove("header");
    payment.accepted = Some(echo.to_string().into());
    Mpp.write_payment(&payment, request.headers_mut()).unwrap();
    assert!(request.headers().contains_key("authorization"));
    request
}

/// A route that tells what credentials it sees.
fn telling(world: &World) -> Router {
    let handler = world.counted(|_, request| async move {
        let fields = ["authorization", PAYMENT_HEADER].into_iter();
        let seen: Vec<_> = fields.flat_map(|name| request.headers().get_all(name).iter().cloned()).collect();
        let mut response = text(&format!("{seen:?}"));
        for value in ["Payment id=\"theirs\"", "Basic realm=\"theirs\""] {
            response.headers_mut().append("www-authenticate", value.parse().unwrap());
        }
        response
    });
    Router::new().route("/weather", any(handler).layer(world.pay().price("$0.01")))
}

#[tokio::test]
async fn a_payment_is_served_and_its_receipt_says_when_the_money_moved() {
    for method in ["GET", "POST"] {
        let world = World::new();
        let app = world.weather(&world.pay());
        let request = || if method == "GET" { get("/weather") } else { post("/weather", "body") };
        let unpaid = send(&app, request()).await;
        assert!(unpaid.header("vary").contains(PAYMENT_HEADER));
        let seen = send(&app, with(request(), &paid(&unpaid))).await;
        assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"sunny 1"[..]), "{seen:?}");
        let receipt = Mpp.read_receipt(&seen.headers).unwrap().unwrap();
        assert_eq!(receipt.transaction.as_deref(), Some("0xpaid"));
        assert_eq!(receipt.settled_at, Some(Timestamp(NOW)));
        assert!(seen.receipt().unwrap().is_settled(), "version 2 of x402 is always told");
        assert_eq!((world.hits(), world.fake.settles()), (1, 1));
    }
}

#[tokio::test]
async fn every_402_has_a_number_of_its_own_and_the_rest_of_it_is_kept() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let (one, other) = (send(&app, get("/weather")).await, send(&app, get("/weather")).await);
    assert_eq!(one.body, other.body);
    assert_ne!(one.headers["www-authenticate"], other.headers["www-authenticate"]);
    for name in one.headers.keys().filter(|name| *name != "www-authenticate") {
        assert_eq!(one.headers.get(name), other.headers.get(name));
    }
    for seen in [&one, &other] {
        assert_eq!(send(&app, with(get("/weather"), &paid(seen))).await.status, StatusCode::OK);
    }
    assert_eq!(world.fake.settles(), 2);
}

#[tokio::test]
async fn h08_what_is_for_the_handler_reaches_it_and_payments_do_not() {
    let world = World::new();
    let app = telling(&world);
    let mine = |mut request: Request<Body>| {
        request.headers_mut().append("authorization", "Bearer mine".parse().unwrap());
        request
    };
    let unpaid = send(&app, mine(get("/weather"))).await;
    let seen = send(&app, with(mine(get("/weather")), &paid(&unpaid))).await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &br#"["Bearer mine"]"#[..]));
    let unpaid = send(&app, get("/weather")).await;
    let seen = send(&app, mine(in_authorization(get("/weather"), &paid(&unpaid)))).await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &br#"["Bearer mine"]"#[..]));
    // G16: a handler behind us is no cashier.
    let told: Vec<_> = seen.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(told, ["Basic realm=\"theirs\""]);
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_after_its_challenge_has_expired() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let payment = paid(&send(&app, get("/weather")).await);
    let first = send(&app, with(get("/weather"), &payment)).await;
    world.clock.fetch_add(301, Ordering::SeqCst);
    let again = send(&app, with(get("/weather"), &payment)).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    assert_eq!(again.headers[RECEIPT_HEADER], first.headers[RECEIPT_HEADER]);
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

#[tokio::test]
async fn r03_shown_in_another_dialect_it_is_the_same_payment() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let unpaid = send(&app, get("/weather")).await;
    let payment = paid(&unpaid);
    assert_eq!(send(&app, with(get("/weather"), &payment)).await.status, StatusCode::OK);
    let challenge = x402_v2::V2.read_challenge(&unpaid.headers, b"").unwrap().unwrap();
    let other = x402_v2::V2.accept(payment, &challenge, &challenge.offers[0]);
    let mut request = get("/weather");
    x402_v2::V2.write_payment(&other, request.headers_mut()).unwrap();
    assert_ne!(send(&app, request).await.status, StatusCode::OK);
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

#[tokio::test]
async fn b01_a_payment_for_another_method_or_url_is_refused_with_a_new_challenge() {
    let world = World::new();
    let handler = world.counted(|_, _| async { text("served") });
    let pay = world.pay();
    let app = Router::new()
        .route("/weather", any(handler.clone()).layer(pay.price("$0.01")))
        .route("/gold", any(handler).layer(pay.price("$0.01")));
    let payment = paid(&send(&app, get("/weather")).await);
    for request in [get("/gold"), post("/weather", ""), get("/weather?city=oslo")] {
        let seen = send(&app, with(request, &payment)).await;
        assert_eq!((seen.status, seen.error().as_str()), (StatusCode::PAYMENT_REQUIRED, "invalid_challenge"));
        assert!(Mpp.read_challenge(&seen.headers, &seen.body).unwrap().is_some());
        assert!(!seen.headers.contains_key(RECEIPT_HEADER));
    }
    assert_eq!((world.hits(), world.fake.verifies()), (0, 0));
}

#[tokio::test]
async fn h07_two_payments_or_one_that_cannot_be_read_are_told_so_and_cost_nothing() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let payment = paid(&send(&app, get("/weather")).await);
    let own = || with(get("/weather"), &payment);
    let mut both = own();
    both.headers_mut().append("authorization", "Payment e30".parse().unwrap());
    let mut mixed = pay_for(&app, get("/weather"), "n").await;
    mixed.headers_mut().append("authorization", "payment e30".parse().unwrap());
    for request in [both, mixed] {
        let seen = send(&app, request).await;
        assert_eq!((seen.status, seen.error().as_str()), (StatusCode::BAD_REQUEST, "multiple_credentials"));
    }
    for (name, value) in [
        ("authorization", "Payment"),
        ("authorization", "Payment e30"),
        ("authorization", "Bearer a, Payment e30"),
        (PAYMENT_HEADER, "Bearer a"),
        (PAYMENT_HEADER, ""),
    ] {
        let mut request = get("/weather");
        request.headers_mut().append(name, value.parse().unwrap());
        let seen = send(&app, request).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_payload"),
            "{value}"
        );
    }
    assert_eq!((world.hits(), world.fake.verifies()), (0, 0));
}

#[tokio::test]
async fn a_handlers_error_has_no_receipt_where_nothing_was_taken() {
    let world = World::new();
    let handler = world.counted(|_, _| async {
        let mut response = Response::new(Body::from("no"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response.headers_mut().insert(RECEIPT_HEADER, "forged".parse().unwrap());
        response
    });
    let app = Router::new().route("/weather", any(handler).layer(world.pay().price("$0.01")));
    let payment = paid(&send(&app, get("/weather")).await);
    let seen = send(&app, with(get("/weather"), &payment)).await;
    assert_eq!((seen.status, seen.headers.get(RECEIPT_HEADER)), (StatusCode::NOT_FOUND, None));
}
