//! What else may happen to a signed payment: by its buyer's hand or by a stranger's.

use std::sync::Arc;

use super::send::{exchange, send, send_as};
use super::sign::{Signed, parcel};
use crate::chain::{Account, Action, Transaction};
use crate::exact::Proof;
use crate::fault::Fault;
use crate::shop::Route;
use crate::tongue::Tongue;
use crate::world::World;

/// Starts what is to happen.
pub(crate) fn act(world: &Arc<World>, signed: &Arc<Signed>) {
    let stage = &world.stage;
    let authorization = signed.authorization;
    let (payer, nonce) = authorization.id();
    if stage.strikes(Fault::Cancelled) {
        submit_later(world, payer, Action::Cancel(payer, nonce), 12_000);
    }
    if stage.strikes(Fault::Drained) {
        let value = world.chain.head().after.balance(payer);
        submit_later(world, payer, Action::Move { to: Account::ELSEWHERE, value }, 12_000);
    }
    if stage.strikes(Fault::FrontRun) {
        world.notebook.change(signed.number, |deal| deal.meddled = true);
        submit_later(world, Account::STRANGER, Action::Transfer(authorization), 8_000);
    }
    if stage.strikes(Fault::OtherResource) {
        world.notebook.change(signed.number, |deal| deal.misused = true);
        let (world, signed) = (Arc::clone(world), Arc::clone(signed));
        tokio::spawn(async move { send_elsewhere(&world, &signed).await });
    }
    if stage.strikes(Fault::AlteredAmount) {
        world.notebook.change(signed.number, |deal| deal.varied = true);
        let (world, signed) = (Arc::clone(world), Arc::clone(signed));
        tokio::spawn(async move { send_altered(&world, &signed).await });
    }
}

fn submit_later(world: &Arc<World>, sender: Account, action: Action, wait_ms_max: u64) {
    let world = Arc::clone(world);
    tokio::spawn(async move {
        world.stage.pause_ms(0, wait_ms_max).await;
        let nonce = world.chain.pending_nonce(sender);
        let transaction = Transaction { sender, nonce, fee: world.stage.below(1 << 32), action };
        // A node that refuses it is as good as any other end.
        let _ = world.chain.submit(transaction);
    });
}

/// The same payment for something else, with and without saying what it was for; a permit also as a payment for the answer
/// itself.
async fn send_elsewhere(world: &Arc<World>, signed: &Signed) {
    world.stage.pause_ms(0, 5_000).await;
    let Some(other) = Route::ALL.into_iter().find(|route| *route != signed.route) else { return };
    if world.stage.chance(500) {
        send(world, signed, other).await;
        return;
    }
    let mut payment = signed.payment.clone();
    payment.resource = None;
    let (tongue, route) = match signed.tongue {
        Tongue::Token => (Tongue::V1, signed.route),
        tongue => (tongue, other),
    };
    if let Some(parcel) = parcel(&payment, tongue, route) {
        send_as(world, signed, parcel).await;
    }
}

/// The same authorization with another sum, as it was signed or not.
async fn send_altered(world: &Arc<World>, signed: &Signed) {
    world.stage.pause_ms(0, 3_000).await;
    let mut proof = Proof::sign(signed.authorization);
    proof.authorization.value -= 1;
    if world.stage.chance(500) {
        proof.signed_value = proof.authorization.value;
    }
    let mut payment = signed.payment.clone();
    payment.proof = proof.to_value();
    if let Some(parcel) = parcel(&payment, signed.tongue, signed.route) {
        exchange(world, parcel).await;
    }
}
