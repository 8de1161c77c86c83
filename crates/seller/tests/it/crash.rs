//! What a crash leaves in the book, and how the buyer's resend or a restart goes on from there.

use axum::Router;
use groat_core::books::{Sale, SaleState, SettlementState};
use groat_core::{PaymentId, Reason};
use groat_seller::{Limits, Recovered, Settle};
use http::StatusCode;

use crate::kit::*;

/// The sale of a request as the book knows it, from a world where all went well.
async fn sold(request: http::Request<axum::body::Body>) -> Sale {
    let world = World::new();
    let app = world.weather(&world.pay());
    assert_eq!(buy(&app, request, "n").await.status, StatusCode::OK);
    world.sale("n").await
}

fn answer(sale: &Sale) -> groat_core::books::Answer {
    let SaleState::Done { answer, .. } = &sale.state else { panic!("not done: {sale:?}") };
    answer.clone()
}

fn n() -> PaymentId {
    id("n")
}

#[tokio::test]
async fn kp1_a_hold_left_over_is_taken_up_by_the_resend() {
    for request in [get("/weather"), post("/weather", "x")] {
        let copy = copies(request).await;
        let world = World::after_crash(sold(copy()).await, SaleState::Held { started: false }).await;
        let app = world.weather(&world.pay());
        assert_eq!(buy(&app, copy(), "n").await.status, StatusCode::OK);
        assert_eq!((world.hits(), world.fake.settles()), (1, 1));
    }
}

#[tokio::test]
async fn kp1_a_hold_left_over_is_not_for_another_request() {
    let world = World::after_crash(sold(get("/weather")).await, SaleState::Held { started: false }).await;
    let app = world.weather(&world.pay());
    let seen = buy(&app, get("/weather?x"), "n").await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::CONFLICT, "payment_in_progress"));
}

#[tokio::test]
async fn kp4_a_safe_run_that_was_cut_off_runs_again() {
    let world = World::after_crash(sold(get("/weather")).await, SaleState::Held { started: true }).await;
    let app = world.weather(&world.pay());
    assert_eq!(buy(&app, get("/weather"), "n").await.status, StatusCode::OK);
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

#[tokio::test]
async fn kp4_a_run_with_side_effects_that_was_cut_off_is_not_repeated_and_not_charged() {
    let world =
        World::after_crash(sold(post("/weather", "x")).await, SaleState::Held { started: true }).await;
    let pay = world.pay();
    let layer = pay.route().price("$0.01").settle(Settle::After).build().unwrap();
    let handler = axum::routing::any(world.counted(|_, _| async { text("again") }));
    let app = Router::new().route("/weather", handler.layer(layer));
    // A call to settle may still be on its way: nothing is said before the payment is dead.
    let seen = buy(&app, post("/weather", "x"), "n").await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending"));
    world.clock.store(DEAD, std::sync::atomic::Ordering::SeqCst);
    // And then the same is said for ever.
    for _ in 0..2 {
        let seen = buy(&app, post("/weather", "x"), "n").await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::PAYMENT_REQUIRED, Reason::Released.code())
        );
        assert_eq!(world.sale("n").await.state, SaleState::Withheld { reason: Reason::Released });
    }
    assert_eq!((world.hits(), world.fake.settles()), (0, 0));
}

#[tokio::test]
async fn kp6_a_hold_whose_money_moves_is_settled_before_anything_is_verified() {
    // On chain the payment looks used by now, so verifying first would make the buyer pay again.
    for state in [settled_state(), submitted_state()] {
        let world = World::after_crash(sold(get("/weather")).await, SaleState::Held { started: true }).await;
        world.fake.knows(n(), state);
        let app = world.weather(&world.pay());
        let seen = buy(&app, get("/weather"), "n").await;
        assert_eq!(seen.status, StatusCode::OK);
        assert!(seen.receipt().unwrap().is_settled());
        assert_eq!((world.hits(), world.fake.settles(), world.fake.verifies()), (1, 1, 0));
    }
}

#[tokio::test]
async fn kp6_without_a_book_at_the_facilitator_settling_tells() {
    let world = World::after_crash(sold(get("/weather")).await, SaleState::Held { started: true }).await;
    world.fake.without_memory.store(true, std::sync::atomic::Ordering::SeqCst);
    world.fake.script_verify(refuse(Reason::NonceAlreadyUsed));
    let app = world.weather(&world.pay());
    assert_eq!(buy(&app, get("/weather"), "n").await.status, StatusCode::OK);
    assert_eq!((world.fake.verifies(), world.fake.settles()), (1, 1));
}

