//! Several payments in one transaction: each has an outcome of its own.

use std::collections::BTreeSet;

use alloy_primitives::U256;
use futures_util::future::join_all;
use groat_core::ports::Facilitator;
use groat_core::{Failure, Payment, Reason, Receipt};
use groat_devchain::Mining;
use serde_json::json;

use crate::outsider::{Outsider, Token, waiting};
use crate::world::{PAY_TO, Payer, World, offer};

/// Payments that are all on their way, with a transaction ahead of them, so that they gather.
async fn gathered(world: &World, payments: Vec<Payment>) -> Vec<Result<Receipt, Failure>> {
    let engine = world.engine.clone();
    let first = world.payer(99).pay(1);
    let ahead = tokio::spawn({
        let engine = engine.clone();
        async move { engine.settle(&first, &offer()).await }
    });
    while waiting(&world.chain) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let calls = payments.into_iter().map(|payment| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.settle(&payment, &offer()).await })
    });
    let calls: Vec<_> = calls.collect();
    let mine = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            world.chain.mine(1);
        }
    };
    let answers = async {
        ahead.await.unwrap().unwrap();
        join_all(calls).await.into_iter().map(Result::unwrap).collect()
    };
    tokio::select! {
        answers = answers => answers,
        () = mine => unreachable!("it mines for ever"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_come_together_share_transactions_and_each_is_paid() {
    let world = World::new(Mining::Manual);
    let payments = (1..=40).map(|who| world.payer(who).pay(1)).collect();
    let receipts: Vec<_> = gathered(&world, payments).await.into_iter().map(Result::unwrap).collect();
    let transactions: BTreeSet<_> =
        receipts.iter().map(|receipt| receipt.transaction.clone().unwrap()).collect();
    assert!(transactions.len() <= 8, "{} transactions for 40 payments", transactions.len());
    assert_eq!(world.received(), U256::from(410_000));
    for transaction in transactions {
        let receipt = world.chain.request("eth_getTransactionReceipt", json!([transaction])).unwrap();
        assert_eq!(receipt["status"], "0x1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_payment_does_not_hurt_the_others() {
    let world = World::new(Mining::Manual);
    let mut payments: Vec<_> = (1..=10).map(|who| world.payer(who).pay(1)).collect();
    // Good when it is verified and when it is tried; the owner's own transaction comes first in the block.
    let poor = Payer(secp256k1::SecretKey::from_byte_array([77; 32]).unwrap());
    world.chain.mint_usdc(poor.address(), U256::from(10_000));
    payments.push(poor.pay(1));
    let take = Token::transferCall { to: PAY_TO.parse().unwrap(), value: U256::from(1) };
    let outsider = Outsider::new(&world.chain, poor.0);
    let drain = async {
        while waiting(&world.chain) < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        outsider.send(groat_devchain::USDC, alloy_sol_types::SolCall::abi_encode(&take));
    };
    let (mut answers, ()) = tokio::join!(gathered(&world, payments), drain);
    let bad = answers.pop().unwrap();
    for good in answers {
        good.unwrap();
    }
    let reason = match bad.unwrap_err() {
        Failure::Refused(refusal) => refusal.reason,
        Failure::Fault(fault) => panic!("{fault}"),
    };
    assert!(matches!(reason, Reason::InsufficientBalance | Reason::TransactionFailed), "{reason:?}");
    assert_eq!(world.received(), U256::from(110_001));
}

/// Invariant I9: however many come at once, a payer is believed no more than it has.
#[tokio::test(flavor = "multi_thread")]
async fn i9_of_two_hundred_payments_from_an_account_that_can_afford_ten_ten_are_called_good() {
    let world = World::new(Mining::Instant);
    let payer = Payer(secp256k1::SecretKey::from_byte_array([55; 32]).unwrap());
    world.chain.mint_usdc(payer.address(), U256::from(100_000));
    let payments: Vec<_> = (1..=200).map(|nonce| payer.pay(nonce)).collect();
    let offer = offer();
    let verdicts = join_all(payments.iter().map(|payment| world.engine.verify(payment, &offer))).await;
    let good: Vec<_> = payments.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok()).collect();
    assert_eq!(good.len(), 10);
    // What was called good is good, also when asked again and when it is settled among the others.
    let settled = join_all(payments.iter().map(|payment| world.engine.settle(payment, &offer))).await;
    assert_eq!(settled.iter().filter(|answer| answer.is_ok()).count(), 10);
    for (payment, _) in good {
        world.engine.settle(payment, &offer).await.unwrap();
    }
    assert_eq!(world.received(), U256::from(100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_what_was_paid_leaves_room_for_what_is_there() {
    let world = World::new(Mining::Instant);
    let payer = Payer(secp256k1::SecretKey::from_byte_array([56; 32]).unwrap());
    world.chain.mint_usdc(payer.address(), U256::from(30_000));
    for nonce in 1..=3 {
        world.engine.verify(&payer.pay(nonce), &offer()).await.unwrap();
        world.engine.settle(&payer.pay(nonce), &offer()).await.unwrap();
    }
    assert_eq!(
        crate::settle::reason(world.engine.verify(&payer.pay(4), &offer()).await),
        Reason::InsufficientBalance
    );
}

/// The next question of this kind fails with this code.
fn arm(world: &World, code: i64) {
    world.chain.request("dev_failNext", json!(["eth_sendRawTransactionSync", 1, code])).unwrap();
}

/// Whether somebody has asked it since.
fn was_asked(world: &World, code: i64) -> bool {
    world.chain.request("eth_sendRawTransactionSync", json!(["0x"])).unwrap_err().code != code
}

#[tokio::test(flavor = "multi_thread")]
async fn where_each_transaction_gets_a_block_the_node_is_asked_for_the_receipt_at_once_if_it_can() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    world.give(groat_devchain::USDC, payer.address(), 100_000_000);
    let mut nonces = 1..=255;
    let mut settle_until_asked = async |code: i64, tries: usize| {
        for nonce in nonces.by_ref().take(tries) {
            arm(&world, code);
            world.engine.settle(&payer.pay(nonce), &offer()).await.unwrap();
            if was_asked(&world, code) {
                return true;
            }
        }
        false
    };
    // It is found out by itself, on a machine with other work somewhat later; a refusal costs nothing.
    assert!(settle_until_asked(-31_999, 120).await);
    // A node without the method is not asked again.
    assert!(settle_until_asked(-32_601, 120).await);
    assert!(!settle_until_asked(-31_999, 5).await);
}
