//! A halted signer, and the operator who lets it go on.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{U256, address};
use groat_core::books::{Attempt, Book, Slot, SlotState};
use groat_core::ports::{Expect, Facilitator, Store, Write};
use groat_core::{Failure, Fault, Network, Timestamp};
use groat_devchain::Mining;
use groat_facilitator::{LaneStatus, ResumeError};
use groat_store::Journal;
use secp256k1::SecretKey;
use serde_json::json;

use crate::outsider::Outsider;
use crate::world::{NOW, PAY_TO, World, gas_key, offer};

fn signer() -> String {
    gas_key().address().to_checksum(None)
}

fn network() -> Network {
    Network::eip155(84532)
}

async fn lane(world: &World, next: u64) {
    let key = format!("{}/{}", network(), signer());
    let body = json!({ "next": next, "halted": true }).to_string();
    let lane =
        Write { book: Book::Lanes, key, expect: Expect::Absent, state: "halted", is_final: false, body };
    assert!(world.store.commit(vec![lane]).await.unwrap());
}

async fn slot(world: &World, nonce: u64, state: SlotState) {
    let attempt = Attempt { transaction: format!("0x{nonce:064x}"), raw: "0x02".into(), at: Timestamp(NOW) };
    let slot = Slot {
        network: network(),
        signer: signer(),
        nonce,
        scheme: "exact".into(),
        payments: Vec::new(),
        attempts: vec![attempt],
        state,
    };
    Journal::new(Arc::new(world.store.clone()) as Arc<dyn Store>).create(slot).await.unwrap().unwrap();
}

/// Somebody else uses the account.
fn thief(world: &World) {
    let thief = Outsider::new(&world.chain, SecretKey::from_byte_array([0x42; 32]).unwrap());
    thief.send(address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906"), Vec::new());
}

async fn status(world: &World) -> LaneStatus {
    let [status] = world.engine.lane_status().await.unwrap().try_into().unwrap();
    status
}

async fn resume(world: &World) -> Result<(u64, u64), ResumeError> {
    let resumed = world.engine.resume_lane(&network(), &signer().to_lowercase()).await?;
    assert_eq!(resumed.signer, signer());
    Ok((resumed.from, resumed.to))
}

fn is_halted<T: std::fmt::Debug>(answer: Result<T, Failure>) -> bool {
    matches!(answer, Err(Failure::Fault(Fault::Unavailable { what: "signer", .. })))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_signer_goes_on_when_the_operator_says_so_and_a_running_engine_notices() {
    let world = World::new(Mining::Instant);
    world.engine.recover().await.unwrap();
    world.engine.settle(&world.payer(1).pay(1), &offer()).await.unwrap();
    thief(&world);
    thief(&world);
    // The sweep finds nonces that are in no book.
    world.engine.recover().await.unwrap();
    let payment = world.payer(2).pay(1);
    assert!(is_halted(world.engine.settle(&payment, &offer()).await));
    assert!(
        is_halted(world.engine.verify(&payment, &offer()).await),
        "nobody works for what cannot be settled"
    );
    let halted = status(&world).await;
    assert!(halted.halted);
    assert_eq!((halted.next, halted.open, halted.chain.unwrap().spent), (1, 0, 3));
    // A process of the operator's own, on the same book.
    assert_eq!(resume(&world.instance()).await, Ok((1, 3)));
    assert_eq!(resume(&world).await, Err(ResumeError::NotHalted));
    assert!(is_halted(world.engine.settle(&payment, &offer()).await), "until the sweep");
    world.engine.recover().await.unwrap();
    world.engine.verify(&payment, &offer()).await.unwrap();
    world.engine.settle(&payment, &offer()).await.unwrap();
    assert_eq!((world.received(), world.transactions()), (U256::from(20_000), 4));
    let resumed = status(&world).await;
    assert_eq!((resumed.next, resumed.halted), (4, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_starts_on_a_halted_lane_says_so_at_once() {
    let world = World::new(Mining::Instant);
    lane(&world, 0).await;
    world.engine.recover().await.unwrap();
    assert!(is_halted(world.engine.verify(&world.payer(1).pay(1), &offer()).await));
    assert_eq!(resume(&world).await, Ok((0, 0)));
    world.engine.recover().await.unwrap();
    world.engine.settle(&world.payer(1).pay(1), &offer()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_does_not_go_on_before_every_spent_nonce_is_decided() {
    let world = World::new(Mining::Instant);
    thief(&world);
    lane(&world, 1).await;
    slot(&world, 0, SlotState::Open).await;
    assert_eq!(status(&world).await.open, 1);
    assert_eq!(resume(&world).await, Err(ResumeError::Undecided(1)));
    assert!(status(&world).await.halted);
    // The facilitator finds out that it is lost.
    world.engine.recover().await.unwrap();
    for _ in 0..2_000 {
        if status(&world).await.open == 0 {
            break;
        }
        world.chain.mine(1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(resume(&world).await, Ok((1, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_does_not_go_on_behind_a_nonce_that_nobody_will_spend() {
    let world = World::new(Mining::Instant);
    lane(&world, 2).await;
    // A reorganisation has freed it after it was lost; the one behind it can still be mined.
    slot(&world, 0, SlotState::Lost).await;
    slot(&world, 1, SlotState::Open).await;
    assert_eq!(resume(&world).await, Err(ResumeError::Gap(0)));
    thief(&world);
    assert_eq!(resume(&world).await, Ok((2, 2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_does_not_go_on_against_transactions_of_others() {
    let world = World::new(Mining::Manual);
    lane(&world, 0).await;
    thief(&world);
    assert_eq!(resume(&world).await, Err(ResumeError::Strangers { from: 0, to: 0 }));
    world.chain.mine(1);
    assert_eq!(resume(&world).await, Ok((0, 1)));
    assert_eq!(world.engine.resume_lane(&network(), PAY_TO).await, Err(ResumeError::Unknown));
    assert_eq!(world.engine.resume_lane(&Network::eip155(1), &signer()).await, Err(ResumeError::Unknown));
}
