//! The token of a payment, given again to its payer and to nobody else.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use futures_util::future::join_all;
use groat_core::Reason;
use groat_core::books::SettlementState;
use groat_seller::{PassTerms, PaymentService, Settle};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::kit::*;
use crate::token_shop::*;

const ORIGIN: &str = "https://api.example.com";
const OTHER: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

fn path(nonce: &str) -> String {
    format!("/x402/payments/{}/token", id(nonce))
}

/// Asked for at this time by whoever has signed.
fn asked_by(account: &str, nonce: &str, at: u64) -> Request<Body> {
    let lines = format!("x402-payments/1\n{ORIGIN}\ntoken {}\n{at}", id(nonce));
    sign(post(&path(nonce), ""), at, &signed(account, &lines))
}

fn order(permit: &Value) -> String {
    json!({ "version": "Version 0.1", "permit": permit }).to_string()
}

#[tokio::test]
async fn the_payer_gets_its_token_again_with_the_end_it_had_and_pays_nothing() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    let other_spelling = {
        let mut other = permit("n");
        other["value"] = json!("10000");
        other["signature"]["r"] = json!("0x0000abc");
        other
    };
    // Whatever the route gives by now, also after a restart.
    let pay = seller(&world);
    let terms = PassTerms { ttl_s: 3_600, scope: Some("other".into()), uses: Some(1) };
    let layer = pay.route().price("$0.02").pass(terms).build().unwrap();
    let changed = PaymentService::new(&pay).route("GET /weather", &layer).unwrap();
    let changed = Router::new().fallback_service(changed);
    for (app, at) in [(&app, NOW), (&app, NOW + 100), (&changed, NOW + 200)] {
        world.clock.store(at, Ordering::SeqCst);
        for request in [
            asked_by(PAYER, "n", at),
            asked_by(&PAYER.to_lowercase(), "n", at - 300),
            asked_by(PAYER, "n", at + 60),
            post(&path("n"), order(&permit("n"))),
            post(&path("n"), order(&other_spelling)),
        ] {
            let seen = send(app, request).await;
            assert_eq!((seen.status, token(&seen)), (StatusCode::OK, sold.clone()), "{seen:?}");
            let told = seen.json();
            assert_eq!(told["expires_in"], NOW + 300 - at);
            assert_eq!(told["metadata"]["payment_id"], id("n").to_string());
            assert_eq!(
                (&told["metadata"]["replayed"], &told["metadata"]["tx"]),
                (&json!(true), &json!("0xpaid"))
            );
        }
    }
    let at_once = join_all((0..5).map(|_| send(&app, asked_by(PAYER, "n", NOW + 200)))).await;
    assert!(at_once.iter().all(|seen| seen.status == StatusCode::OK && token(seen) == sold));
    assert_eq!((world.fake.settles(), world.sales()), (1, 1));
}

#[tokio::test]
async fn t13_b15_nobody_but_the_payer_gets_a_token_again() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    for nonce in ["n", "m"] {
        send(&app, order_at(ENDPOINT, &permit(nonce))).await;
    }
    world.clock.store(NOW + 200, Ordering::SeqCst);
    let now = NOW + 200;
    let lines = |origin: &str, what: &str| format!("x402-payments/1\n{origin}\n{what}\n{now}");
    let with = |text: String| sign(post(&path("n"), ""), now, &signed(PAYER, &text));
    let mut forged = permit("n");
    forged["signature"]["r"] = json!("0xabd");
    let refused = [
        post(&path("n"), ""),
        asked_by(OTHER, "n", now),
        asked_by("", "n", now),
        asked_by(PAYER, "n", now - 301),
        asked_by(PAYER, "n", now + 61),
        asked_by(PAYER, "n", 0),
        // What was signed for another payment, purpose, service or time.
        with(lines(ORIGIN, &format!("token {}", id("m")))),
        with(lines(ORIGIN, &format!("idempotency_key {}", id("n")))),
        with(lines("https://evil.example", &format!("token {}", id("n")))),
        with(format!("x402-balance/1\n{PAYER}\n{now}")),
        sign(post(&path("n"), ""), now + 1, &signed(PAYER, &lines(ORIGIN, &format!("token {}", id("n"))))),
        sign(post(&path("n"), ""), now, ""),
        sign(post(&path("n"), ""), now, "0x"),
        // Another permit, a changed one, and what is none.
        post(&path("n"), order(&permit("m"))),
        post(&path("n"), order(&forged)),
        post(&path("n"), "{}"),
        post(&path("n"), "x"),
    ];
    for (number, request) in refused.into_iter().enumerate() {
        let seen = send(&app, request).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::UNAUTHORIZED, "not_signed"),
            "{number}"
        );
        assert!(seen.json().get("access_token").is_none());
    }
    let mut garbled = asked_by(PAYER, "n", now);
    garbled.headers_mut().insert("x-payment-timestamp", "soon".parse().unwrap());
    assert_eq!(send(&app, garbled).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&app, post(&path("n"), "x".repeat(100_000))).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.fake.settles(), 2);
}

