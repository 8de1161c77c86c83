//! Passes that are taken back, and passes whose money is not there any more.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use futures_util::future::join_all;
use groat_core::Reason;
use groat_core::books::SettlementState;
use groat_seller::{PassTerms, Settle};
use http::{Request, StatusCode};
use serde_json::json;

use crate::kit::*;
use crate::token_shop::*;

fn revoke(token: &str) -> Request<Body> {
    post("/x402/revoke", format!("token={token}&token_type_hint=access_token"))
}

async fn is_active(app: &Router, token: &str) -> bool {
    let told = send(app, post("/x402/introspect", format!("token={token}"))).await;
    assert_eq!(told.status, StatusCode::OK);
    let told = told.json()["active"].as_bool().unwrap();
    // Who asks and who is let in hear the same.
    let shown = send(app, bearer("/weather", token)).await;
    assert_eq!(told, shown.status == StatusCode::OK, "{shown:?}");
    told
}

#[tokio::test]
async fn t12_a_token_that_was_revoked_is_good_for_nothing_at_any_gate_and_after_a_restart() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    let other = token(&send(&app, order_at(ENDPOINT, &permit("m"))).await);
    let gate = shop(&world, Settle::After);
    assert!(is_active(&app, &sold).await && is_active(&gate, &sold).await);
    for _ in 0..2 {
        let seen = send(&app, revoke(&sold)).await;
        assert_eq!((seen.status, seen.json()), (StatusCode::OK, json!({})));
    }
    for app in [&app, &gate, &shop(&world, Settle::After)] {
        assert!(!is_active(app, &sold).await);
        assert!(is_active(app, &other).await);
        let seen = send(app, bearer("/weather", &sold)).await;
        assert_eq!(
            (seen.status, seen.json()["message"].as_str()),
            (StatusCode::PAYMENT_REQUIRED, Some("the pass was revoked"))
        );
        let again = send(app, order_at(ENDPOINT, &permit("n"))).await;
        assert_eq!((again.status, again.error().as_str()), (StatusCode::GONE, "pass_revoked"));
    }
    assert_eq!(world.fake.settles(), 2);
}

#[tokio::test]
async fn whoever_has_no_token_of_ours_revokes_nothing() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    let forged = format!("{}A", &sold[..sold.len() - 1]);
    for unknown in ["", "x", "a.b.c", forged.as_str(), &"x".repeat(9_000)] {
        let seen = send(&app, revoke(unknown)).await;
        assert_eq!(seen.status, StatusCode::OK, "{unknown}: RFC 7009 section 2.2");
    }
    // Two tokens are no request, and so is none.
    for bad in ["", "token_type_hint=access_token", &format!("token={sold}&token={sold}")] {
        let seen = send(&app, post("/x402/revoke", bad.to_owned())).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_request"),
            "{bad}"
        );
    }
    let large = send(&app, revoke(&"x".repeat(20_000))).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send(&app, get("/x402/revoke")).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(is_active(&app, &sold).await);
}

#[tokio::test]
async fn a_pass_for_a_number_of_requests_is_revoked_with_what_is_left_of_it() {
    let world = World::new();
    let pay = seller(&world);
    let terms = PassTerms { ttl_s: 300, scope: None, uses: Some(3) };
    let layer = pay.route().price("$0.01").pass(terms).build().unwrap();
    let service = groat_seller::PaymentService::new(&pay).route("GET /weather", &layer).unwrap();
    let handler = world.counted(|_, _| async { text("sunny") });
    let app =
        Router::new().route("/weather", axum::routing::any(handler).layer(layer)).fallback_service(service);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    assert!(is_active(&app, &sold).await);
    let all = join_all((0..5).map(|_| send(&app, revoke(&sold)))).await;
    assert!(all.iter().all(|seen| seen.status == StatusCode::OK), "{all:?}");
    assert!(!is_active(&app, &sold).await);
    assert_eq!(world.hits(), 1);
}

#[tokio::test]
async fn what_cannot_be_written_is_not_told_as_revoked() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    world.store.trouble(groat_store::Trouble::CommitFails);
    let seen = send(&app, revoke(&sold)).await;
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE, "{seen:?}");
    assert_eq!(send(&app, revoke(&sold)).await.status, StatusCode::OK);
    assert!(!is_active(&app, &sold).await);
}

fn failed() -> SettlementState {
    SettlementState::Failed { reason: Reason::Expired, transaction: None }
}

#[tokio::test]
async fn b14_a_token_whose_payment_is_undone_on_its_chain_is_no_longer_good_until_it_is_there_again() {
    for undone in [submitted_state(), failed()] {
        let world = World::new();
        let app = shop(&world, Settle::After);
        let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
        world.fake.knows(id("n"), settled_state());
        world.clock.store(NOW + 10, Ordering::SeqCst);
        assert!(is_active(&app, &sold).await);
        world.fake.knows(id("n"), undone);
        // It is looked at every ten seconds, and at once by a gate that has not looked yet.
        assert!(!is_active(&shop(&world, Settle::After), &sold).await);
        world.clock.store(NOW + 20, Ordering::SeqCst);
        assert!(!is_active(&app, &sold).await);
        let seen = send(&app, bearer("/weather", &sold)).await;
        assert_eq!(seen.json()["message"], "the payment of the pass was undone");
        let again = send(&app, order_at(ENDPOINT, &permit("n"))).await;
        assert_eq!((again.status, again.error().as_str()), (StatusCode::CONFLICT, "payment_undone"));
        world.fake.knows(id("n"), settled_state());
        world.clock.store(NOW + 30, Ordering::SeqCst);
        assert!(is_active(&app, &sold).await);
        assert_eq!(world.fake.settles(), 1);
    }
}

#[tokio::test]
async fn b14_g06_a_token_whose_nonce_has_paid_somebody_else_in_the_end_is_no_longer_good() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    world.fake.knows(id("n"), settled_state());
    PAYER.clone_into(&mut world.fake.pays.lock().unwrap());
    assert!(is_active(&app, &sold).await, "it was seen to be paid a moment ago");
    world.clock.store(NOW + 10, Ordering::SeqCst);
    assert!(!is_active(&app, &sold).await);
}

#[tokio::test]
async fn a_facilitator_that_cannot_tell_takes_nobodys_token_away() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    world.fake.without_memory.store(true, Ordering::SeqCst);
    world.clock.store(NOW + 10, Ordering::SeqCst);
    assert!(is_active(&app, &sold).await);
    // And what was known to be undone stays so.
    world.fake.without_memory.store(false, Ordering::SeqCst);
    world.fake.knows(id("n"), failed());
    world.clock.store(NOW + 20, Ordering::SeqCst);
    assert!(!is_active(&app, &sold).await);
    world.fake.without_memory.store(true, Ordering::SeqCst);
    world.clock.store(NOW + 30, Ordering::SeqCst);
    assert!(!is_active(&app, &sold).await);
}
