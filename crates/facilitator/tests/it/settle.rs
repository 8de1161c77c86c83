//! One payment, one transaction, one answer.

use alloy_primitives::U256;
use groat_core::ports::Facilitator;
use groat_core::{Failure, Fault, Reason};
use groat_devchain::Mining;
use serde_json::json;

use crate::world::{World, offer, payment};

pub(crate) fn reason(result: Result<impl std::fmt::Debug, Failure>) -> Reason {
    match result.unwrap_err() {
        Failure::Refused(refusal) => refusal.reason,
        Failure::Fault(fault) => panic!("{fault}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_payment_verifies_and_settles_and_the_receipt_is_on_the_chain() {
    let world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    let claim = world.engine.verify(&payment, &offer()).await.unwrap();
    let receipt = world.engine.settle(&payment, &offer()).await.unwrap();
    assert_eq!(receipt.payer.as_deref(), Some(claim.payer.as_str()));
    let mined = world.chain.request("eth_getTransactionReceipt", json!([receipt.transaction])).unwrap();
    assert_eq!(mined["status"], json!("0x1"));
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_payment_settles_once_and_gets_the_same_answer() {
    let mut world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    let first = world.engine.settle(&payment, &offer()).await.unwrap();
    let second = world.engine.settle(&payment, &offer()).await.unwrap();
    world.restart();
    let third = world.engine.settle(&payment, &offer()).await.unwrap();
    assert_eq!((&first, &first), (&second, &third));
    assert_eq!(world.transactions(), 1);
    assert_eq!(reason(world.engine.verify(&payment, &offer()).await), Reason::NonceAlreadyUsed);
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_twenty_parallel_settles_with_blocks_held_back_make_one_transaction() {
    let world = World::new(Mining::Manual);
    let payment = world.payer(1).pay(1);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (engine, payment) = (world.engine.clone(), payment.clone());
            tokio::spawn(async move { engine.settle(&payment, &offer()).await })
        })
        .collect();
    while world.chain.request("txpool_status", json!([])).unwrap()["pending"] == json!("0x0") {
        tokio::task::yield_now().await;
    }
    world.chain.mine(1);
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(world.transactions(), 1);
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_other_encodings_of_one_authorization_settle_once() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let authorization = payer.authorization(1);
    let signature = payer.sign(&authorization);
    let mut parity = signature;
    parity[64] -= 27;
    let first = world.engine.settle(&payment(&authorization, &signature), &offer()).await.unwrap();
    let second = world.engine.settle(&payment(&authorization, &parity), &offer()).await.unwrap();
    let mut upper = payment(&authorization, &signature);
    let nonce = upper.proof["authorization"]["nonce"].as_str().unwrap().to_uppercase().replace("0X", "0x");
    upper.proof["authorization"]["nonce"] = json!(nonce);
    let third = world.engine.settle(&upper, &offer()).await.unwrap();
    assert_eq!((&first, &first), (&second, &third));
    assert_eq!(world.transactions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_a_strangers_payment_with_the_same_nonce_settles_too() {
    let world = World::new(Mining::Instant);
    let (one, two) = (world.payer(1).pay(1), world.payer(2).pay(1));
    world.engine.settle(&one, &offer()).await.unwrap();
    world.engine.settle(&two, &offer()).await.unwrap();
    assert_eq!(world.received(), U256::from(20_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn c01_a_lost_reply_is_pending_and_never_a_second_transaction() {
    let world = World::new(Mining::Manual);
    let payment = world.payer(1).pay(1);
    world.chain.faults(|faults| faults.lose_reply = 1);
    let engine = world.engine.clone();
    let (first, second) = (payment.clone(), payment.clone());
    let call = tokio::spawn(async move { engine.settle(&first, &offer()).await });
    let pending = call.await.unwrap().unwrap_err();
    assert!(matches!(&pending, Failure::Fault(Fault::Pending { transaction: Some(_) })), "{pending:?}");
    world.chain.mine(1);
    let receipt = world.engine.settle(&second, &offer()).await.unwrap();
    let Failure::Fault(Fault::Pending { transaction }) = pending else { unreachable!() };
    assert_eq!(receipt.transaction, transaction);
    assert_eq!(world.transactions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn kp6_after_a_restart_the_same_payment_gets_the_same_transaction() {
    let mut world = World::new(Mining::Manual);
    let payment = world.payer(1).pay(1);
    let pending = world.engine.settle(&payment, &offer()).await.unwrap_err();
    let Failure::Fault(Fault::Pending { transaction: Some(transaction) }) = pending else {
        panic!("{pending:?}")
    };
    world.restart();
    assert_eq!(world.engine.recover().await.unwrap(), 1);
    world.chain.mine(1);
    let receipt = world.engine.settle(&payment, &offer()).await.unwrap();
    assert_eq!(receipt.transaction, Some(transaction));
    assert_eq!(world.transactions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn kp5_what_was_written_and_never_sent_is_sent_after_a_restart() {
    let mut world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    world.chain.faults(|faults| faults.drop_next = 1);
    world.chain.faults(|faults| faults.hold = true);
    let pending = world.engine.settle(&payment, &offer()).await.unwrap_err();
    assert!(matches!(pending, Failure::Fault(Fault::Pending { .. })));
    world.restart();
    world.chain.request("dev_release", json!([])).unwrap();
    world.engine.recover().await.unwrap();
    world.engine.settle(&payment, &offer()).await.unwrap();
    assert_eq!(world.transactions(), 1);
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn e09_a_payment_submitted_by_a_stranger_between_verify_and_settle_is_paid() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    world.engine.verify(&payment, &offer()).await.unwrap();
    let stranger = world.stranger();
    let theirs = stranger.engine.settle(&payment, &offer()).await.unwrap();
    let ours = world.engine.settle(&payment, &offer()).await.unwrap();
    assert_eq!(ours.transaction, theirs.transaction);
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_payment_shown_to_a_second_facilitator_buys_nothing() {
    let world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    world.engine.settle(&payment, &offer()).await.unwrap();
    let other = world.stranger();
    assert_eq!(reason(other.engine.settle(&payment, &offer()).await), Reason::NonceAlreadyUsed);
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_e03_e05_e06_e07_e08_bad_terms_and_signatures_are_refused_with_their_reasons() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let good = payer.authorization(1);
    type Change = Box<dyn Fn(&mut groat_chain_evm::proof::Authorization)>;
    let cases: Vec<(Reason, Change)> = vec![
        (Reason::AmountMismatch, Box::new(|a| a.value = U256::from(9_999))),
        (Reason::AmountMismatch, Box::new(|a| a.value = U256::from(10_001))),
        (Reason::RecipientMismatch, Box::new(|a| a.to = a.from)),
        (Reason::Expired, Box::new(|a| a.valid_before = U256::from(crate::world::NOW + 5))),
        (Reason::NotYetValid, Box::new(|a| a.valid_after = U256::from(crate::world::NOW + 1))),
        (Reason::WindowTooLong, Box::new(|a| a.valid_before = U256::MAX)),
    ];
    for (expected, change) in cases {
        let mut authorization = good.clone();
        change(&mut authorization);
        let payment = payment(&authorization, &payer.sign(&authorization));
        assert_eq!(reason(world.engine.verify(&payment, &offer()).await), expected);
        assert_eq!(reason(world.engine.settle(&payment, &offer()).await), expected);
    }
    let mut forged = payer.sign(&good);
    forged[5] ^= 1;
    assert_eq!(
        reason(world.engine.settle(&payment(&good, &forged), &offer()).await),
        Reason::InvalidSignature
    );
    let compact = &payer.sign(&good)[..64];
    assert_eq!(
        reason(world.engine.settle(&payment(&good, compact), &offer()).await),
        Reason::InvalidSignature
    );
    assert_eq!(world.transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_without_money_is_refused_before_anything_is_sent() {
    let world = World::new(Mining::Instant);
    let payer = crate::world::Payer(secp256k1::SecretKey::from_byte_array([9; 32]).unwrap());
    assert_eq!(reason(world.engine.settle(&payer.pay(1), &offer()).await), Reason::InsufficientBalance);
}

#[tokio::test(flavor = "multi_thread")]
async fn o08_a_store_that_fails_takes_no_payment_and_resumes_by_itself() {
    let world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    world.store.trouble(groat_store::Trouble::CommitFails);
    assert!(matches!(world.engine.settle(&payment, &offer()).await, Err(Failure::Fault(_))));
    assert_eq!(world.transactions(), 0);
    world.engine.settle(&payment, &offer()).await.unwrap();
    assert_eq!(world.transactions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_never_pays_twice() {
    for lost in 0..3 {
        let world = World::new(Mining::Instant);
        let payment = world.payer(1).pay(1);
        // Let `lost` commits pass, then lose an answer.
        for _ in 0..lost {
            world.store.trouble(groat_store::Trouble::GetFails);
        }
        world.store.trouble(groat_store::Trouble::CommitAnswerLost);
        let mut answer = world.engine.settle(&payment, &offer()).await;
        for _ in 0..8 {
            if answer.is_ok() {
                break;
            }
            answer = world.engine.settle(&payment, &offer()).await;
        }
        answer.unwrap();
        assert_eq!(world.transactions(), 1);
        assert_eq!(world.received(), U256::from(10_000));
    }
}
