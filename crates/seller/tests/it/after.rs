//! Settled after the handler: only a success is charged, and what is unknown is never called failed.

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get as on_get};
use bytes::Bytes;
use groat_core::books::SaleState;
use groat_core::payment::ReceiptOutcome;
use groat_core::{Amount, Fault, Reason};
use http::{Response, StatusCode};

use crate::kit::*;

type ChangeClaim = Box<dyn Fn(&mut groat_core::Claim) + Send>;

#[tokio::test]
async fn a_payment_that_does_not_verify_is_refused_and_not_worth_a_line_in_the_book() {
    let world = World::new();
    let app = world.weather(&world.pay());
    world.fake.script_verify(refuse(Reason::InsufficientBalance));
    let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
    let seen = send(&app, copy()).await;
    assert_eq!(
        (seen.status, seen.error().as_str()),
        (StatusCode::PAYMENT_REQUIRED, Reason::InsufficientBalance.code())
    );
    assert!(seen.has_challenge());
    assert_eq!((world.hits(), world.fake.settles(), world.sales()), (0, 0, 0));
    // With money on the account the same payment is good.
    assert_eq!(send(&app, copy()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_missing_permit2_allowance_is_412() {
    let world = World::new();
    let app = world.weather(&world.pay());
    world.fake.script_verify(refuse(Reason::from_code("permit2_allowance_required")));
    let seen = buy(&app, get("/weather"), "n").await;
    assert_eq!(seen.status, StatusCode::PRECONDITION_FAILED);
    assert!(seen.has_challenge());
}

#[tokio::test(start_paused = true)]
async fn g03_without_a_facilitator_nothing_is_served() {
    for (script, status) in [
        (unavailable(), StatusCode::SERVICE_UNAVAILABLE),
        (Script::Fail(Fault::garbled("facilitator", "nonsense").into()), StatusCode::BAD_GATEWAY),
        (Script::Hang, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let world = World::new();
        let app = world.weather(&world.pay());
        world.fake.script_verify(script);
        let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
        let seen = send(&app, copy()).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, "facilitator_unavailable"));
        assert_ne!(seen.header("retry-after"), "");
        assert!(!seen.has_challenge());
        assert_eq!((world.hits(), world.sales()), (0, 0));
        assert_eq!(send(&app, copy()).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn g05_a_claim_for_something_else_is_not_believed() {
    let changes: [ChangeClaim; 4] = [
        Box::new(|claim| claim.amount = Amount::from_units(1)),
        Box::new(|claim| claim.pay_to = PAYER.into()),
        Box::new(|claim| claim.asset = PAYER.into()),
        Box::new(|claim| claim.key = key(&claim.network, "another")),
    ];
    for change in changes {
        let world = World::new();
        let app = world.weather(&world.pay());
        world.fake.script_verify(Script::Claim(change));
        assert_eq!(buy(&app, get("/weather"), "n").await.status, StatusCode::BAD_GATEWAY);
        assert_eq!((world.hits(), world.fake.settles()), (0, 0));
    }
}

#[tokio::test]
async fn g12_only_a_success_is_charged() {
    for status in [301, 304, 400, 404, 500] {
        let world = World::new();
        let handler = any(world.counted(move |_, _| async move {
            let mut response = text("why");
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("payment-response", "forged".parse().unwrap());
            response.headers_mut().insert("cache-control", "public, max-age=60".parse().unwrap());
            response
        }));
        let app = Router::new().route("/", handler.layer(world.pay().price("$0.01")));
        let seen = buy(&app, get("/"), "n").await;
        assert_eq!(seen.status.as_u16(), status);
        assert_eq!(seen.header("cache-control"), "max-age=60, private");
        assert!(seen.receipt().is_none());
        assert_eq!((world.hits(), world.fake.settles()), (1, 0), "{status}");
        assert_eq!(world.sale("n").await.state, SaleState::Released);
    }
}

#[tokio::test]
async fn g11_a_large_error_is_not_given_for_nothing() {
    let world = World::new();
    let handler = any(world.counted(|_, _| async {
        let mut response = Response::new(Body::from(vec![b'x'; (64 << 10) + 1]));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }));
    let app = Router::new().route("/", handler.layer(world.pay().price("$0.01")));
    let seen = buy(&app, get("/"), "n").await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::NOT_FOUND, "answer_too_large"));
}

#[tokio::test(start_paused = true)]
async fn g10_a_handler_that_panics_or_never_ends_costs_nothing() {
    let world = World::new();
    let pay = world.pay();
    let broken = |run: usize| async move {
        match run {
            1 => panic!("bug"),
            2 => std::future::pending().await,
            // The answer begins and then stops.
            3 => Response::new(Body::from_stream(futures_util::stream::pending::<
                Result<Bytes, std::io::Error>,
            >())),
            4 => Response::new(Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(
                std::io::Error::other("broken"),
            )]))),
            _ => text("ok"),
        }
    };
    let app =
        Router::new().route("/", any(world.counted(move |run, _| broken(run))).layer(pay.price("$0.01")));
    let copy = copies(pay_for(&app, get("/"), "n").await).await;
    for (status, error) in [
        (500, "handler_panicked"),
        (504, "handler_timeout"),
        (504, "handler_timeout"),
        (500, "handler_failed"),
    ] {
        let seen = send(&app, copy()).await;
        assert_eq!((seen.status.as_u16(), seen.error().as_str()), (status, error));
        assert_eq!(world.sale("n").await.state, SaleState::Released);
    }
    assert_eq!(world.fake.settles(), 0);
    assert_eq!(send(&app, copy()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn g04_a_settlement_that_fails_withholds_the_answer() {
    let refusals =
        [refuse(Reason::TransactionFailed), Script::Say(ReceiptOutcome::Failed(Reason::TransactionFailed))];
    for script in refusals {
        let world = World::new();
        let app = world.weather(&world.pay());
        world.fake.script_settle(script);
        let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
        for _ in 0..3 {
            let seen = send(&app, copy()).await;
            assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED);
            assert_eq!(seen.error(), Reason::TransactionFailed.code());
            assert_eq!(seen.receipt().unwrap().outcome, ReceiptOutcome::Failed(Reason::TransactionFailed));
            assert!(seen.has_challenge(), "the buyer may sign a new one");
            assert!(!String::from_utf8_lossy(&seen.body).contains("sunny"));
        }
        assert!(matches!(world.sale("n").await.state, SaleState::Withheld { .. }));
        assert_eq!((world.hits(), world.fake.settles()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pending_settlement_is_asked_for_once_more() {
    let world = World::new();
    let app = world.weather(&world.pay());
    world.fake.script_settle(pending("0xsent"));
    assert_eq!(buy(&app, get("/weather"), "n").await.status, StatusCode::OK);
    assert_eq!((world.hits(), world.fake.settles()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn r11_a_pending_settlement_is_503_with_its_hash_and_the_resend_goes_on() {
    let world = World::new();
    let app = world.weather(&world.pay());
    world.fake.script_settle(pending("0xsent"));
    world.fake.script_settle(Script::Say(ReceiptOutcome::Pending));
    let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending"));
    assert_ne!(seen.header("retry-after"), "");
    let receipt = seen.receipt().unwrap();
    assert_eq!(receipt.outcome, ReceiptOutcome::Pending);
    assert!(receipt.transaction.is_some());
    assert!(!seen.headers.contains_key("payment-required"), "nothing to sign again for");
    assert!(matches!(world.sale("n").await.state, SaleState::Served { .. }));

    // Two resends at once: both get the answer, the handler does not run again.
    let (one, two) = tokio::join!(send(&app, copy()), send(&app, copy()));
    assert_eq!((&one.body[..], &two.body[..]), (&b"sunny 1"[..], &b"sunny 1"[..]));
    assert_eq!((world.hits(), world.fake.settles(), world.fake.verifies()), (1, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_settlement_is_pending_too() {
    for script in [unavailable(), Script::Hang, Script::Fail(Fault::garbled("facilitator", "?").into())] {
        let world = World::new();
        let app = world.weather(&world.pay());
        world.fake.script_settle(script);
        world.fake.script_settle(unavailable());
        let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
        let seen = send(&app, copy()).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending")
        );
        assert!(matches!(world.sale("n").await.state, SaleState::Served { .. }));
        world.fake.on_settle.lock().unwrap().clear();
        assert_eq!(send(&app, copy()).await.status, StatusCode::OK);
        assert_eq!(world.hits(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_unknown_settlement_proves_nothing() {
    // A facilitator without memory calls a payment used that it took itself a moment ago.
    let world = World::new();
    world.fake.without_memory.store(true, std::sync::atomic::Ordering::SeqCst);
    let app = world.weather(&world.pay());
    world.fake.script_settle(unavailable());
    world.fake.script_settle(refuse(Reason::NonceAlreadyUsed));
    let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
    for _ in 0..2 {
        let seen = send(&app, copy()).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending")
        );
    }
    assert!(matches!(world.sale("n").await.state, SaleState::Served { .. }));
    // One that keeps a book and says that nothing moved is believed.
    let world = World::new();
    let app = world.weather(&world.pay());
    world.fake.script_settle(unavailable());
    world.fake.script_settle(refuse(Reason::Expired));
    world.fake.script_settle(refuse(Reason::Expired));
    let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
    assert_eq!(send(&app, copy()).await.error(), "settlement_pending");
    // The first call may still be on its way, as long as the payment can be taken.
    assert_eq!(send(&app, copy()).await.error(), "settlement_pending");
    world.clock.store(DEAD, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(send(&app, copy()).await.error(), Reason::Expired.code());
    // And one whose book says that it moved as well.
    let world = World::new();
    let app = world.weather(&world.pay());
    world.fake.knows(id("n"), settled_state());
    world.fake.script_settle(pending("0xsent"));
    world.fake.script_settle(refuse(Reason::NonceAlreadyUsed));
    let seen = buy(&app, get("/weather"), "n").await;
    assert_eq!(
        (seen.status, seen.receipt().unwrap().transaction.as_deref()),
        (StatusCode::OK, Some("0xknown"))
    );
}

#[tokio::test(start_paused = true)]
async fn g06_a_receipt_for_something_else_is_no_proof() {
    let network = groat_core::Network::parse("base").unwrap();
    for wrong in [
        groat_core::Receipt { network, ..receipt("0xother") },
        groat_core::Receipt { amount: Some(Amount::from_units(1)), ..receipt("0xother") },
    ] {
        let world = World::new();
        let app = world.weather(&world.pay());
        world.fake.script_settle(Script::Receipt(wrong.clone()));
        world.fake.script_settle(Script::Receipt(wrong));
        let seen = buy(&app, get("/weather"), "n").await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending")
        );
        assert!(!String::from_utf8_lossy(&seen.body).contains("sunny"));
    }
}

#[tokio::test]
async fn r12_paid_and_not_written_is_pending_and_the_resend_gets_the_answer() {
    let world = World::new();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    world.fake.script_settle(Script::Wait(gate.clone()));
    let app = world.weather(&world.pay());
    let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
    let client = tokio::spawn({
        let (app, request) = (app.clone(), copy());
        async move { send(&app, request).await }
    });
    while world.fake.settles() == 0 {
        tokio::task::yield_now().await;
    }
    world.store.trouble(groat_store::Trouble::CommitFails);
    gate.add_permits(1);
    let seen = client.await.unwrap();
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending"));
    assert_eq!(seen.receipt().unwrap().transaction.as_deref(), Some("0xpaid"));
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"sunny 1"[..]));
    assert_eq!(world.hits(), 1);
}

#[tokio::test]
async fn g13_an_answer_above_the_cap_is_settled_first_and_streamed() {
    let world = World::new();
    let large = vec![b'x'; (1 << 20) + 1];
    let body = large.clone();
    let handler = any(world.counted(move |_, _| {
        let body = body.clone();
        async move { Response::new(Body::from(body)) }
    }));
    let app = Router::new().route("/", handler.layer(world.pay().price("$0.01")));
    let copy = copies(pay_for(&app, get("/"), "n").await).await;
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, seen.body.len()), (StatusCode::OK, large.len()));
    assert!(seen.receipt().unwrap().is_settled());
    // Too large to keep: the resend hears so, with the proof of payment, and nothing runs again.
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::GONE, "answer_not_kept"));
    assert!(seen.receipt().unwrap().is_settled());
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

#[tokio::test]
async fn g13_a_large_answer_that_cannot_be_settled_is_not_given() {
    let world = World::new();
    let handler = any(world.counted(|_, _| async { Response::new(Body::from(vec![b'x'; 2 << 20])) }));
    let app = Router::new().route("/", handler.layer(world.pay().price("$0.01")));
    world.fake.script_settle(refuse(Reason::InsufficientBalance));
    let seen = buy(&app, get("/"), "n").await;
    assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED);
    assert!(!seen.receipt().unwrap().is_settled());
    assert_eq!(world.sale("n").await.state, SaleState::Withheld { reason: Reason::InsufficientBalance });
    // Unknown: the resend settles before it runs the handler again.
    world.fake.script_settle(unavailable());
    let copy = copies(pay_for(&app, get("/"), "m").await).await;
    assert_eq!(send(&app, copy()).await.error(), "settlement_pending");
    assert_eq!(world.sale("m").await.state, SaleState::Held { started: true });
    world.fake.knows(id("m"), submitted_state());
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, seen.body.len()), (StatusCode::OK, 2 << 20));
}

#[tokio::test]
async fn g14_a_stream_under_get_is_settled_when_it_begins() {
    let world = World::new();
    let (feed, source) = tokio::sync::mpsc::channel::<Bytes>(1);
    let source = std::sync::Arc::new(tokio::sync::Mutex::new(source));
    let handler = on_get(world.counted(move |_, _| {
        let source = source.clone();
        async move {
            let events = futures_util::stream::unfold(source, |source| async move {
                let next = source.lock().await.recv().await?;
                Some((Ok::<_, std::io::Error>(next), source))
            });
            let mut response = Response::new(Body::from_stream(events));
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            response
        }
    }));
    let app = Router::new().route("/", handler.layer(world.pay().price("$0.01")));
    let request = pay_for(&app, get("/"), "n").await;
    let response = tower::ServiceExt::oneshot(app.clone(), request).await.unwrap();
    assert!(response.headers().contains_key("payment-response"));
    let mut body = response.into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        feed.send(event.into()).await.unwrap();
        let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    drop(feed);
    assert!(http_body_util::BodyExt::frame(&mut body).await.is_none());
    assert!(matches!(world.sale("n").await.state, SaleState::Done { .. }));
}
