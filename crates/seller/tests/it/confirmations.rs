//! Routes that want more than one block: nothing is handed out before, and nothing is called failed meanwhile.

use groat_core::books::SaleState;
use groat_core::{Confirmations, Depth, Reason};
use http::StatusCode;

use crate::kit::*;

fn blocks(confirmations: u64) -> Option<Depth> {
    Some(Depth { confirmations, ..Depth::default() })
}

#[tokio::test(start_paused = true)]
async fn i6_a_facilitator_that_cannot_tell_the_depth_leaves_a_payment_pending_and_unserved() {
    for is_after in [true, false] {
        for has_memory in [true, false] {
            let request = if is_after { get("/weather") } else { post("/weather", "x") };
            let world = World::new();
            world.fake.without_memory.store(!has_memory, std::sync::atomic::Ordering::SeqCst);
            world.fake.knows(id("n"), settled_state());
            let pay = world.builder().confirmations(Confirmations::Safe).build().unwrap();
            let app = world.weather(&pay);
            let copy = copies(pay_for(&app, request, "n").await).await;
            for _ in 0..3 {
                let seen = send(&app, copy()).await;
                assert_eq!(
                    (seen.status, seen.error().as_str()),
                    (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending")
                );
                assert!(!seen.header("retry-after").is_empty() && !seen.has_challenge());
                // To whom keeps no book, a payment that was taken looks used.
                world.fake.script_settle(refuse(Reason::NonceAlreadyUsed));
            }
            assert_eq!(pay.recover().await.unwrap().open, 1);
            assert_eq!(world.hits(), usize::from(is_after));
            let state = world.sale("n").await.state;
            assert_eq!(is_after, matches!(state, SaleState::Served { .. }), "{state:?}");
            assert_eq!(!is_after, state == SaleState::Held { started: false }, "{state:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn i7_what_a_reorganisation_may_take_back_is_served_only_when_it_lies_deep_enough() {
    let world = World::new();
    let pay = world.builder().confirmations(Confirmations::Blocks(3)).build().unwrap();
    let app = world.weather(&pay);
    let copy = copies(pay_for(&app, post("/weather", "x"), "n").await).await;
    let shallow = [
        (settled_state(), blocks(2), "0xknown"),
        // Replaced, and taken up again.
        (settled_state(), blocks(0), "0xknown"),
        (submitted_state(), None, "0xsent"),
        (settled_state(), blocks(1), "0xknown"),
    ];
    for (state, depth, transaction) in shallow {
        world.fake.knows(id("n"), state);
        *world.fake.depth.lock().unwrap() = depth;
        let seen = send(&app, copy()).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending")
        );
        assert_eq!(seen.json()["transaction"], transaction);
        assert_eq!(pay.recover().await.unwrap().open, 1);
        assert_eq!((world.hits(), world.sale("n").await.state), (0, SaleState::Held { started: false }));
    }
    *world.fake.depth.lock().unwrap() = blocks(3);
    let seen = send(&app, copy()).await;
    assert_eq!((seen.status, world.hits()), (StatusCode::OK, 1));
    // The one that is in the chain now, not the first that was told.
    assert_eq!(seen.receipt().unwrap().transaction.as_deref(), Some("0xknown"));
    let again = send(&app, copy()).await;
    assert_eq!((again.receipt(), again.body, world.hits()), (seen.receipt(), seen.body, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_while_its_payment_gets_deeper() {
    let world = World::new();
    let app = world.weather(&world.builder().confirmations(Confirmations::Finalized).build().unwrap());
    world.fake.knows(id("n"), settled_state());
    *world.fake.depth.lock().unwrap() = blocks(1);
    let paid = pay_for(&app, get("/weather"), "n").await;
    let call = tokio::spawn({
        let app = app.clone();
        async move { send(&app, paid).await }
    });
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    assert!(!call.is_finished());
    let finalized = Depth { confirmations: 9, safe: true, finalized: true };
    *world.fake.depth.lock().unwrap() = Some(finalized);
    assert_eq!(call.await.unwrap().status, StatusCode::OK);
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_facilitator_that_does_not_answer_for_a_while_ends_no_waiting() {
    let world = World::new();
    let app = world.weather(&world.builder().confirmations(Confirmations::Blocks(3)).build().unwrap());
    world.fake.knows(id("n"), settled_state());
    let paid = pay_for(&app, get("/weather"), "n").await;
    world.fake.without_memory.store(true, std::sync::atomic::Ordering::SeqCst);
    let call = tokio::spawn({
        let app = app.clone();
        async move { send(&app, paid).await }
    });
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(!call.is_finished());
    // It answers again, first without a depth.
    world.fake.without_memory.store(false, std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(!call.is_finished());
    *world.fake.depth.lock().unwrap() = blocks(3);
    assert_eq!(call.await.unwrap().status, StatusCode::OK);
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn i7_a_payment_that_a_reorganisation_undid_for_good_is_withheld() {
    let world = World::new();
    let app = world.weather(&world.builder().confirmations(Confirmations::Blocks(3)).build().unwrap());
    world.fake.knows(id("n"), settled_state());
    *world.fake.depth.lock().unwrap() = blocks(1);
    let copy = copies(pay_for(&app, get("/weather"), "n").await).await;
    assert_eq!(send(&app, copy()).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let failed = groat_core::books::SettlementState::Failed { reason: Reason::Expired, transaction: None };
    world.fake.knows(id("n"), failed);
    let seen = send(&app, copy()).await;
    assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(world.sale("n").await.state, SaleState::Withheld { reason: Reason::Expired });
}

#[tokio::test]
async fn a_route_says_otherwise_than_its_seller() {
    let world = World::new();
    let pay = world.builder().confirmations(Confirmations::Finalized).build().unwrap();
    let mined = pay.route().price("$0.01").confirmations(Confirmations::default()).build().unwrap();
    let handler = world.counted(|_, _| async { text("sunny") });
    let app = axum::Router::new().route("/weather", axum::routing::any(handler).layer(mined));
    assert_eq!(buy(&app, get("/weather"), "n").await.status, StatusCode::OK);
}