#[tokio::test]
async fn r12_an_answer_that_lies_ready_is_settled_and_given() {
    let sale = sold(get("/weather")).await;
    let state = SaleState::Served { answer: answer(&sale) };
    let world = World::after_crash(sale, state).await;
    let app = world.weather(&world.pay());
    let seen = buy(&app, get("/weather"), "n").await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"sunny 1"[..]));
    assert!(seen.receipt().unwrap().is_settled());
    assert_eq!((world.hits(), world.fake.settles(), world.fake.verifies()), (0, 1, 0));
}

#[tokio::test]
async fn kp9_paid_and_not_started_runs_the_handler_on_the_resend() {
    let state = SaleState::Paid { receipt: receipt("0xearlier"), started: false };
    let world = World::after_crash(sold(post("/weather", "x")).await, state).await;
    let app = world.weather(&world.pay());
    let seen = buy(&app, post("/weather", "x"), "n").await;
    assert_eq!(seen.status, StatusCode::OK);
    assert_eq!(seen.receipt().unwrap().transaction.as_deref(), Some("0xearlier"));
    assert_eq!((world.hits(), world.fake.settles()), (1, 0));
}

#[tokio::test]
async fn kp10_paid_and_cut_off_runs_again_only_where_that_is_safe() {
    let state = SaleState::Paid { receipt: receipt("0xearlier"), started: true };
    let world = World::after_crash(sold(get("/weather")).await, state.clone()).await;
    let app = world.weather(&world.pay());
    assert_eq!(buy(&app, get("/weather"), "n").await.status, StatusCode::OK);
    assert_eq!(world.hits(), 1);

    let world = World::after_crash(sold(post("/weather", "x")).await, state).await;
    let app = world.weather(&world.pay());
    for _ in 0..2 {
        let seen = buy(&app, post("/weather", "x"), "n").await;
        assert_eq!((seen.status, seen.error().as_str()), (StatusCode::CONFLICT, "refund_due"));
        assert_eq!(seen.receipt().unwrap().transaction.as_deref(), Some("0xearlier"));
    }
    assert_eq!((world.hits(), world.fake.settles()), (0, 0));
}

#[tokio::test]
async fn kp11_a_finished_sale_is_answered_from_the_book_of_the_process_before() {
    let sale = sold(get("/weather")).await;
    let state = sale.state.clone();
    let world = World::after_crash(sale, state).await;
    let app = world.weather(&world.pay());
    let seen = buy(&app, get("/weather"), "n").await;
    assert_eq!((seen.status, &seen.body[..]), (StatusCode::OK, &b"sunny 1"[..]));
    assert_eq!((world.hits(), world.fake.settles(), world.fake.verifies()), (0, 0, 0));
}

