//! One payment, one run, one answer.

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use groat_core::books::{Book, SaleState};
use groat_seller::Paid;
use groat_store::Trouble;
use http::StatusCode;
use tokio::sync::{Barrier, Semaphore};

use crate::kit::*;

#[tokio::test]
async fn a_paid_request_runs_the_handler_and_is_settled() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let seen = buy(&app, get("/weather?city=oslo"), "n").await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"sunny 1"[..]));
    let receipt = seen.receipt().unwrap();
    assert!(receipt.is_settled());
    assert_eq!(receipt.transaction.as_deref(), Some("0xpaid"));
    assert_eq!(seen.header("cache-control"), "private");
    assert!(seen.header("vary").contains("payment-signature"));
    assert_eq!((world.hits(), world.fake.verifies(), world.fake.settles()), (1, 1, 1));
    assert!(matches!(world.sale("n").await.state, SaleState::Done { .. }));
}

#[tokio::test]
async fn a_version_1_client_is_served_in_its_language() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let unpaid = send(&app, get("/weather")).await;
    let dialects = groat_wire::Dialects::new(vec![Arc::new(groat_wire::x402_v1::V1::default())]);
    let (_, challenge) = dialects.read_challenge(&unpaid.headers, &unpaid.body).unwrap().unwrap();
    let mut request = get("/weather");
    let payment = groat_core::Payment {
        dialect: groat_wire::x402_v1::ID,
        scheme: "exact".into(),
        network: challenge.offers[0].network.clone(),
        proof: serde_json::json!({ "nonce": "n" }),
        accepted: None,
        resource: None,
        extensions: serde_json::Map::new(),
    };
    dialects.write_payment(&payment, request.headers_mut()).unwrap();
    let seen = send(&app, request).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert!(seen.headers.contains_key("x-payment-response"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r01_forty_parallel_copies_run_the_handler_once() {
    for method in ["GET", "POST"] {
        let world = World::new();
        let open = Arc::new(Semaphore::new(0));
        let wait = open.clone();
        let handler = world.counted(move |run, _| {
            let wait = wait.clone();
            async move {
                wait.acquire().await.unwrap().forget();
                text(&format!("run {run}"))
            }
        });
        let app = Router::new().route("/", any(handler).layer(world.pay().price("$0.01")));
        let request = if method == "GET" { get("/") } else { post("/", "body") };
        let copy = copies(pay_for(&app, request, "n").await).await;
        let start = Arc::new(Barrier::new(40));
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let (app, request, start) = (app.clone(), copy(), start.clone());
                tokio::spawn(async move {
                    start.wait().await;
                    send(&app, request).await
                })
            })
            .collect();
        // One permit is enough for one run; a second run would hang the test.
        open.add_permits(1);
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        for seen in &answers {
            assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"run 1"[..]), "{method}");
            assert!(seen.receipt().unwrap().is_settled());
        }
        assert_eq!((world.hits(), world.fake.settles(), world.sales()), (1, 1, 1), "{method}");
    }
}

#[tokio::test]
async fn r03_a_replay_gets_the_same_answer_and_nothing_runs_again() {
    let world = World::new();
    let app = world.weather(&world.pay());
    for request in [get("/weather"), post("/weather", "hello")] {
        let nonce = request.method().as_str().to_owned();
        let copy = copies(pay_for(&app, request, &nonce).await).await;
        let first = send(&app, copy()).await;
        assert_eq!(first.status, StatusCode::OK);
        let runs = (world.hits(), world.fake.settles(), world.fake.verifies());
        for _ in 0..10 {
            let again = send(&app, copy()).await;
            assert_eq!((again.status, &again.body), (first.status, &first.body));
            assert_eq!(again.receipt(), first.receipt());
            assert_eq!(again.header("cache-control"), first.header("cache-control"));
        }
        assert_eq!((world.hits(), world.fake.settles(), world.fake.verifies()), runs);
    }
}

