//! Blocks that are replaced after their payments were told as settled (invariant I7).

use std::net::SocketAddr;
use std::time::Duration;

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use groat_core::books::{EventKind, SettlementState};
use groat_core::ports::{Facilitator, Mechanism};
use groat_core::{Payment, PaymentId, Reason};
use groat_devchain::{Mining, USDC};
use groat_facilitator::http::{Caller, digest};
use serde_json::{Value, json};

use crate::outsider::{Outsider, Token, waiting};
use crate::server::{serve, serve_callers};
use crate::settle::reason;
use crate::world::{PAY_TO, Payer, World, offer};

fn id(payment: &Payment) -> PaymentId {
    groat_chain_evm::ExactEvm::offline().key(payment, &offer()).unwrap().0.id()
}

async fn state(world: &World, payment: &Payment) -> SettlementState {
    world.engine.status(&id(payment)).await.unwrap().unwrap().state
}

async fn settled(world: &World, payment: &Payment) -> String {
    let mut told = None;
    // An attempt of the engine's own may be under way, from before there was money again: its end is told to whoever joins it.
    for _ in 0..100 {
        let call = tokio::spawn({
            let (engine, payment) = (world.engine.clone(), payment.clone());
            async move { engine.settle(&payment, &offer()).await }
        });
        while waiting(&world.chain) == 0 && !call.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.chain.mine(1);
        match call.await.unwrap() {
            Ok(receipt) => return receipt.transaction.unwrap(),
            failed => told = Some(failed),
        }
    }
    panic!("{told:?}");
}