#[tokio::test]
async fn with_a_lease_another_instance_may_finish_first() {
    let world = World::after_crash(sold(get("/weather")).await, SaleState::Held { started: true }).await;
    let app = world.weather(&world.pay_with(|limits| limits.lease_s = 100));
    assert_eq!(buy(&app, get("/weather"), "n").await.error(), "payment_in_progress");
    world.clock.store(NOW + 100, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(buy(&app, get("/weather"), "n").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_a_gate_left_is_taken_up_when_it_is_gone_and_not_while_it_lives() {
    let left_by = Sale { holder: Some("left".into()), ..sold(get("/weather")).await };
    let world = World::after_crash(left_by, SaleState::Held { started: true }).await;
    let gate = |name: &str| {
        let mut limits = Limits::default();
        limits.lease_s = 100;
        world.builder().limits(limits).instance(name).build().unwrap()
    };
    let (left, right) = (gate("left"), gate("right"));
    let app = world.weather(&right);
    for _ in 0..10 {
        left.beat().await.unwrap();
        right.beat().await.unwrap();
    }
    assert_eq!(buy(&app, get("/weather"), "n").await.error(), "payment_in_progress");
    assert_eq!(right.recover().await.unwrap(), Recovered { finished: 0, open: 1 });
    for _ in 0..3 {
        right.beat().await.unwrap();
    }
    assert_eq!(buy(&app, get("/weather"), "n").await.status, StatusCode::OK);
    assert_eq!((world.hits(), world.sale("n").await.holder.as_deref()), (1, Some("right")));
}

#[tokio::test]
async fn a_gate_goes_on_at_once_with_what_it_left_itself() {
    let mine = Sale { holder: Some("mine".into()), ..sold(get("/weather")).await };
    let world = World::after_crash(mine, SaleState::Held { started: false }).await;
    let mut limits = Limits::default();
    limits.lease_s = 100;
    let pay = world.builder().limits(limits).instance("mine").build().unwrap();
    pay.beat().await.unwrap();
    assert_eq!(buy(&world.weather(&pay), get("/weather"), "n").await.status, StatusCode::OK);
}

#[tokio::test]
async fn recovery_finishes_what_the_facilitator_knows() {
    let sale = sold(get("/weather")).await;
    let served = SaleState::Served { answer: answer(&sale) };
    let failed = || SettlementState::Failed { reason: Reason::Expired, transaction: None };
    let held = SaleState::Held { started: false };
    let started = SaleState::Held { started: true };
    let one = |finished, open| Recovered { finished, open };
    for (now, state, known, after, found) in [
        (NOW, served.clone(), Some(settled_state()), "done", one(1, 0)),
        (NOW, served.clone(), Some(submitted_state()), "served", one(0, 1)),
        (NOW, served.clone(), None, "served", one(0, 1)),
        (DEAD, served.clone(), None, "withheld", one(1, 0)),
        (NOW, served, Some(failed()), "withheld", one(1, 0)),
        (NOW, held.clone(), Some(settled_state()), "paid", one(0, 1)),
        (NOW, held.clone(), Some(failed()), "released", one(1, 0)),
        (NOW, held.clone(), None, "held", one(0, 1)),
        (DEAD, held.clone(), None, "released", one(1, 0)),
        (NOW, started.clone(), None, "held", one(0, 1)),
        (DEAD, started.clone(), None, "withheld", one(1, 0)),
        (DEAD, started, Some(settled_state()), "paid", one(0, 1)),
        (DEAD, held, Some(submitted_state()), "held", one(0, 1)),
    ] {
        let world = World::after_crash(sale.clone(), state).await;
        world.clock.store(now, std::sync::atomic::Ordering::SeqCst);
        if let Some(known) = known {
            world.fake.knows(n(), known);
        }
        assert_eq!(world.pay().recover().await.unwrap(), found, "{after}");
        let state = groat_core::books::Aggregate::state(&world.sale("n").await);
        assert_eq!((state, world.fake.settles(), world.hits()), (after, 0, 0));
    }
}

#[tokio::test]
async fn recovery_leaves_everything_where_the_facilitator_cannot_say() {
    let world = World::after_crash(sold(get("/weather")).await, SaleState::Held { started: false }).await;
    world.fake.without_memory.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(world.pay().recover().await.unwrap(), Recovered { finished: 0, open: 1 });
    assert_eq!(world.sale("n").await.state, SaleState::Held { started: false });
}

#[tokio::test]
async fn g06_a_nonce_that_paid_somebody_else_is_no_payment_of_ours() {
    let elsewhere = |world: &World| *world.fake.pays.lock().unwrap() = PAYER.to_owned();
    let served = |sale: &Sale| SaleState::Served { answer: answer(sale) };
    let sale = sold(get("/weather")).await;
    for state in [served(&sale), SaleState::Held { started: true }, SaleState::Held { started: false }] {
        let world = World::after_crash(sale.clone(), state).await;
        world.fake.knows(n(), settled_state());
        elsewhere(&world);
        for _ in 0..3 {
            world.fake.script_settle(refuse(Reason::NonceAlreadyUsed));
        }
        world.fake.script_verify(refuse(Reason::NonceAlreadyUsed));
        let seen = buy(&world.weather(&world.pay()), get("/weather"), "n").await;
        assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED);
        let world = World::after_crash(sale.clone(), served(&sale)).await;
        world.fake.knows(n(), settled_state());
        elsewhere(&world);
        world.pay().recover().await.unwrap();
        let state = world.sale("n").await.state;
        assert_eq!(state, SaleState::Withheld { reason: Reason::NonceAlreadyUsed });
    }
}

#[tokio::test]
async fn with_a_lease_recovery_leaves_to_another_instance_what_it_may_be_working_on() {
    let sale = sold(get("/weather")).await;
    let served = SaleState::Served { answer: answer(&sale) };
    let world = World::after_crash(sale, served.clone()).await;
    world.fake.knows(n(), settled_state());
    let pay = world.pay_with(|limits| limits.lease_s = 100);
    assert_eq!(pay.recover().await.unwrap(), Recovered { finished: 0, open: 1 });
    assert_eq!(world.sale("n").await.state, served);
    world.clock.store(NOW + 100, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(pay.recover().await.unwrap(), Recovered { finished: 1, open: 0 });
}
