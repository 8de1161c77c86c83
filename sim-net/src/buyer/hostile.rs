//! What else may happen to a signed payment: by its buyer's hand or by a stranger's.

use std::future::Future;
use std::sync::Arc;

use alloy_primitives::U256;
use groat_chain_evm::proof::Proof;

use super::sign::{Signed, headers, pay};
use super::{Buyer, send};
use crate::chain::outsider;
use crate::fault::Fault;
use crate::host::gate::Route;

/// Starts what is to happen.
pub(crate) fn act(buyer: &Buyer, signed: &Arc<Signed>) {
    let stage = &buyer.world.stage;
    if stage.strikes(Fault::Cancelled) {
        later(buyer, signed, 12_000, |buyer, signed| async move {
            outsider::cancel(&buyer.world, &signed.key, signed.nonce);
        });
    }
    if stage.strikes(Fault::Drained) {
        later(buyer, signed, 12_000, |buyer, signed| async move {
            outsider::drain(&buyer.world, &signed.key);
        });
    }
    if stage.strikes(Fault::FrontRun) {
        buyer.world.notebook.change(signed.number, |deal| deal.meddled = true);
        later(buyer, signed, 8_000, |buyer, signed| async move {
            outsider::front_run(&buyer.world, &signed.payment);
        });
    }
    if stage.strikes(Fault::OtherResource) {
        buyer.world.notebook.change(signed.number, |deal| deal.misused = true);
        later(buyer, signed, 5_000, send_elsewhere);
    }
    if buyer.world.shape.sellers() > 1 && stage.strikes(Fault::TwoPayees) {
        buyer.world.notebook.change(signed.number, |deal| deal.misused = true);
        later(buyer, signed, 5_000, send_to_other_payee);
    }
    if stage.strikes(Fault::AlteredAmount) {
        buyer.world.notebook.change(signed.number, |deal| deal.varied = true);
        later(buyer, signed, 3_000, send_altered);
    }
}

fn later<F>(
    buyer: &Buyer,
    signed: &Arc<Signed>,
    wait_ms_max: u64,
    act: impl Fn(Buyer, Arc<Signed>) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    let (buyer, signed) = (buyer.clone(), Arc::clone(signed));
    tokio::spawn(async move {
        buyer.world.stage.pause_ms(0, wait_ms_max).await;
        act(buyer, signed).await;
    });
}

/// The same payment for something else, with and without saying what it was for.
async fn send_elsewhere(buyer: Buyer, signed: Arc<Signed>) {
    let Some(other) = Route::ALL.into_iter().find(|route| *route != signed.route) else { return };
    let mut payment = signed.payment.clone();
    if buyer.world.stage.chance(500) {
        payment.resource = None;
    }
    if let Some(headers) = headers(&payment) {
        send::send_as(&buyer, &signed, signed.seller, other, headers).await;
    }
}

/// The same nonce, signed once more for the other seller.
async fn send_to_other_payee(buyer: Buyer, signed: Arc<Signed>) {
    let seller = 1 - signed.seller;
    let Some(challenge) = send::challenge(&buyer, seller, signed.route).await else { return };
    let Some(offer) = challenge.offers.first() else { return };
    let payment = pay(&buyer, &challenge, offer, signed.key, signed.nonce, signed.window_s).await;
    let Some(headers) = payment.as_ref().and_then(headers) else { return };
    for _ in 0..3 {
        send::send_as(&buyer, &signed, seller, signed.route, headers.clone()).await;
        buyer.world.stage.pause_ms(500, 5_000).await;
    }
}

/// The same authorization with another sum than was signed.
async fn send_altered(buyer: Buyer, signed: Arc<Signed>) {
    let Ok(mut proof) = Proof::read(&signed.payment.proof) else { return };
    proof.authorization.value -= U256::from(1);
    let mut payment = signed.payment.clone();
    let signature = signed.payment.proof["signature"].as_str().unwrap_or_default();
    let Ok(signature) = alloy_primitives::hex::decode(signature) else { return };
    payment.proof = Proof::write(&proof.authorization, &signature);
    if let Some(headers) = headers(&payment) {
        send::send_as(&buyer, &signed, signed.seller, signed.route, headers).await;
    }
}