#[tokio::test]
async fn b14_there_is_no_token_again_before_the_money_has_moved_or_when_it_has_not() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let ask = || send(&app, asked_by(PAYER, "n", NOW));
    let unknown = ask().await;
    assert_eq!((unknown.status, unknown.error().as_str()), (StatusCode::NOT_FOUND, "unknown_payment"));
    let broken = send(&app, post("/x402/payments/pay_x/token", "")).await;
    assert_eq!((broken.status, broken.error().as_str()), (StatusCode::NOT_FOUND, "unknown_payment"));
    world.fake.script_settle(pending("0x1"));
    world.fake.script_settle(pending("0x1"));
    send(&app, order_at(ENDPOINT, &permit("n"))).await;
    let open = ask().await;
    assert_eq!((open.status, open.error().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending"));
    assert!(!open.header("retry-after").is_empty());
    world.fake.knows(id("n"), SettlementState::Failed { reason: Reason::Expired, transaction: None });
    world.fake.script_settle(refuse(Reason::Expired));
    send(&app, order_at(ENDPOINT, &permit("n"))).await;
    let failed = ask().await;
    assert_eq!((failed.status, failed.error().as_str()), (StatusCode::CONFLICT, "not_settled"));
}

#[tokio::test]
async fn a_token_that_is_over_revoked_or_undone_is_not_given_again() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    send(&app, order_at(ENDPOINT, &permit("m"))).await;
    world.fake.knows(id("m"), submitted_state());
    send(&app, post("/x402/revoke", format!("token={sold}"))).await;
    world.clock.store(NOW + 100, Ordering::SeqCst);
    let revoked = send(&app, asked_by(PAYER, "n", NOW + 100)).await;
    assert_eq!((revoked.status, revoked.error().as_str()), (StatusCode::GONE, "pass_revoked"));
    let undone = send(&app, asked_by(PAYER, "m", NOW + 100)).await;
    assert_eq!((undone.status, undone.error().as_str()), (StatusCode::CONFLICT, "payment_undone"));
    world.clock.store(NOW + 300, Ordering::SeqCst);
    let over = send(&app, asked_by(PAYER, "n", NOW + 300)).await;
    assert_eq!((over.status, over.error().as_str()), (StatusCode::GONE, "pass_expired"));
}

#[tokio::test]
async fn the_pass_that_came_with_an_answer_is_given_again_and_a_payment_without_one_has_none() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let bought = buy(&app, get("/weather"), "n").await;
    let pass = bought.header("x-payment-access-token").to_owned();
    assert_eq!(token(&send(&app, asked_by(PAYER, "n", NOW)).await), pass);
    let pay = seller(&world);
    let layer = pay.route().price("$0.01").build().unwrap();
    let plain = Router::new().route("/plain", any(|| async { "x" }).layer(layer));
    buy(&plain, get("/plain"), "m").await;
    let none = send(&app, asked_by(PAYER, "m", NOW)).await;
    assert_eq!((none.status, none.error().as_str()), (StatusCode::CONFLICT, "no_token"));
}
