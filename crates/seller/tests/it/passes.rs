//! Passes: who has paid is let in again for a while, and nobody else.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use futures_util::future::join_all;
use groat_core::books::Book;
use groat_seller::{Paid, PassKey, PassTerms, Pay, Settle};
use http::{Request, StatusCode};

use crate::kit::*;

const FIELD: &str = "x-payment-access-token";

fn terms(ttl_s: u64, scope: Option<&str>, uses: Option<u32>) -> PassTerms {
    PassTerms { ttl_s, scope: scope.map(Into::into), uses }
}

fn key(seed: u8) -> PassKey {
    PassKey::from_seed(&[seed; 32]).unwrap()
}

fn seller(world: &World) -> Pay {
    world.builder().pass_key(key(1)).build().unwrap()
}

/// `/weather` and `/news` for a cent, each with these passes.
fn shop(world: &World, pay: &Pay, settle: Settle, terms: &PassTerms) -> Router {
    let mut app = Router::new();
    for path in ["/weather", "/news"] {
        let layer = pay.route().price("$0.01").settle(settle).pass(terms.clone()).build().unwrap();
        let handler = world.counted(|run, request: Request<Body>| async move {
            let paid = request.extensions().get::<Paid>().cloned().unwrap();
            let tokens = request.headers().get_all("authorization").iter();
            let tokens: Vec<_> = tokens.map(|value| value.to_str().unwrap().to_owned()).collect();
            assert!(!request.headers().contains_key(FIELD), "a pass is as good as money");
            text(&format!("run {run} by pass {} of {} {tokens:?}", paid.by_pass, paid.payment_id))
        });
        app = app.route(path, any(handler).layer(layer));
    }
    app
}

fn show(path: &str, token: &str) -> Request<Body> {
    let mut request = get(path);
    request.headers_mut().insert(FIELD, token.parse().unwrap());
    request
}

fn bearer(path: &str, token: &str) -> Request<Body> {
    let mut request = get(path);
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test]
async fn r0_35_after_a_payment_the_same_request_is_let_in_without_one() {
    for settle in [Settle::Before, Settle::After] {
        let world = World::new();
        let app = shop(&world, &seller(&world), settle, &terms(300, None, None));
        let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
        let seen = send(&app, copy()).await;
        assert_eq!(seen.status, StatusCode::OK);
        let token = seen.header(FIELD).to_owned();
        assert!(token.split('.').count() == 3, "{token}");
        // The same answer has the same pass.
        assert_eq!(send(&app, copy()).await.header(FIELD), token);
        for request in
            [show("/weather", &token), bearer("/weather", &token), bearer("/weather?city=Bern", &token)]
        {
            let seen = send(&app, request).await;
            assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
            let body = String::from_utf8(seen.body.to_vec()).unwrap();
            assert!(body.ends_with(&format!("by pass true of {} []", id("n"))), "{body}");
            assert_eq!((seen.header("cache-control"), seen.header(FIELD)), ("private", ""));
            assert!(seen.receipt().is_none());
        }
        assert_eq!((world.hits(), world.fake.settles(), world.sales()), (4, 1, 1));
        // It is for this path and method, for this seller, and for so long.
        let elsewhere = send(&app, show("/news", &token)).await;
        assert_eq!((elsewhere.status, elsewhere.has_challenge()), (StatusCode::PAYMENT_REQUIRED, true));
        assert!(elsewhere.header("www-authenticate").contains("invalid_token"));
        let mut other_method = post("/weather", "x");
        other_method.headers_mut().insert(FIELD, token.parse().unwrap());
        assert_eq!(send(&app, other_method).await.status, StatusCode::PAYMENT_REQUIRED);
        let other = world.builder().pass_key(key(1)).public_url("https://other.example.com").build().unwrap();
        let other = shop(&world, &other, settle, &terms(300, None, None));
        let mut request = show("/weather", &token);
        request.headers_mut().insert("host", "other.example.com".parse().unwrap());
        assert_eq!(send(&other, request).await.status, StatusCode::PAYMENT_REQUIRED);
        world.clock.store(NOW + 300, Ordering::SeqCst);
        let late = send(&app, show("/weather", &token)).await;
        assert_eq!(late.status, StatusCode::PAYMENT_REQUIRED);
        assert_eq!(late.json()["message"], "the pass has expired");
        assert_eq!(world.hits(), 4);
    }
}