#[tokio::test]
async fn r03_a_used_payment_buys_no_other_request() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let paid = pay_for(&app, post("/weather", "one"), "n").await;
    let copy = copies(paid).await;
    assert_eq!(send(&app, copy()).await.status, StatusCode::OK);
    let other_body = copy().map(|_| "two".into());
    let mut other_query = copy();
    *other_query.uri_mut() = "/weather?x=1".parse().unwrap();
    let mut other_range = copy();
    other_range.headers_mut().insert("range", "bytes=0-1".parse().unwrap());
    for other in [other_body, other_query, other_range] {
        let seen = send(&app, other).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::PAYMENT_REQUIRED, "payment_already_used")
        );
        assert!(seen.has_challenge());
    }
    // The same authorization with another proof around it is not the same payment.
    let other_proof = pay_changed(&app, post("/weather", "one"), "n", |payment| {
        payment.proof["signature"] = "0x01".into();
    })
    .await;
    assert_eq!(send(&app, other_proof).await.error(), "payment_already_used");
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

#[tokio::test]
async fn a_payment_in_work_for_another_request_is_409() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    world.fake.script_verify(Script::Wait(gate.clone()));
    let app = world.weather(&world.pay());
    let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
    let first = tokio::spawn({
        let (app, request) = (app.clone(), copy());
        async move { send(&app, request).await }
    });
    while world.fake.verifies() == 0 {
        tokio::task::yield_now().await;
    }
    let mut other = copy();
    *other.uri_mut() = "/weather?x=1".parse().unwrap();
    let seen = send(&app, other).await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::CONFLICT, "payment_in_progress"));
    assert_ne!(seen.header("retry-after"), "");
    assert!(!seen.has_challenge(), "an open payment is no reason to sign again");
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn r07_a_client_that_leaves_cancels_nothing() {
    for request in [get("/weather"), post("/weather", "x")] {
        let world = World::new();
        let gate = Arc::new(Semaphore::new(0));
        // Whichever comes first is where the client leaves.
        world.fake.script_verify(Script::Wait(gate.clone()));
        world.fake.script_settle(Script::Wait(gate.clone()));
        let pay = world.pay();
        let app = world.weather(&pay);
        let copy = copies(pay_for(&app, request, "n").await).await;
        let client = tokio::spawn({
            let (app, request) = (app.clone(), copy());
            async move { send(&app, request).await }
        });
        while world.fake.verifies() + world.fake.settles() == 0 {
            tokio::task::yield_now().await;
        }
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        gate.add_permits(2);
        pay.drained().await;
        assert!(matches!(world.sale("n").await.state, SaleState::Done { .. }));
        let seen = send(&app, copy()).await;
        assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"sunny 1"[..]));
        assert_eq!((world.hits(), world.fake.settles()), (1, 1));
    }
}

#[tokio::test]
async fn g24_drained_waits_for_the_last_payment() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    world.fake.script_settle(Script::Wait(gate.clone()));
    let pay = world.pay();
    let app = world.weather(&pay);
    let request = pay_for(&app, get("/weather"), "n").await;
    let client = tokio::spawn({
        let app = app.clone();
        async move { send(&app, request).await }
    });
    while world.fake.settles() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pay.in_flight(), 1);
    let drained = pay.drained();
    tokio::pin!(drained);
    assert!(futures_util::FutureExt::now_or_never(drained.as_mut()).is_none());
    gate.add_permits(1);
    drained.await;
    assert_eq!(client.await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn g17_the_handler_sees_who_paid_and_never_the_payment() {
    let world = World::new();
    let handler = any(|paid: Paid, headers: http::HeaderMap| async move {
        for gone in [
            "payment-signature",
            "x-payment",
            "x-http-method-override",
            "x-original-url",
            "x-rewrite-url",
            "x-payment-payer",
        ] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["x-kept"], "1");
        format!("{} {} {}", paid.payer.unwrap(), paid.amount, paid.receipt.is_some())
    });
    let app = Router::new().route("/", handler.layer(world.pay().price("$0.01")));
    for (mut request, settled) in [(get("/"), false), (post("/", ""), true)] {
        for trick in
            ["x-http-method-override", "x-original-url", "x-rewrite-url", "x-payment-payer", "x-kept"]
        {
            request.headers_mut().insert(trick, "1".parse().unwrap());
        }
        let seen = buy(&app, request, &settled.to_string()).await;
        assert_eq!(String::from_utf8_lossy(&seen.body), format!("{PAYER} 10000 {settled}"));
    }
}

