//! Asking somebody else's facilitator: ours over HTTP, and such as answer nonsense.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::any;
use groat_chain_evm::{ChainLimits, ExactEvm};
use groat_core::books::SettlementState;
use groat_core::ports::{Facilitator, Mechanism};
use groat_core::{Failure, Fault, Offer, PaymentId, Reason};
use groat_devchain::Mining;
use groat_facilitator::Remote;
use tokio::net::TcpListener;

use crate::server::serve;
use crate::settle::reason;
use crate::world::{World, offer, payment};

fn remote(base: &str) -> Remote {
    Remote::new(base, vec![Arc::new(ExactEvm::offline()) as Arc<dyn Mechanism>]).unwrap()
}

fn id(world: &World, nonce: u8) -> PaymentId {
    ExactEvm::offline().key(&world.payer(1).pay(nonce), &offer()).unwrap().0.id()
}

/// A facilitator that says the same to everybody.
async fn says(status: u16, body: &'static str) -> Remote {
    let answer = move || async move {
        let status = StatusCode::from_u16(status).unwrap();
        (status, [(header::CONTENT_TYPE, "application/json"), (header::LOCATION, "/elsewhere")], body)
            .into_response()
    };
    let router = Router::new().fallback(any(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    remote(&format!("http://{address}/base/"))
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_facilitator_over_http_is_a_facilitator_like_any_other() {
    let world = World::new(Mining::Instant);
    let remote = remote(&format!("http://{}", serve(&world).await));
    assert_eq!(remote.supported().await.unwrap(), world.engine.supported().await.unwrap());
    // Never held is an answer: no money has moved.
    assert_eq!(remote.status(&id(&world, 1)).await.unwrap(), None);
    let payment = world.payer(1).pay(1);
    let claim = remote.verify(&payment, &offer()).await.unwrap();
    assert_eq!(claim.key.id(), id(&world, 1));
    let receipt = remote.settle(&payment, &offer()).await.unwrap();
    assert_eq!(receipt, world.engine.settle(&payment, &offer()).await.unwrap());
    let status = remote.status(&id(&world, 1)).await.unwrap().unwrap();
    assert!(
        matches!(&status.state, SettlementState::Settled(settled) if Some(&settled.transaction) == receipt.transaction.as_ref()),
        "{status:?}"
    );
    assert_eq!(reason(remote.verify(&payment, &offer()).await), Reason::NonceAlreadyUsed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_after_the_transaction_names_it_through_http() {
    let fee = "0x0Dd0000000000000000000000000000000000001".parse().unwrap();
    let limits = ChainLimits { assets: vec![fee], ..ChainLimits::default() };
    let world = World::with(Mining::Instant, limits);
    let remote = remote(&format!("http://{}", serve(&world).await));
    let payer = world.payer(1);
    world.give(fee, payer.address(), 1_000_000);
    let authorization = payer.authorization(1);
    let payment = payment(&authorization, &payer.sign_for(fee, &authorization));
    let offer = Offer { asset: fee.to_checksum(None), ..offer() };
    let Err(Failure::Refused(told)) = remote.settle(&payment, &offer).await else { panic!("not refused") };
    let Err(Failure::Refused(known)) = world.engine.settle(&payment, &offer).await else { panic!() };
    assert_eq!((told.reason, &told.payer), (Reason::TransferEventMismatch, &known.payer));
    assert!(told.transaction.is_some());
    assert_eq!(told.transaction, known.transaction);
}

#[tokio::test(flavor = "multi_thread")]
async fn g07_a_facilitator_that_keeps_no_book_never_says_unpaid() {
    let world = World::new(Mining::Instant);
    for (code, body) in [
        (404, ""),
        (404, "Not Found"),
        (404, "<html>404</html>"),
        (404, "{}"),
        (404, r#"{"error":"not_found"}"#),
        (404, r#"{"error":"Not found","message":"payment_not_found"}"#),
        (404, r#"{"message":"Cannot GET /payments/1"}"#),
        (405, r#"{"error":"method_not_allowed"}"#),
        (200, "{}"),
        (200, "null"),
        (500, r#"{"error":"internal"}"#),
        (302, ""),
    ] {
        let answer = says(code, body).await.status(&id(&world, 1)).await;
        assert!(matches!(answer, Err(Fault::Garbled { .. })), "{code} {body}: {answer:?}");
    }
    assert!(matches!(
        remote("http://127.0.0.1:1").status(&id(&world, 1)).await,
        Err(Fault::Unavailable { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn g07_what_is_no_answer_to_a_settlement_is_unknown_and_no_refusal() {
    let world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    for (code, body) in [
        (200, ""),
        (200, "{}"),
        (200, "[]"),
        (200, r#"{"success":"true","transaction":"0x1","network":"eip155:84532"}"#),
        (200, r#"{"success":true,"network":"eip155:84532"}"#),
        (200, r#"{"success":true,"success":false,"transaction":"0x1","network":"eip155:84532"}"#),
        (302, r#"{"success":true,"transaction":"0x1","network":"eip155:84532"}"#),
        (502, "<html>bad gateway</html>"),
        (503, r#"{"error":"chain_unavailable","message":"later"}"#),
    ] {
        let answer = says(code, body).await.settle(&payment, &offer()).await;
        assert!(matches!(answer, Err(Failure::Fault(Fault::Pending { .. }))), "{code} {body}: {answer:?}");
    }
    // A receipt of another chain is no receipt.
    let elsewhere = r#"{"success":true,"transaction":"0x1","network":"eip155:8453","payer":"0x1"}"#;
    let answer = says(200, elsewhere).await.settle(&payment, &offer()).await;
    assert!(matches!(answer, Err(Failure::Fault(_))), "{answer:?}");
    // Verdicts may come with 4xx.
    let refused = r#"{"success":false,"errorReason":"invalid_exact_evm_transaction_failed","transaction":"0xab","network":"eip155:84532"}"#;
    let Err(Failure::Refused(refusal)) = says(402, refused).await.settle(&payment, &offer()).await else {
        panic!("a verdict is expected")
    };
    assert_eq!((refusal.reason, refusal.transaction.as_deref()), (Reason::TransactionFailed, Some("0xab")));
}

#[tokio::test(flavor = "multi_thread")]
async fn g07_g08_what_is_no_verdict_is_a_fault() {
    let world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    for (code, body) in [
        (200, ""),
        (200, "{}"),
        (200, r#"{"isValid":"true"}"#),
        (200, r#"{"isValid":1}"#),
        (307, r#"{"isValid":true}"#),
        (500, "oops"),
    ] {
        let answer = says(code, body).await.verify(&payment, &offer()).await;
        assert!(matches!(answer, Err(Failure::Fault(_))), "{code} {body}: {answer:?}");
    }
    let no = says(400, r#"{"isValid":false,"invalidReason":"invalid_payload"}"#).await;
    assert_eq!(reason(no.verify(&payment, &offer()).await), Reason::InvalidPayload);
}