#[tokio::test]
async fn t05_what_is_good_for_a_class_is_good_for_its_routes_and_no_other() {
    let world = World::new();
    let pay = seller(&world);
    let class = shop(&world, &pay, Settle::After, &terms(300, Some("reports"), None));
    let other = shop(&world, &pay, Settle::After, &terms(300, Some("archive"), None));
    let token = buy(&class, get("/weather"), "n").await.header(FIELD).to_owned();
    assert_eq!(send(&class, show("/news", &token)).await.status, StatusCode::OK);
    assert_eq!(send(&other, show("/news", &token)).await.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn t12_a_pass_for_three_requests_lets_in_three_of_twenty_and_survives_a_restart() {
    let world = World::new();
    let three = terms(300, None, Some(3));
    let app = shop(&world, &seller(&world), Settle::After, &three);
    let token = buy(&app, get("/weather"), "n").await.header(FIELD).to_owned();
    let all = join_all((0..20).map(|_| send(&app, show("/weather", &token)))).await;
    let served = all.iter().filter(|seen| seen.status == StatusCode::OK).count();
    assert_eq!((served, world.hits(), world.store.count(Book::Passes)), (3, 4, 1));
    let again = shop(&world, &seller(&world), Settle::After, &three);
    let seen = send(&again, show("/weather", &token)).await;
    assert_eq!(
        (seen.status, &seen.json()["message"]),
        (StatusCode::PAYMENT_REQUIRED, &"the pass is used up".into())
    );
}

#[tokio::test]
async fn a_request_that_fails_costs_no_use_and_a_book_that_is_away_lets_nobody_in() {
    let world = World::new();
    let layer = seller(&world).route().price("$0.01").pass(terms(300, None, Some(1))).build().unwrap();
    let handler = world.counted(|run, _| async move {
        let mut response = text("weather");
        if run == 2 {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        response
    });
    let app = Router::new().route("/weather", any(handler).layer(layer));
    let token = buy(&app, get("/weather"), "n").await.header(FIELD).to_owned();
    assert_eq!(send(&app, show("/weather", &token)).await.status, StatusCode::BAD_GATEWAY);
    world.store.set_down(true);
    assert_eq!(send(&app, show("/weather", &token)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.store.set_down(false);
    assert_eq!(send(&app, show("/weather", &token)).await.status, StatusCode::OK);
    assert_eq!(send(&app, show("/weather", &token)).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(world.hits(), 3);
}

#[tokio::test]
async fn c20_tokens_of_others_go_through_and_a_payment_beside_a_bad_pass_counts() {
    let world = World::new();
    let app = shop(&world, &seller(&world), Settle::After, &terms(300, None, None));
    let request = pay_for(&app, bearer("/weather", "their.own.token"), "a").await;
    let seen = send(&app, request).await;
    assert!(String::from_utf8_lossy(&seen.body).ends_with(r#"["Bearer their.own.token"]"#), "{seen:?}");
    // Not ours, so nothing is wrong with it.
    let unpaid = send(&app, bearer("/weather", "their.own.token")).await;
    assert_eq!(unpaid.status, StatusCode::PAYMENT_REQUIRED);
    let mut told = unpaid.headers.get_all("www-authenticate").iter();
    assert!(!told.any(|value| value.to_str().unwrap().contains("Bearer")), "{unpaid:?}");
    // One of another instance's key is no business of ours; one of ours for elsewhere is told, and does not hurt.
    let token = seen.header(FIELD).to_owned();
    let mut request = pay_for(&app, get("/news"), "b").await;
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let paid = send(&app, request).await;
    assert_eq!(paid.status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&paid.body).ends_with("[]"), "ours goes no further");
    assert_eq!(world.fake.settles(), 2);
}

#[tokio::test]
async fn without_terms_there_is_no_pass_and_none_is_taken() {
    let world = World::new();
    let pay = seller(&world);
    let app = world.weather(&pay);
    assert_eq!(buy(&app, get("/weather"), "n").await.header(FIELD), "");
    let with = shop(&world, &pay, Settle::After, &terms(300, None, None));
    let token = buy(&with, get("/weather"), "m").await.header(FIELD).to_owned();
    assert_eq!(send(&app, show("/weather", &token)).await.status, StatusCode::PAYMENT_REQUIRED);
    // A key of its own for each process, unless one is set.
    let stranger = shop(&world, &world.pay(), Settle::After, &terms(300, None, None));
    assert_eq!(send(&stranger, show("/weather", &token)).await.status, StatusCode::PAYMENT_REQUIRED);
    assert!(pay.route().price("$0.01").pass(terms(0, None, None)).build().is_err());
}