#[tokio::test]
async fn g16_a_handler_cannot_pretend_to_be_the_cashier() {
    let world = World::new();
    let handler = any(world.counted(|_, _| async {
        let mut response = text("ok");
        for name in ["payment-response", "x-payment-response", "payment-required", "settlement-overrides"] {
            response.headers_mut().insert(name, "forged".parse().unwrap());
        }
        response.headers_mut().insert("cache-control", "public, max-age=60".parse().unwrap());
        response
    }));
    let app = Router::new().route("/", handler.layer(world.pay().price("$0.01")));
    for (nonce, request) in [("a", get("/")), ("b", post("/", ""))] {
        let seen = buy(&app, request, nonce).await;
        assert!(seen.receipt().unwrap().is_settled());
        assert_eq!(seen.headers.get_all("payment-response").iter().count(), 1);
        assert!(!seen.headers.contains_key("payment-required"));
        assert!(!seen.headers.contains_key("settlement-overrides"));
        assert_eq!(seen.header("cache-control"), "max-age=60, private");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_and_nothing_is_held() {
    let world = World::new();
    let app = world.weather(&world.pay_with(|limits| limits.request_size_bytes_max = 10));
    let seen = buy(&app, post("/weather", "x".repeat(11)), "n").await;
    assert_eq!(seen.status, StatusCode::PAYLOAD_TOO_LARGE);
    // The same without a length.
    let pieces =
        [[0_u8; 6], [0; 6]].map(|piece| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(&piece)));
    let pieces = futures_util::stream::iter(pieces);
    let seen = buy(&app, post("/weather", axum::body::Body::from_stream(pieces)), "n").await;
    assert_eq!(seen.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!((world.sales(), world.fake.settles()), (0, 0));
    assert_eq!(buy(&app, post("/weather", "x".repeat(10)), "n").await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408_and_nothing_is_held() {
    let world = World::new();
    let app = world.weather(&world.pay());
    let stalled = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let seen = buy(&app, post("/weather", axum::body::Body::from_stream(stalled)), "n").await;
    assert_eq!((seen.status, world.sales()), (StatusCode::REQUEST_TIMEOUT, 0));
}

#[tokio::test]
async fn g23_too_many_payments_in_work_are_503_and_nothing_is_held() {
    let world = World::new();
    let app = world.weather(&world.pay_with(|limits| limits.in_flight_max = 0));
    let seen = buy(&app, get("/weather"), "n").await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
    assert_ne!(seen.header("retry-after"), "");
    assert_eq!(world.sales(), 0);
}

#[tokio::test]
async fn o08_without_a_store_nothing_is_served() {
    for (trouble, request) in [
        (Trouble::GetFails, get("/weather")),
        (Trouble::CommitFails, get("/weather")),
        (Trouble::CommitAnswerLost, get("/weather")),
        (Trouble::CommitFails, post("/weather", "")),
    ] {
        let world = World::new();
        let app = world.weather(&world.pay());
        let copy = copies(pay_for(&app, request, "n").await).await;
        world.store.trouble(trouble);
        let seen = send(&app, copy()).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
        );
        assert!(!seen.has_challenge());
        assert_eq!((world.hits(), world.fake.settles()), (0, 0), "{trouble:?}");
        // With the store back, the same payment buys its answer.
        assert_eq!(send(&app, copy()).await.status, StatusCode::OK, "{trouble:?}");
        assert_eq!((world.hits(), world.store.count(Book::Sales)), (1, 1));
    }
}
