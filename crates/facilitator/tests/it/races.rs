//! The same authorization in other hands: who comes first, and what that proves.

use alloy_primitives::{Address, U256, address};
use groat_chain_evm::ChainLimits;
use groat_core::ports::Facilitator;
use groat_core::{Amount, Failure, Offer, Payment, Reason, Receipt};
use groat_devchain::{Mining, USDC};
use tokio::task::JoinHandle;

use crate::outsider::{Outsider, succeeded, waiting};
use crate::settle::reason;
use crate::world::{Payer, World, offer, payment};

const SILENT: Address = address!("0x0dD0000000000000000000000000000000000002");
const SOMEBODY: Address = address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906");

/// A settlement whose transaction waits for a block.
async fn under_way(world: &World, payment: &Payment, offer: &Offer) -> JoinHandle<Result<Receipt, Failure>> {
    let before = waiting(&world.chain);
    let (engine, payment, offer) = (world.engine.clone(), payment.clone(), offer.clone());
    let call = tokio::spawn(async move { engine.settle(&payment, &offer).await });
    while waiting(&world.chain) == before {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    call
}

/// The same nonce for another payee.
fn instead(payer: &Payer, nonce: u8, to: Address) -> Payment {
    let authorization = groat_chain_evm::proof::Authorization { to, ..payer.authorization(nonce) };
    payment(&authorization, &payer.sign(&authorization))
}

#[tokio::test(flavor = "multi_thread")]
async fn e09_a_stranger_who_overtakes_us_in_the_block_has_paid_for_us() {
    let world = World::new(Mining::Manual);
    let payment = world.payer(1).pay(1);
    let call = under_way(&world, &payment, &offer()).await;
    let theirs = Outsider::stranger(&world.chain).submit(USDC, &payment);
    world.chain.mine(1);
    let receipt = call.await.unwrap().unwrap();
    assert_eq!(receipt.transaction, Some(theirs.to_string()));
    // Ours came second and reverted, and the money moved once.
    assert_eq!((world.transactions(), world.received()), (1, U256::from(10_000)));
    let status = world.engine.status(&claim_id(&payment)).await.unwrap().unwrap();
    assert!(
        matches!(&status.state, groat_core::books::SettlementState::Settled(settled) if settled.by_other),
        "{status:?}"
    );
}

fn claim_id(payment: &Payment) -> groat_core::PaymentId {
    use groat_core::ports::Mechanism;
    groat_chain_evm::ExactEvm::offline().key(payment, &offer()).unwrap().0.id()
}

#[tokio::test(flavor = "multi_thread")]
async fn e09_many_authorizations_in_a_strangers_one_transaction_are_all_paid() {
    let world = World::new(Mining::Instant);
    let payments: Vec<_> = [(1, 1), (1, 2), (2, 1)].map(|(who, nonce)| world.payer(who).pay(nonce)).into();
    for payment in &payments {
        world.engine.verify(payment, &offer()).await.unwrap();
    }
    let theirs = Outsider::stranger(&world.chain).submit_all(&payments);
    for payment in &payments {
        let receipt = world.engine.settle(payment, &offer()).await.unwrap();
        assert_eq!(receipt.transaction, Some(theirs.to_string()));
    }
    assert_eq!((world.transactions(), world.received()), (0, U256::from(30_000)));
}

/// A payer signs each nonce twice, for the payee and for a friend. It submits the friend's in one transaction with one
/// honest payment: every nonce is used there, and a transfer of the right sum to the payee is there, once.
#[tokio::test(flavor = "multi_thread")]
async fn e09_e35_one_transfer_does_not_pay_for_the_nonces_beside_it() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let shown: Vec<_> = (1..=4).map(|nonce| payer.pay(nonce)).collect();
    for payment in &shown {
        world.engine.verify(payment, &offer()).await.unwrap();
    }
    let friends: Vec<_> = (1..=4).map(|nonce| instead(&payer, nonce, SOMEBODY)).collect();
    let theirs =
        Outsider::stranger(&world.chain).submit_all([&friends[0], &friends[1], &shown[2], &friends[3]]);
    assert!(succeeded(&world.chain, &theirs.to_string()));
    let mut paid = 0;
    for payment in &shown {
        match world.engine.settle(payment, &offer()).await {
            Ok(_) => paid += 10_000,
            Err(Failure::Refused(refusal)) => {
                assert_eq!(refusal.reason, Reason::TransferEventMismatch);
                assert_eq!(refusal.transaction, Some(theirs.to_string()));
            }
            Err(Failure::Fault(fault)) => panic!("{fault}"),
        }
    }
    assert_eq!((U256::from(paid), world.transactions()), (world.received(), 0));
    assert_eq!(paid, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn e12_a_token_silent_on_a_used_nonce_pays_by_the_transaction_that_used_it() {
    let limits = ChainLimits { assets: vec![SILENT], ..ChainLimits::default() };
    let world = World::with(Mining::Manual, limits);
    let payer = world.payer(1);
    world.give(SILENT, payer.address(), 1_000_000);
    let authorization = payer.authorization(1);
    let payment = payment(&authorization, &payer.sign_for(SILENT, &authorization));
    let offer = Offer { asset: SILENT.to_checksum(None), ..offer() };
    let call = under_way(&world, &payment, &offer).await;
    let theirs = Outsider::stranger(&world.chain).submit(SILENT, &payment);
    world.chain.mine(1);
    // Ours went through as well, and did nothing.
    assert_eq!(call.await.unwrap().unwrap().transaction, Some(theirs.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn e03_e05_a_payment_under_way_answers_for_its_own_terms_only() {
    let world = World::new(Mining::Manual);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    let call = under_way(&world, &payment, &offer()).await;
    let dearer = Offer { amount: Amount::from_units(1_000_000), ..offer() };
    let other = Offer { pay_to: SOMEBODY.to_checksum(None), ..offer() };
    // The same nonce, well signed for the other payee.
    let twice = instead(&payer, 1, SOMEBODY);
    let mut asked = Vec::new();
    for (payment, offer) in [(payment.clone(), dearer), (payment.clone(), other.clone()), (twice, other)] {
        let engine = world.engine.clone();
        asked.push(tokio::spawn(async move { engine.settle(&payment, &offer).await }));
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    world.chain.mine(1);
    for answer in asked {
        assert_eq!(reason(answer.await.unwrap()), Reason::AmountMismatch);
    }
    call.await.unwrap().unwrap();
    assert_eq!((world.transactions(), world.received()), (1, U256::from(10_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn r_one_nonce_signed_for_two_payees_and_settled_at_once_pays_one_of_them() {
    let world = World::new(Mining::Manual);
    let payer = world.payer(1);
    let other = Offer { pay_to: SOMEBODY.to_checksum(None), ..offer() };
    let calls: Vec<_> = [(payer.pay(1), offer()), (instead(&payer, 1, SOMEBODY), other)]
        .into_iter()
        .map(|(payment, offer)| {
            let engine = world.engine.clone();
            tokio::spawn(async move { engine.settle(&payment, &offer).await })
        })
        .collect();
    while waiting(&world.chain) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    world.chain.mine(1);
    let mut paid = 0;
    for call in calls {
        paid += u32::from(call.await.unwrap().is_ok());
    }
    assert_eq!((paid, world.transactions()), (1, 1));
}
