//! What becomes of a permit: settled once, by whomever; expired; spent elsewhere; a process that dies.

use std::time::Duration;

use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use groat_chain_evm::PermitKind;
use groat_chain_evm::permit::{Permit, till as at};
use groat_core::books::SettlementState;
use groat_core::ports::Facilitator;
use groat_core::{Failure, Fault, Offer, Payment, Reason, Receipt};
use groat_devchain::Mining;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::outsider::waiting;
use crate::settle::reason;

/// A settlement whose transaction waits for a block.
async fn under_way(world: &World, payment: &Payment, offer: &Offer) -> JoinHandle<Result<Receipt, Failure>> {
    let before = waiting(&world.chain);
    let (engine, payment, offer) = (world.engine.clone(), payment.clone(), offer.clone());
    let call = tokio::spawn(async move { engine.settle(&payment, &offer).await });
    while waiting(&world.chain) == before {
        assert!(!call.is_finished(), "{:?}", call.await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    call
}

fn pending(world: &World) -> Vec<Value> {
    let content = world.chain.request("txpool_content", json!([])).unwrap();
    let of_all = content["pending"].as_object().into_iter().flatten();
    of_all.flat_map(|(_, of)| of.as_object().unwrap().values().cloned().collect::<Vec<_>>()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn f086_a_permit_of_either_kind_settles_once_and_buys_nothing_a_second_time() {
    for kind in KINDS {
        let mut world = world(Mining::Instant);
        let payer = payer(&world, 1);
        let payment = pay(&payer, kind, 0);
        let claim = world.engine.verify(&payment, &offer(kind)).await.unwrap();
        let receipt = world.engine.settle(&payment, &offer(kind)).await.unwrap();
        assert_eq!(receipt.payer.as_deref(), Some(claim.payer.as_str()));
        let mined = world.chain.request("eth_getTransactionReceipt", json!([receipt.transaction])).unwrap();
        assert_eq!(mined["status"], json!("0x1"));
        // The money is with the payee, and nothing of it in the till.
        assert_eq!(
            (received(&world), has(&world, claim.pay_to.parse().unwrap())),
            (U256::from(UNITS), U256::ZERO)
        );
        let again = world.engine.settle(&payment, &offer(kind)).await.unwrap();
        world.restart();
        let restarted = world.engine.settle(&payment, &offer(kind)).await.unwrap();
        assert_eq!((&receipt, &receipt), (&again, &restarted));
        assert_eq!((world.transactions(), received(&world)), (1, U256::from(UNITS)));
        // A facilitator with another book sees it on the chain.
        let stranger = world.stranger();
        for engine in [&world.engine, &stranger.engine] {
            assert_eq!(reason(engine.verify(&payment, &offer(kind)).await), Reason::NonceAlreadyUsed);
        }
        assert_eq!(reason(stranger.engine.settle(&payment, &offer(kind)).await), Reason::NonceAlreadyUsed);
        // The payer's next one is as good.
        world.engine.settle(&pay(&payer, kind, 1), &offer(kind)).await.unwrap();
        assert_eq!(received(&world), U256::from(2 * UNITS));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_other_spellings_of_one_permit_settle_once() {
    for kind in KINDS {
        let world = world(Mining::Instant);
        let payer = payer(&world, 1);
        let first = pay(&payer, kind, 0);
        let mut other = first.clone();
        let owner = other.proof["permit"]["owner"].as_str().unwrap().to_lowercase();
        other.proof["permit"]["owner"] = json!(owner);
        let mut signed = signed(&payer, permit(&payer, kind, 0));
        signed.signature.0[64] -= 27;
        let receipt = world.engine.settle(&first, &offer(kind)).await.unwrap();
        for same in [other, payment(&signed)] {
            assert_eq!(world.engine.settle(&same, &offer(kind)).await.unwrap(), receipt);
        }
        assert_eq!(world.transactions(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e09_e25_a_stranger_who_overtakes_us_in_the_block_has_paid_for_us() {
    for kind in KINDS {
        let world = world(Mining::Manual);
        let payer = payer(&world, 1);
        let permit = signed(&payer, permit(&payer, kind, 0));
        let call = under_way(&world, &payment(&permit), &offer(kind)).await;
        let theirs = bring(&world, &permit);
        world.chain.mine(1);
        let receipt = call.await.unwrap().unwrap();
        assert_eq!(receipt.transaction, Some(theirs.to_string()));
        // Ours came second and reverted, and the money moved once.
        assert_eq!((world.transactions(), received(&world)), (1, U256::from(UNITS)));
        let status = world.engine.status(&id(&payment(&permit), &offer(kind))).await.unwrap().unwrap();
        assert!(matches!(&status.state, SettlementState::Settled(settled) if settled.by_other), "{status:?}");
    }
}

/// What was checked a moment ago and is brought by somebody else before we sign anything.
#[tokio::test(flavor = "multi_thread")]
async fn e09_a_permit_that_a_stranger_brings_between_verify_and_settle_is_paid() {
    for kind in KINDS {
        let world = world(Mining::Instant);
        let payer = payer(&world, 1);
        let permit = signed(&payer, permit(&payer, kind, 0));
        world.engine.verify(&payment(&permit), &offer(kind)).await.unwrap();
        let theirs = bring(&world, &permit);
        let receipt = world.engine.settle(&payment(&permit), &offer(kind)).await.unwrap();
        assert_eq!(receipt.transaction, Some(theirs.to_string()));
        assert_eq!((world.transactions(), received(&world)), (0, U256::from(UNITS)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e28_a_permit_that_somebody_has_shown_to_the_token_is_paid_all_the_same() {
    let kind = PermitKind::Eip2612;
    let world = world(Mining::Instant);
    let payer = payer(&world, 1);
    let shown = signed(&payer, permit(&payer, kind, 0));
    show_to_token(&world, &shown);
    world.engine.settle(&payment(&shown), &offer(kind)).await.unwrap();
    assert_eq!(received(&world), U256::from(UNITS));
    // Where the payer has taken the allowance back, nothing is left of it.
    let taken_back = signed(&payer, permit(&payer, kind, 1));
    show_to_token(&world, &taken_back);
    approve(&world, &payer, taken_back.spender, U256::ZERO);
    let refused = world.engine.settle(&payment(&taken_back), &offer(kind)).await;
    assert_eq!(reason(refused), Reason::NonceAlreadyUsed);
    assert_eq!(received(&world), U256::from(UNITS));
}

#[tokio::test(flavor = "multi_thread")]
async fn e28_a_permit_shown_to_the_token_in_the_block_before_ours_is_paid() {
    let kind = PermitKind::Eip2612;
    let world = world(Mining::Manual);
    let payer = payer(&world, 1);
    let permit = signed(&payer, permit(&payer, kind, 0));
    let call = under_way(&world, &payment(&permit), &offer(kind)).await;
    show_to_token(&world, &permit);
    world.chain.mine(1);
    call.await.unwrap().unwrap();
    assert_eq!((world.transactions(), received(&world)), (1, U256::from(UNITS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn kp5_what_was_written_and_never_sent_is_sent_after_a_restart() {
    for kind in KINDS {
        let mut world = world(Mining::Instant);
        let payment = pay(&payer(&world, 1), kind, 0);
        world.chain.faults(|faults| faults.drop_next = 1);
        world.chain.faults(|faults| faults.hold = true);
        let pending = world.engine.settle(&payment, &offer(kind)).await.unwrap_err();
        assert!(matches!(pending, Failure::Fault(Fault::Pending { .. })), "{pending:?}");
        world.restart();
        world.chain.request("dev_release", json!([])).unwrap();
        world.engine.recover().await.unwrap();
        world.engine.settle(&payment, &offer(kind)).await.unwrap();
        assert_eq!((world.transactions(), received(&world)), (1, U256::from(UNITS)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kp6_after_a_restart_the_same_permit_gets_the_same_transaction() {
    let kind = PermitKind::Permit2;
    let mut world = world(Mining::Manual);
    let payment = pay(&payer(&world, 1), kind, 0);
    let pending = world.engine.settle(&payment, &offer(kind)).await.unwrap_err();
    let Failure::Fault(Fault::Pending { transaction: Some(transaction) }) = pending else {
        panic!("{pending:?}")
    };
    world.restart();
    assert_eq!(world.engine.recover().await.unwrap(), 1);
    world.chain.mine(1);
    let receipt = world.engine.settle(&payment, &offer(kind)).await.unwrap();
    assert_eq!(receipt.transaction, Some(transaction));
    assert_eq!(world.transactions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_permit_whose_deadline_passes_on_the_way_has_failed_for_good() {
    for kind in KINDS {
        let world = world(Mining::Manual);
        let payer = payer(&world, 1);
        let permit = signed(&payer, permit(&payer, kind, 0));
        let call = under_way(&world, &payment(&permit), &offer(kind)).await;
        let first = pending(&world).pop().unwrap();
        world.chain.request("anvil_dropTransaction", json!([first["hash"]])).unwrap();
        // At its deadline it is still good.
        world.chain.set_time(NOW + 60);
        world.chain.mine(1);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!call.is_finished());
        world.chain.set_time(NOW + 61);
        world.chain.mine(1);
        assert_eq!(reason(call.await.unwrap()), Reason::Expired);
        // Whoever brings it now brings it in vain.
        bring(&world, &permit);
        world.chain.mine(1);
        assert_eq!(received(&world), U256::ZERO);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r16_a_nonce_that_is_spent_for_nothing_on_the_way_has_failed_for_good() {
    let kind = PermitKind::Permit2;
    let world = world(Mining::Manual);
    let payer = payer(&world, 1);
    let payment = pay(&payer, kind, 259);
    let call = under_way(&world, &payment, &offer(kind)).await;
    let spent = Permit2::invalidateUnorderedNoncesCall { wordPos: U256::from(1), mask: U256::from(1 << 3) };
    assert!(world.chain.stage(payer.address(), at::PERMIT2, spent.abi_encode().into()));
    world.chain.mine(1);
    assert_eq!(reason(call.await.unwrap()), Reason::NonceAlreadyUsed);
    assert_eq!(received(&world), U256::ZERO);
}

/// A payer signs one nonce twice, and the cheaper one comes first: the till is paid, but not what was agreed.
#[tokio::test(flavor = "multi_thread")]
async fn r16_a_nonce_that_has_paid_the_till_another_sum_is_no_payment_of_this_one() {
    for kind in KINDS {
        let world = world(Mining::Manual);
        let payer = payer(&world, 1);
        let call = under_way(&world, &pay(&payer, kind, 0), &offer(kind)).await;
        bring(&world, &signed(&payer, Permit { amount: U256::from(1), ..permit(&payer, kind, 0) }));
        world.chain.mine(1);
        let failure = reason(call.await.unwrap());
        assert_eq!(failure, Reason::TransferEventMismatch, "{kind}");
        assert_eq!(received(&world), U256::from(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_one_nonce_signed_for_two_prices_is_one_payment() {
    for kind in KINDS {
        let world = world(Mining::Instant);
        let payer = payer(&world, 1);
        world.engine.settle(&pay(&payer, kind, 0), &offer(kind)).await.unwrap();
        let dear = Offer { amount: Amount::from_units(20_000), ..offer(kind) };
        let again = signed(&payer, Permit { amount: U256::from(20_000), ..permit(&payer, kind, 0) });
        assert!(world.engine.settle(&payment(&again), &dear).await.is_err());
        assert_eq!(received(&world), U256::from(UNITS));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_twenty_parallel_settles_make_one_transaction() {
    let kind = PermitKind::Permit2;
    let world = world(Mining::Instant);
    let payment = pay(&payer(&world, 1), kind, 7);
    let calls = (0..20).map(|_| {
        let (engine, payment) = (world.engine.clone(), payment.clone());
        tokio::spawn(async move { engine.settle(&payment, &offer(kind)).await.unwrap() })
    });
    let answers = futures_util::future::join_all(calls.collect::<Vec<_>>()).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!((world.transactions(), received(&world)), (1, U256::from(UNITS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn e36_a_settled_permit_whose_block_is_replaced_is_settled_again() {
    for kind in KINDS {
        let world = world(Mining::Manual);
        let payment = pay(&payer(&world, 1), kind, 0);
        let call = under_way(&world, &payment, &offer(kind)).await;
        world.chain.mine(1);
        call.await.unwrap().unwrap();
        world.chain.reorg(1, false);
        assert_eq!(received(&world), U256::ZERO);
        for _ in 0..60 {
            world.chain.mine(1);
            if received(&world) == U256::from(UNITS) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((world.transactions(), received(&world)), (1, U256::from(UNITS)));
        assert!(world.engine.settle(&payment, &offer(kind)).await.unwrap().is_settled());
    }
}