/// Until it is settled, in another block than before.
async fn until_elsewhere(world: &World, payment: &Payment, before: &SettlementState) {
    for _ in 0..600 {
        let now = state(world, payment).await;
        if matches!(now, SettlementState::Settled(_)) && now != *before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", state(world, payment).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_a_payment_in_a_replaced_block_goes_into_another() {
    let world = World::new(Mining::Manual);
    let payment = world.payer(1).pay(1);
    let transaction = settled(&world, &payment).await;
    let before = state(&world, &payment).await;
    world.chain.request("dev_reorg", json!([1, false])).unwrap();
    assert_eq!(world.received(), U256::ZERO);
    // Every node has forgotten it: it is signed again.
    world.chain.request("anvil_dropTransaction", json!([transaction])).unwrap();
    world.chain.mine(2);
    for _ in 0..200 {
        if waiting(&world.chain) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.chain.mine(1);
    }
    world.chain.mine(1);
    until_elsewhere(&world, &payment, &before).await;
    assert_eq!((world.received(), world.transactions()), (U256::from(10_000), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_after_a_reorganisation_a_restart_goes_on() {
    let mut world = World::new(Mining::Manual);
    let payment = world.payer(1).pay(1);
    settled(&world, &payment).await;
    let before = state(&world, &payment).await;
    world.chain.request("dev_reorg", json!([1, true])).unwrap();
    world.chain.mine(3);
    world.restart();
    world.engine.recover().await.unwrap();
    for _ in 0..400 {
        if waiting(&world.chain) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.chain.mine(1);
    until_elsewhere(&world, &payment, &before).await;
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_a_payment_that_a_reorganisation_undid_for_good_is_reported_and_never_told_as_settled() {
    let world = World::new(Mining::Manual);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    let transaction = settled(&world, &payment).await;
    world.chain.request("dev_reorg", json!([1, false])).unwrap();
    world.chain.request("anvil_dropTransaction", json!([transaction])).unwrap();
    let nonce = payer.authorization(1).nonce;
    let cancel = Token::cancelAuthorizationCall {
        authorizer: payer.address(),
        nonce,
        signature: crate::payer_acts::cancellation(&payer, nonce).into(),
    };
    Outsider::new(&world.chain, payer.0).send(USDC, cancel.abi_encode());
    for _ in 0..400 {
        world.chain.mine(1);
        if matches!(state(&world, &payment).await, SettlementState::Failed { .. }) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(state(&world, &payment).await, SettlementState::Failed { .. }));
    assert!(world.engine.settle(&payment, &offer()).await.is_err());
    assert_eq!(world.received(), U256::ZERO);
    let [event] = world.engine.events(0, 10).await.unwrap().try_into().unwrap();
    assert_eq!((event.number, event.kind, event.payment), (1, EventKind::Reverted, id(&payment)));
    assert_eq!(event.transaction.as_deref(), Some(transaction.as_str()), "what had been told");
    assert_eq!(event.reason, Some(Reason::NonceAlreadyUsed));
    assert!(world.engine.status(&id(&payment)).await.unwrap().unwrap().reverted);
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_a_payment_whose_cancellation_a_reorganisation_takes_back_is_judged_again() {
    let world = World::new(Mining::Manual);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    let (engine, shown) = (world.engine.clone(), payment.clone());
    let call = tokio::spawn(async move { engine.settle(&shown, &offer()).await });
    while waiting(&world.chain) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let SettlementState::Submitted { transaction, .. } = state(&world, &payment).await else {
        panic!("{:?}", state(&world, &payment).await);
    };
    world.chain.request("anvil_dropTransaction", json!([transaction])).unwrap();
    let nonce = B256::repeat_byte(1);
    let signature = crate::payer_acts::cancellation(&payer, nonce).into();
    let cancel = Token::cancelAuthorizationCall { authorizer: payer.address(), nonce, signature };
    let cancelled = Outsider::stranger(&world.chain).dollar(cancel).to_string();
    world.chain.mine(1);
    assert_eq!(reason(call.await.unwrap()), Reason::NonceAlreadyUsed);
    // No block has the cancellation any more, and one has our transaction.
    world.chain.request("dev_reorg", json!([1, false])).unwrap();
    world.chain.request("anvil_dropTransaction", json!([cancelled])).unwrap();
    while waiting(&world.chain) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = state(&world, &payment).await;
    world.chain.mine(1);
    until_elsewhere(&world, &payment, &before).await;
    assert_eq!(world.received(), U256::from(10_000));
    assert!(world.engine.settle(&payment, &offer()).await.is_ok());
}

/// Settled, and then the block is gone and with it the payer's money.
async fn settled_for_nothing(world: &World, payer: &Payer, payment: &Payment) -> String {
    let transaction = settled(world, payment).await;
    world.chain.request("dev_reorg", json!([1, false])).unwrap();
    world.chain.request("anvil_dropTransaction", json!([transaction])).unwrap();
    world.give(USDC, payer.address(), 0);
    for _ in 0..400 {
        world.chain.mine(1);
        if state(world, payment).await == SettlementState::Released {
            return transaction;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", state(world, payment).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_a_payment_whose_nonce_was_spent_for_nothing_can_be_settled_again() {
    let world = World::new(Mining::Manual);
    let (payer, payment) = (world.payer(1), world.payer(1).pay(1));
    let before = settled_for_nothing(&world, &payer, &payment).await;
    assert_eq!(world.received(), U256::ZERO);
    world.give(USDC, payer.address(), 10_000);
    let transaction = settled(&world, &payment).await;
    assert_ne!(transaction, before);
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_what_was_told_and_undone_lies_in_the_outbox_and_so_does_its_healing() {
    let world = World::new(Mining::Manual);
    let server = serve(&world).await;
    let nothing: Value = get(server, "/events").await;
    assert_eq!(nothing, json!({ "events": [], "next": "0" }));
    let (payer, payment) = (world.payer(1), world.payer(1).pay(1));
    let transaction = settled_for_nothing(&world, &payer, &payment).await;
    let status = get(server, &format!("/payments/{}", id(&payment))).await;
    assert_eq!((&status["state"], &status["reverted"]), (&"released".into(), &true.into()));
    // Asking again is refused, and no news.
    assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::InsufficientBalance);
    let page = get(server, "/events").await;
    let [event] = page["events"].as_array().unwrap().clone().try_into().unwrap();
    assert_eq!((&event["type"], &event["transaction"]), (&"payment.reverted".into(), &transaction.into()));
    assert_eq!(
        (&event["paymentId"], &event["errorReason"]),
        (&id(&payment).to_string().into(), &Value::Null)
    );
    assert_eq!((&event["payTo"], &event["amount"]), (&PAY_TO.into(), &"10000".into()));
    // Another instance counts on where this one stopped.
    let other = world.instance();
    let second = other.payer(2).pay(1);
    settled_for_nothing(&other, &other.payer(2), &second).await;
    // The money comes back, and whoever has the payment tries again.
    world.give(USDC, payer.address(), 10_000);
    let healed = settled(&world, &payment).await;
    let rest = get(server, &format!("/events?after={}", page["next"].as_str().unwrap())).await;
    let kinds: Vec<_> = rest["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["payment.reverted", "payment.settled"]);
    assert_eq!((&rest["events"][1]["transaction"], &rest["next"]), (&healed.into(), &"3".into()));
    assert_eq!(get(server, &format!("/payments/{}", id(&payment))).await["reverted"], false);
    assert_eq!(get(server, "/events?after=3").await, json!({ "events": [], "next": "3" }));
    // A key sees what it is good for, and comes past the rest.
    let callers = |pay_to: &str| {
        let (name, digest, pay_to) = ("shop".into(), digest("groat_key"), vec![pay_to.into()]);
        vec![Caller { name, digest, networks: Vec::new(), assets: Vec::new(), pay_to, gas_per_day: None }]
    };
    for (pay_to, count) in [(PAY_TO, 3), ("0x90F79bf6EB2c4f870365E785982E1f101E93b906", 0)] {
        let server = serve_callers(&world, callers(pay_to)).await;
        let page = get(server, "/events").await;
        assert_eq!((page["events"].as_array().unwrap().len(), &page["next"]), (count, &"3".into()));
    }
}

async fn get(server: SocketAddr, path: &str) -> Value {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = reqwest::Client::new().get(format!("http://{server}{path}")).bearer_auth("groat_key");
    serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap()
}
