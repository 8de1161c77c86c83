//! Settle mode `async`: the answer before the money, for payers who owe little.

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use groat_core::books::SaleState;
use groat_core::{Reason, Timestamp};
use groat_seller::{PassTerms, PaymentService, Settle};
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

/// Leaves this many debts of payers in the book, and says how long it takes to look after them while nobody answers.
async fn looked_after(debts: usize) -> std::time::Duration {
    let world = World::new();
    let pay = world.pay();
    let layer = pay.route().price("$0.01").settle(Settle::Async).unsettled_max("$1").build().unwrap();
    let app = Router::new().route("/weather", any(|| async { text("sunny") }).layer(layer));
    for _ in 0..debts {
        world.fake.script_settle(unavailable());
    }
    for nonce in 0..debts {
        assert_eq!(buy(&app, get("/weather"), &nonce.to_string()).await.status, StatusCode::OK);
    }
    pay.drained().await;
    for _ in 0..4 * debts {
        world.fake.script_settle(Script::Hang);
    }
    let start = tokio::time::Instant::now();
    let found = world.pay().recover().await.unwrap();
    assert_eq!((found.finished, found.open), (0, debts as u64));
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn debts_are_looked_after_together_when_nobody_answers() {
    assert_eq!(looked_after(20).await, looked_after(1).await);
}

#[tokio::test]
async fn r0_18_what_is_lent_while_debts_are_looked_after_is_not_forgotten() {
    let world = World::new();
    let (app, pay) = trusting(&world);
    // The second lies before the place where looking has come to.
    let mut nonces = ["a", "c"];
    nonces.sort_by_key(|nonce| std::cmp::Reverse(id(nonce).to_string()));
    let [first, second] = nonces;
    let nobody_knows = || (0..2).for_each(|_| world.fake.script_settle(pending("0x1")));
    nobody_knows();
    assert_eq!(buy(&app, get("/weather"), first).await.status, StatusCode::OK);
    pay.drained().await;
    let gate = Arc::new(Semaphore::new(0));
    world.fake.script_settle(Script::Wait(gate.clone()));
    let looking = tokio::spawn({
        let pay = pay.clone();
        async move { pay.recover().await }
    });
    until(async || world.fake.settles() == 3).await;
    nobody_knows();
    assert_eq!(buy(&app, get("/weather"), second).await.status, StatusCode::OK);
    pay.drained().await;
    gate.add_permits(1);
    assert_eq!(looking.await.unwrap().unwrap().finished, 1);
    // One is owed, so one more is lent, and the next waits for its money.
    world.fake.script_settle(Script::Wait(gate.clone()));
    assert!(buy(&app, get("/weather"), "x").await.receipt().is_none());
    assert!(buy(&app, get("/weather"), "y").await.receipt().is_some());
}

#[tokio::test]
async fn r0_18_a_hundred_requests_at_once_owe_no_more_than_the_route_allows() {
    let world = World::new();
    let (app, pay) = trusting(&world);
    let gate = Arc::new(Semaphore::new(0));
    for _ in 0..100 {
        world.fake.script_settle(Script::Wait(gate.clone()));
    }
    let asked: Vec<_> = (0..100)
        .map(|nonce| {
            let app = app.clone();
            tokio::spawn(async move { buy(&app, get("/weather"), &nonce.to_string()).await })
        })
        .collect();
    until(async || world.fake.settles() == 100).await;
    // Whatever was to go out unpaid has gone out by now.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(asked.iter().filter(|asked| asked.is_finished()).count(), 2);
    gate.add_permits(100);
    let mut with_receipt = 0;
    for asked in asked {
        let seen = asked.await.unwrap();
        assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
        with_receipt += usize::from(seen.receipt().is_some());
    }
    assert_eq!(with_receipt, 98);
    pay.drained().await;
}

#[tokio::test]
async fn r0_18_a_restart_and_another_gate_on_the_book_know_what_is_owed() {
    let world = World::new();
    let (app, pay) = trusting(&world);
    for _ in 0..4 {
        world.fake.script_settle(pending("0x1"));
    }
    for nonce in ["a", "b"] {
        assert_eq!(buy(&app, get("/weather"), nonce).await.status, StatusCode::OK);
    }
    pay.drained().await;
    let (after, gates) = trusting(&world);
    let gate = Arc::new(Semaphore::new(0));
    world.fake.script_settle(Script::Wait(gate.clone()));
    let third = tokio::spawn({
        let after = after.clone();
        async move { buy(&after, get("/weather"), "c").await }
    });
    until(async || world.fake.settles() == 5).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!third.is_finished(), "two cents are owed already");
    gate.add_permits(1);
    assert!(third.await.unwrap().receipt().is_some());
    // When the money of the others is in, there is room again.
    assert_eq!(gates.recover().await.unwrap().finished, 2);
    world.fake.script_settle(pending("0x1"));
    world.fake.script_settle(pending("0x1"));
    assert!(buy(&after, get("/weather"), "d").await.receipt().is_none());
}

