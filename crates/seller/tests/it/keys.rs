//! `Idempotency-Key` of orders: under one key of one payer one payment is taken, and nobody else hears of it.

use std::sync::atomic::Ordering;

use axum::body::Body;
use futures_util::future::join_all;
use groat_core::Reason;
use groat_core::books::Book;
use groat_seller::Settle;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::kit::*;
use crate::token_shop::*;

const OTHER: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

fn keyed(key: &str, permit: &Value) -> Request<Body> {
    let mut request = order_at(ENDPOINT, permit);
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

/// The question of this account, signed by that one for this key.
fn lookup(payer: &str, key: &str, signer: &str, signed_key: &str, at: u64) -> Request<Body> {
    let lines = format!("x402-payments/1\nhttps://api.example.com\nidempotency_key {signed_key}\n{at}");
    let request = get(&format!("/x402/payments?idempotency_key={key}&payer={payer}"));
    sign(request, at, &signed(signer, &lines))
}

fn pays(payer: &'static str) -> Script {
    Script::Claim(Box::new(|claim| payer.clone_into(&mut claim.payer)))
}

#[tokio::test]
async fn r13_the_same_order_under_the_same_key_gets_the_same_token() {
    for settle in [Settle::After, Settle::Before] {
        let world = World::new();
        let app = shop(&world, settle);
        let other_spelling = {
            let mut other = permit("n");
            other["value"] = json!("10000");
            other
        };
        let first = send(&app, keyed("order-1", &permit("n"))).await;
        let sold = token(&first);
        assert_eq!(first.json()["metadata"]["replayed"], false);
        let again = shop(&world, settle);
        for (app, request) in [
            (&app, keyed("order-1", &permit("n"))),
            (&again, keyed("order-1", &other_spelling)),
            (&again, keyed("\"order-1\"", &permit("n"))),
            // It is the same payment, with or without a key.
            (&app, order_at(ENDPOINT, &permit("n"))),
            (&app, keyed("order-2", &permit("n"))),
        ] {
            let seen = send(app, request).await;
            assert_eq!((seen.status, token(&seen)), (StatusCode::OK, sold.clone()), "{seen:?}");
            assert_eq!(seen.json()["metadata"]["replayed"], true);
        }
        assert_eq!((world.fake.settles(), world.sales()), (1, 1));
    }
}

#[tokio::test]
async fn r14_t23_a_key_that_came_with_another_order_takes_nothing() {
    for settle in [Settle::After, Settle::Before] {
        let world = World::new();
        let app = shop(&world, settle);
        let sold = token(&send(&app, keyed("k", &permit("n"))).await);
        let mut news = keyed("k", &permit("n"));
        *news.uri_mut() = "/token/GET/news".parse().unwrap();
        for request in [keyed("k", &permit("m")), news] {
            let seen = send(&app, request).await;
            let told = (seen.status, seen.error());
            assert_eq!(told, (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused".to_owned()));
        }
        assert_eq!(token(&send(&app, keyed("k", &permit("n"))).await), sold);
        assert_eq!((world.fake.settles(), world.sales()), (1, 1));
        // After a day the key is free.
        world.clock.store(NOW + 86_401, Ordering::SeqCst);
        assert_eq!(send(&app, keyed("k", &permit("m"))).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn r01_t23_of_orders_that_come_at_once_under_one_key_one_is_paid() {
    for settle in [Settle::After, Settle::Before] {
        let world = World::new();
        let app = shop(&world, settle);
        let (one, other) = (permit("n"), permit("m"));
        let asked = (0..10).map(|run| send(&app, keyed("k", if run % 2 == 0 { &one } else { &other })));
        let all = join_all(asked.collect::<Vec<_>>()).await;
        let (good, refused): (Vec<_>, Vec<_>) = all.iter().partition(|seen| seen.status == StatusCode::OK);
        assert_eq!((good.len(), refused.len()), (5, 5), "{all:?}");
        assert!(good.iter().all(|seen| token(seen) == token(good[0])));
        assert!(refused.iter().all(|seen| seen.error() == "idempotency_key_reused"), "{refused:?}");
        assert_eq!((world.fake.settles(), world.sales()), (1, 1));
    }
}

#[tokio::test]
async fn r15_the_key_of_one_payer_is_not_the_key_of_another() {
    let world = World::new();
    let app = shop(&world, Settle::Before);
    assert_eq!(send(&app, keyed("k", &permit("n"))).await.status, StatusCode::OK);
    world.fake.script_verify(pays(OTHER));
    assert_eq!(send(&app, keyed("k", &permit("m"))).await.status, StatusCode::OK);
    assert_eq!(world.fake.settles(), 2);
    for (payer, nonce) in [(PAYER, "n"), (OTHER, "m")] {
        let found = send(&app, lookup(payer, "k", payer, "k", NOW)).await;
        assert_eq!(found.json()["payment_id"], id(nonce).to_string());
    }
}

#[tokio::test]
async fn r15_nobody_uses_up_the_keys_of_another_with_a_permit_that_is_none_or_that_everybody_can_see() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    // A permit that its payer has not signed.
    world.fake.script_verify(refuse(Reason::InvalidSignature));
    let forged = send(&app, keyed("k", &permit("x"))).await;
    assert_eq!(forged.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.store.count(Book::OrderKeys), 0);
    // One that is on the chain since it was sold.
    assert_eq!(send(&app, order_at(ENDPOINT, &permit("n"))).await.status, StatusCode::OK);
    assert_eq!(send(&app, keyed("k", &permit("n"))).await.status, StatusCode::OK);
    assert_eq!(world.store.count(Book::OrderKeys), 0);
    assert_eq!(send(&app, keyed("k", &permit("m"))).await.status, StatusCode::OK);
    assert_eq!(send(&app, keyed("k", &permit("n"))).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn r12_a_key_stands_for_its_order_while_that_may_still_be_paid_and_is_free_when_it_cannot() {
    let world = World::new();
    let app = shop(&world, Settle::Before);
    for _ in 0..2 {
        world.fake.script_settle(pending("0x1"));
    }
    assert_eq!(send(&app, keyed("k", &permit("n"))).await.error(), "settlement_pending");
    let other = || send(&app, keyed("k", &permit("m")));
    assert_eq!(other().await.error(), "idempotency_key_reused");
    world.clock.store(DEAD, Ordering::SeqCst);
    assert_eq!(other().await.error(), "idempotency_key_reused", "the book does not know yet");
    world.fake.script_settle(refuse(Reason::Expired));
    assert_eq!(send(&app, keyed("k", &permit("n"))).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(other().await.status, StatusCode::OK);
    assert_eq!(send(&app, keyed("k", &permit("n"))).await.error(), "idempotency_key_reused");
    let found = send(&app, lookup(PAYER, "k", PAYER, "k", DEAD)).await;
    assert_eq!(found.json()["payment_id"], id("m").to_string());
}

#[tokio::test]
async fn f079_the_payer_and_nobody_else_learns_what_became_of_the_order_under_a_key() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    send(&app, keyed("k 1", &permit("n"))).await;
    let by_id = send(&app, get(&format!("/x402/payments/{}", id("n")))).await;
    for request in [
        lookup(PAYER, "k%201", PAYER, "k 1", NOW),
        lookup(&PAYER.to_lowercase(), "k+1", PAYER, "k 1", NOW - 300),
    ] {
        let seen = send(&app, request).await;
        assert_eq!((seen.status, seen.json()), (StatusCode::OK, by_id.json()));
    }
    let unknown = send(&app, lookup(PAYER, "k", PAYER, "k", NOW)).await;
    assert_eq!((unknown.status, unknown.error().as_str()), (StatusCode::NOT_FOUND, "unknown_payment"));
    let of_other = send(&app, lookup(OTHER, "k%201", OTHER, "k 1", NOW)).await;
    assert_eq!(of_other.status, StatusCode::NOT_FOUND);
    for request in [
        get(&format!("/x402/payments?idempotency_key=k%201&payer={PAYER}")),
        lookup(PAYER, "k%201", OTHER, "k 1", NOW),
        lookup(PAYER, "k%201", PAYER, "k 2", NOW),
        lookup(PAYER, "k%201", PAYER, "k 1", NOW - 301),
        lookup(PAYER, "k%201", PAYER, "k 1", NOW + 61),
    ] {
        let seen = send(&app, request).await;
        assert_eq!((seen.status, seen.error().as_str()), (StatusCode::UNAUTHORIZED, "not_signed"));
    }
    let long = "x".repeat(256);
    for bad in [
        "idempotency_key=k%201".to_owned(),
        format!("idempotency_key=&payer={PAYER}"),
        format!("idempotency_key=a%0Ab&payer={PAYER}"),
        format!("idempotency_key={long}&payer={PAYER}"),
        format!("idempotency_key=a&idempotency_key=b&payer={PAYER}"),
        format!("idempotency_key=a&payer={PAYER}&authorization={NETWORK}:{ASSET}:{PAYER}:n"),
    ] {
        let seen = send(&app, get(&format!("/x402/payments?{bad}"))).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_request"),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn t23_a_field_that_is_no_key_is_told_and_takes_nothing() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let mut two = keyed("a", &permit("n"));
    two.headers_mut().append("idempotency-key", "b".parse().unwrap());
    for request in
        [keyed("", &permit("n")), keyed(&"x".repeat(256), &permit("n")), keyed("\"", &permit("n")), two]
    {
        let seen = send(&app, request).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_idempotency_key")
        );
    }
    assert_eq!((world.fake.settles(), world.sales()), (0, 0));
}

#[tokio::test]
async fn a_key_that_cannot_be_written_down_takes_nothing() {
    let world = World::new();
    let app = shop(&world, Settle::Before);
    world.store.trouble(groat_store::Trouble::CommitFails);
    let seen = send(&app, keyed("k", &permit("n"))).await;
    assert_eq!((seen.status, world.fake.settles()), (StatusCode::SERVICE_UNAVAILABLE, 0), "{seen:?}");
    world.fake.script_verify(unavailable());
    let seen = send(&app, keyed("k", &permit("n"))).await;
    assert_eq!((seen.status, world.fake.settles()), (StatusCode::SERVICE_UNAVAILABLE, 0), "{seen:?}");
    assert_eq!(send(&app, keyed("k", &permit("n"))).await.status, StatusCode::OK);
}
