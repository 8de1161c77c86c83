//! Signers and their nonces: several instances on one store, stuck transactions, strangers with the same key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::{U256, address};
use async_trait::async_trait;
use futures_util::future::join_all;
use groat_chain_evm::account;
use groat_chain_evm::proof::Authorization;
use groat_core::books::{Book, SettlementState};
use groat_core::ports::{Expect, Facilitator, Mechanism, Record, Store, Write};
use groat_core::{Failure, Fault, Offer, Reason};
use groat_devchain::{Mining, USDC};
use groat_store::MemoryStore;
use secp256k1::SecretKey;
use serde_json::{Value, json};

use crate::outsider::{Outsider, waiting};
use crate::world::{World, gas_key, offer, payment};

async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not happen");
}

fn pending(world: &World) -> Vec<Value> {
    let content = world.chain.request("txpool_content", json!([])).unwrap();
    content["pending"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(_, of)| of.as_object().unwrap().values().cloned().collect::<Vec<_>>())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_two_instances_on_one_store_share_a_signer_and_settle_each_payment_once() {
    let world = World::new(Mining::Instant);
    let other = world.instance();
    let payments: Vec<_> = (1..=50).map(|who| world.payer(who).pay(1)).collect();
    let offer = offer();
    let both = payments
        .iter()
        .flat_map(|payment| [&world.engine, &other.engine].map(|engine| engine.settle(payment, &offer)));
    let answers = join_all(both).await;
    for pair in answers.chunks(2) {
        let [one, two] = pair else { unreachable!() };
        assert_eq!(one.as_ref().unwrap(), two.as_ref().unwrap());
    }
    assert_eq!(world.received(), U256::from(500_000));
    let transactions: BTreeSet<_> =
        answers.into_iter().map(|answer| answer.unwrap().transaction.unwrap()).collect();
    assert_eq!(world.transactions(), transactions.len() as u64, "no transaction for nothing");
}

/// A book in which a payment is not there yet when it is first looked for.
struct Late(MemoryStore, AtomicBool);

#[async_trait]
impl Store for Late {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        let found = self.0.get(book, key).await?;
        Ok(found.filter(|_| book != Book::Settlements || self.1.swap(true, Ordering::SeqCst)))
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        self.0.commit(writes).await
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        self.0.scan(book, after, open_only, count_max).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_one_nonce_for_two_payees_at_two_instances_pays_one_and_not_the_other() {
    let world = World::new(Mining::Manual);
    let other = world.engine_on(Arc::new(Late(world.store.clone(), AtomicBool::new(false))));
    let payer = world.payer(1);
    let elsewhere = address!("0x00000000000000000000000000000000000e15e0");
    let authorization = Authorization { to: elsewhere, ..payer.authorization(1) };
    let second = payment(&authorization, &payer.sign(&authorization));
    let second_offer = Offer { pay_to: account::text(elsewhere), ..offer() };
    let first = tokio::spawn({
        let (engine, payment) = (world.engine.clone(), payer.pay(1));
        async move { engine.settle(&payment, &offer()).await }
    });
    until(|| waiting(&world.chain) == 1).await;
    let second = tokio::spawn(async move { other.settle(&second, &second_offer).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.chain.mine(1);
    assert!(first.await.unwrap().unwrap().is_settled());
    let Err(Failure::Refused(refusal)) = second.await.unwrap() else { panic!("paid to nobody") };
    assert_eq!(refusal.reason, Reason::AmountMismatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_transaction_that_blocks_pass_by_is_signed_again_for_more_gas() {
    let world = World::new(Mining::Manual);
    let payment = world.payer(1).pay(1);
    let call = tokio::spawn({
        let (engine, payment) = (world.engine.clone(), payment.clone());
        async move { engine.settle(&payment, &offer()).await }
    });
    until(|| waiting(&world.chain) == 1).await;
    let first = pending(&world).pop().unwrap();
    // Blocks come, and our transaction is in none.
    let fee = |transaction: &Value| {
        u128::from_str_radix(&transaction["maxFeePerGas"].as_str().unwrap()[2..], 16).unwrap()
    };
    let mut bumped = None;
    for _ in 0..40 {
        world.chain.request("anvil_dropTransaction", json!([first["hash"]])).unwrap();
        world.chain.mine(1);
        tokio::time::sleep(Duration::from_millis(60)).await;
        bumped = pending(&world).into_iter().find(|waiting| waiting["hash"] != first["hash"]);
        if bumped.is_some() {
            break;
        }
    }
    let bumped = bumped.expect("a replacement");
    assert_eq!(bumped["nonce"], first["nonce"]);
    assert!(fee(&bumped) * 100 >= fee(&first) * 110, "{first} {bumped}");
    world.chain.mine(1);
    let receipt = call.await.unwrap().unwrap();
    assert_eq!(receipt.transaction.as_deref(), bumped["hash"].as_str());
    assert_eq!((world.transactions(), world.received()), (1, U256::from(10_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_nonce_whose_payments_are_dead_is_spent_for_nothing() {
    let world = World::new(Mining::Manual);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    let call = tokio::spawn({
        let (engine, payment) = (world.engine.clone(), payment.clone());
        async move { engine.settle(&payment, &offer()).await }
    });
    until(|| waiting(&world.chain) == 1).await;
    let first = pending(&world).pop().unwrap();
    world.chain.request("anvil_dropTransaction", json!([first["hash"]])).unwrap();
    world.chain.increase_time(120);
    world.chain.mine(1);
    let failed = call.await.unwrap().unwrap_err();
    assert!(
        matches!(&failed, Failure::Refused(refusal) if refusal.reason == groat_core::Reason::Expired),
        "{failed:?}"
    );
    // Whoever comes next is not held up by it.
    let next = {
        let mut authorization = world.payer(2).authorization(1);
        authorization.valid_before = U256::from(world.chain.now() + 3_000);
        crate::world::payment(&authorization, &world.payer(2).sign(&authorization))
    };
    let engine = world.engine.clone();
    let call = tokio::spawn(async move { engine.settle(&next, &offer()).await });
    for _ in 0..60 {
        if call.is_finished() {
            break;
        }
        world.chain.mine(1);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    call.await.unwrap().unwrap();
    assert_eq!(world.transactions(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_somebody_else_uses_is_halted_and_nothing_is_lost() {
    let world = World::new(Mining::Manual);
    let payment = world.payer(1).pay(1);
    let call = tokio::spawn({
        let (engine, payment) = (world.engine.clone(), payment.clone());
        async move { engine.settle(&payment, &offer()).await }
    });
    until(|| waiting(&world.chain) == 1).await;
    let ours = pending(&world).pop().unwrap();
    world.chain.request("anvil_dropTransaction", json!([ours["hash"]])).unwrap();
    let thief = Outsider::new(&world.chain, SecretKey::from_byte_array([0x42; 32]).unwrap());
    thief.send(address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906"), Vec::new());
    for _ in 0..60 {
        if call.is_finished() {
            break;
        }
        world.chain.mine(1);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let failed = call.await.unwrap().unwrap_err();
    assert!(matches!(failed, Failure::Fault(Fault::Unavailable { what: "signer", .. })), "{failed:?}");
    assert_eq!(world.received(), U256::ZERO);
    // It stays halted, also for those who come later and in other instances.
    let other = world.instance();
    for engine in [&world.engine, &other.engine] {
        let failed = engine.settle(&world.payer(2).pay(1), &offer()).await.unwrap_err();
        assert!(matches!(failed, Failure::Fault(Fault::Unavailable { what: "signer", .. })), "{failed:?}");
    }
    assert_eq!(waiting(&world.chain), 0);
    let id = groat_chain_evm::ExactEvm::offline().key(&payment, &offer()).unwrap().0.id();
    let status = world.engine.status(&id).await.unwrap().unwrap();
    assert_eq!(status.state, SettlementState::Released);
}

#[tokio::test(flavor = "multi_thread")]
async fn kp16_a_book_that_was_put_back_finds_its_payments_on_the_chain() {
    let world = World::new(Mining::Instant);
    let (known, forgotten) = (world.payer(1).pay(1), world.payer(2).pay(1));
    world.engine.settle(&known, &offer()).await.unwrap();
    let receipt = world.engine.settle(&forgotten, &offer()).await.unwrap();
    // As it was before the second payment.
    let restored = world.stranger();
    let key = format!("eip155:84532/{}", gas_key().address().to_checksum(None));
    let body = json!({ "next": 1 }).to_string();
    let lane = Write { book: Book::Lanes, key, expect: Expect::Absent, state: "open", is_final: false, body };
    restored.store.commit(vec![lane]).await.unwrap();
    restored.engine.recover().await.unwrap();
    assert_eq!(restored.engine.settle(&forgotten, &offer()).await.unwrap(), receipt);
    restored.engine.settle(&world.payer(3).pay(1), &offer()).await.unwrap();
    assert_eq!((world.transactions(), world.received()), (3, U256::from(30_000)));
    // What a stranger has paid in long ago is no payment to a book that never saw it.
    let foreign = world.payer(4).pay(1);
    Outsider::stranger(&world.chain).submit(USDC, &foreign);
    let refused = restored.engine.settle(&foreign, &offer()).await;
    assert_eq!(crate::settle::reason(refused), groat_core::Reason::NonceAlreadyUsed);
}