#[tokio::test]
async fn r0_18_one_debtor_is_not_many_by_spelling_its_account_otherwise() {
    let world = World::new();
    let (app, _) = trusting(&world);
    let gate = Arc::new(Semaphore::new(0));
    let spellings = [PAYER.to_owned(), PAYER.to_lowercase(), PAYER.to_uppercase().replacen("0X", "0x", 1)];
    for spelling in spellings {
        world.fake.script_verify(Script::Claim(Box::new(move |claim| claim.payer = spelling.clone())));
        world.fake.script_settle(Script::Wait(gate.clone()));
    }
    let asked: Vec<_> = (0..3)
        .map(|nonce| {
            let app = app.clone();
            tokio::spawn(async move { buy(&app, get("/weather"), &nonce.to_string()).await })
        })
        .collect();
    until(async || world.fake.settles() == 3).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(asked.iter().filter(|asked| asked.is_finished()).count(), 2);
    gate.add_permits(3);
}

#[tokio::test]
async fn b14_a_pass_is_never_lent() {
    let world = World::new();
    let pay = world.builder().token_path("/token").build().unwrap();
    let terms = PassTerms { ttl_s: 300, scope: None, uses: None };
    let layer = pay.route().price("$0.01").settle(Settle::Async).pass(terms).build().unwrap();
    let service = PaymentService::new(&pay).route("GET /weather", &layer).unwrap();
    let handler = world.counted(|run, _| async move { text(&format!("run {run}")) });
    let app = Router::new().route("/weather", any(handler).layer(layer)).fallback_service(service);
    // With the answer there is none before the money is in.
    let gate = Arc::new(Semaphore::new(0));
    world.fake.script_settle(Script::Wait(gate.clone()));
    let seen = buy(&app, get("/weather"), "a").await;
    assert_eq!((seen.status, seen.header("x-payment-access-token")), (StatusCode::OK, ""));
    gate.add_permits(1);
    until(async || matches!(world.sale("a").await.state, SaleState::Done { .. })).await;
    pay.drained().await;
    let again = buy(&app, get("/weather"), "a").await;
    assert!(!again.header("x-payment-access-token").is_empty());
    // Whoever orders one waits for the money.
    let permit = serde_json::json!({
        "permit_type": "ERC3009",
        "signature": { "signature_type": "ERC3009", "v": 27, "r": "0xabc", "s": "0xdef" },
        "token": ASSET, "chain_id": 84532, "authorizer": PAYER, "recipient": PAY_TO,
        "value": 10_000, "validAfter": 0, "validBefore": NOW + 60, "nonce": "n",
    });
    let order = serde_json::json!({ "version": "Version 0.1", "permit": permit }).to_string();
    let sold = send(&app, post("/token/GET/weather", order)).await;
    assert_eq!(sold.status, StatusCode::OK, "{sold:?}");
    assert!(sold.json()["access_token"].is_string() && sold.receipt().is_some(), "{sold:?}");
}
