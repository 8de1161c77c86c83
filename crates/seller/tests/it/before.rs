//! Settled before the handler: the money first, then whatever the handler says, while it says it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use groat_core::Reason;
use groat_core::books::SaleState;
use groat_seller::Settle;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{Mutex, mpsc};
use tower::ServiceExt;

use crate::kit::*;

/// A route whose answers come piece by piece from a channel.
fn fed(world: &World) -> (Router, mpsc::Sender<Bytes>, groat_seller::Pay) {
    let (feed, source) = mpsc::channel::<Bytes>(1);
    let source = Arc::new(Mutex::new(source));
    let pay = world.pay();
    let handler = any(world.counted(move |_, _| {
        let source = source.clone();
        async move {
            let pieces = futures_util::stream::unfold(source, |source| async move {
                let next = source.lock().await.recv().await?;
                Some((Ok::<_, std::io::Error>(next), source))
            });
            Response::new(Body::from_stream(pieces))
        }
    }));
    (Router::new().route("/", handler.layer(pay.price("$0.01"))), feed, pay)
}

#[tokio::test]
async fn g15_a_post_is_settled_before_the_handler_runs() {
    let world = World::new();
    let app = world.weather(&world.pay());
    world.fake.script_settle(refuse(Reason::InsufficientBalance));
    let copy = copies(pay_for(&app, post("/weather", "x"), "n").await).await;
    let seen = send(&app, copy()).await;
    assert_eq!(
        (seen.status, seen.error().as_str()),
        (StatusCode::PAYMENT_REQUIRED, Reason::InsufficientBalance.code())
    );
    assert!(!seen.receipt().unwrap().is_settled());
    assert_eq!((world.hits(), world.sale("n").await.state), (0, SaleState::Released));
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"sunny 1"[..]));
    assert_eq!(world.fake.verifies(), 0, "settling verifies");
}

#[tokio::test(start_paused = true)]
async fn a_pending_settlement_runs_no_handler_until_it_is_known() {
    let world = World::new();
    let app = world.weather(&world.pay());
    for script in [pending("0xsent"), unavailable()] {
        world.fake.script_settle(script);
    }
    let copy = copies(pay_for(&app, post("/weather", "x"), "n").await).await;
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending"));
    assert_eq!(seen.receipt().unwrap().transaction.as_deref(), Some("0xsent"));
    assert_eq!((world.hits(), world.sale("n").await.state), (0, SaleState::Held { started: false }));
    // Perhaps paid: the payment is for this request and no other.
    let mut other = copy();
    *other.uri_mut() = "/weather?x".parse().unwrap();
    assert_eq!(send(&app, other).await.status, StatusCode::CONFLICT);
    assert_eq!(send(&app, copy()).await.status, StatusCode::OK);
    assert_eq!(world.hits(), 1);
}

#[tokio::test]
async fn an_answer_flows_while_it_is_made_and_is_kept() {
    let world = World::new();
    let (app, feed, _) = fed(&world);
    let copy = copies(pay_for(&app, post("/", "x"), "n").await).await;
    let response = app.clone().oneshot(copy()).await.unwrap();
    assert!(response.headers().contains_key("payment-response"));
    let mut body = response.into_body();
    for piece in ["one ", "two"] {
        feed.send(piece.into()).await.unwrap();
        // The piece arrives although the answer is not complete.
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
    }
    assert!(matches!(world.sale("n").await.state, SaleState::Paid { started: true, .. }));
    drop(feed);
    assert!(body.frame().await.is_none());
    // The client saw the end, so the book has it.
    assert!(matches!(world.sale("n").await.state, SaleState::Done { .. }));
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"one two"[..]));
    assert_eq!(world.hits(), 1);
}

#[tokio::test]
async fn g09_a_client_that_leaves_mid_answer_finds_it_whole_later() {
    let world = World::new();
    let (app, feed, pay) = fed(&world);
    let copy = copies(pay_for(&app, post("/", "x"), "n").await).await;
    let mut body = app.clone().oneshot(copy()).await.unwrap().into_body();
    feed.send("one ".into()).await.unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    feed.send("two".into()).await.unwrap();
    drop(feed);
    pay.drained().await;
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"one two"[..]));
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_endless_answer_ends_some_time_after_its_client_has_left() {
    let world = World::new();
    let (app, feed, pay) = fed(&world);
    let copy = copies(pay_for(&app, post("/", "x"), "n").await).await;
    let mut body = app.clone().oneshot(copy()).await.unwrap().into_body();
    feed.send("one".into()).await.unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    // The feed stays open: only time ends it.
    pay.drained().await;
    assert_eq!(send(&app, copy()).await.status, StatusCode::GONE);
    assert_eq!(world.hits(), 1);
    drop(feed);
}

#[tokio::test]
async fn a_failure_after_the_money_has_moved_comes_with_the_receipt() {
    let world = World::new();
    let pay = world.pay();
    let handler = any(world.counted(|run, _| async move {
        assert_ne!(run, 1, "a bug");
        let mut response = text("no such thing");
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }));
    let app = Router::new().route("/", handler.layer(pay.price("$0.01")));
    for (nonce, status) in [("a", 500), ("b", 404)] {
        let copy = copies(pay_for(&app, post("/", "x"), nonce).await).await;
        for _ in 0..2 {
            let seen = send(&app, copy()).await;
            assert_eq!(seen.status.as_u16(), status);
            assert!(seen.receipt().unwrap().is_settled());
        }
    }
    assert_eq!(world.hits(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_is_504_with_the_receipt() {
    let world = World::new();
    let handler = any(world.counted(|_, _| std::future::pending()));
    let app = Router::new().route("/", handler.layer(world.pay().price("$0.01")));
    let seen = buy(&app, post("/", "x"), "n").await;
    assert_eq!(seen.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(seen.receipt().unwrap().is_settled());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_the_whole() {
    let world = World::new();
    let handler = any(world.counted(|_, _| async {
        let pieces = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("broken"))];
        Response::new(Body::from_stream(futures_util::stream::iter(pieces)))
    }));
    let pay = world.pay();
    let app = Router::new().route("/", handler.layer(pay.price("$0.01")));
    let copy = copies(pay_for(&app, post("/", "x"), "n").await).await;
    let response = app.clone().oneshot(copy()).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    pay.drained().await;
    assert_eq!(send(&app, copy()).await.status, StatusCode::GONE);
    assert_eq!(world.hits(), 1);
}

#[tokio::test]
async fn the_order_of_settlement_can_be_set() {
    let world = World::new();
    let handler = any(world.counted(|_, _| async {
        let mut response = text("teapot");
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    }));
    let route = |settle| world.pay().route().price("$0.01").settle(settle).build().unwrap();
    let app = Router::new()
        .route("/before", handler.clone().layer(route(Settle::Before)))
        .route("/after", handler.layer(route(Settle::After)));
    let seen = buy(&app, get("/before"), "a").await;
    assert!(seen.receipt().unwrap().is_settled(), "charged although it is no success");
    let seen = buy(&app, post("/after", "x"), "b").await;
    assert!(seen.receipt().is_none());
    assert_eq!(world.fake.settles(), 1);
}
