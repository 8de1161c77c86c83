//! Settle mode `async`: the answer before the money, for payers who owe little.

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use groat_core::books::SaleState;
use groat_core::{Reason, Timestamp};
use groat_seller::Settle;
use http::StatusCode;
use tokio::sync::Semaphore;

use crate::kit::*;

/// `/weather` for a cent; its payers may owe two.
fn trusting(world: &World) -> (Router, groat_seller::Pay) {
    let pay = world.pay();
    let layer = pay.route().price("$0.01").settle(Settle::Async).unsettled_max("$0.02").build().unwrap();
    let handler = world.counted(|run, _| async move { text(&format!("run {run}")) });
    (Router::new().route("/weather", any(handler).layer(layer)), pay)
}

/// Lets detached work run until `is_done`.
async fn until(is_done: impl AsyncFn() -> bool) {
    for _ in 0..10_000 {
        if is_done().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it did not come to pass");
}

#[tokio::test]
async fn r0_18_f022_the_answer_goes_out_before_the_money_is_in_and_the_end_can_be_asked_for() {
    let world = World::new();
    let (app, pay) = trusting(&world);
    let gate = Arc::new(Semaphore::new(0));
    world.fake.script_settle(Script::Wait(gate.clone()));
    let seen = buy(&app, get("/weather"), "a").await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"run 1"[..]));
    assert!(seen.receipt().is_none(), "nobody knows yet");
    assert_eq!(seen.header("link"), format!("</x402/payments/{}>; rel=\"status\"", id("a")));
    assert_eq!(seen.header("cache-control"), "private");
    assert!(matches!(world.sale("a").await.state, SaleState::Served { .. }));
    gate.add_permits(1);
    until(async || matches!(world.sale("a").await.state, SaleState::Done { .. })).await;
    pay.drained().await;
    // The same payment gets the same answer, now with its receipt.
    let again = buy(&app, get("/weather"), "a").await;
    assert!(again.receipt().is_some_and(|receipt| receipt.is_settled()));
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

#[tokio::test]
async fn a_payer_owes_no_more_than_the_route_allows() {
    let world = World::new();
    let (app, _) = trusting(&world);
    let gate = Arc::new(Semaphore::new(0));
    for _ in 0..3 {
        world.fake.script_settle(Script::Wait(gate.clone()));
    }
    for nonce in ["a", "b"] {
        assert_eq!(buy(&app, get("/weather"), nonce).await.status, StatusCode::OK);
    }
    // The third waits for its money, and gets a receipt.
    let third = tokio::spawn({
        let app = app.clone();
        async move { buy(&app, get("/weather"), "c").await }
    });
    until(async || world.fake.settles() == 3).await;
    assert!(!third.is_finished());
    gate.add_permits(3);
    assert!(third.await.unwrap().receipt().is_some_and(|receipt| receipt.is_settled()));
    assert_eq!(world.fake.settles(), 3);
}

#[tokio::test]
async fn whoever_did_not_pay_is_not_lent_to_again() {
    let world = World::new();
    let (app, pay) = trusting(&world);
    world.fake.script_settle(refuse(Reason::InsufficientBalance));
    assert_eq!(buy(&app, get("/weather"), "a").await.status, StatusCode::OK);
    pay.drained().await;
    assert!(matches!(world.sale("a").await.state, SaleState::Withheld { .. }));
    world.fake.script_settle(refuse(Reason::InsufficientBalance));
    let second = buy(&app, get("/weather"), "b").await;
    assert_eq!(second.status, StatusCode::PAYMENT_REQUIRED, "{second:?}");
    assert_eq!(world.hits(), 2);
}

#[tokio::test]
async fn r0_29_what_was_owed_when_the_gate_died_is_settled_without_the_buyer() {
    let world = World::new();
    let (app, pay) = trusting(&world);
    for _ in 0..2 {
        world.fake.script_settle(pending("0x1"));
    }
    assert_eq!(buy(&app, get("/weather"), "a").await.status, StatusCode::OK);
    pay.drained().await;
    assert!(matches!(world.sale("a").await.state, SaleState::Served { .. }));
    // Another process on the same book; the buyer has its answer and does not come again.
    let (_, after) = trusting(&world);
    let found = after.recover().await.unwrap();
    assert_eq!((found.finished, found.open), (1, 0));
    assert!(matches!(world.sale("a").await.state, SaleState::Done { .. }));
    assert_eq!(world.sale("a").await.paid_at, Some(Timestamp(NOW)));
}
