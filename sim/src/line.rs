//! The seller's line to a facilitator in another process, with everything that happens on lines.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use groat_core::payment::ReceiptOutcome;
use groat_core::ports::{Facilitator, PaymentStatus, Supported};
use groat_core::{Claim, Failure, Fault as Trouble, Offer, Payment, PaymentId, Receipt};
use groat_facilitator::Engine;

use crate::Planted;
use crate::fault::Fault;
use crate::life::Life;
use crate::world::World;

/// One seller process's end of the line.
pub(crate) struct Line {
    pub(crate) world: Arc<World>,
    pub(crate) life: Arc<Life>,
}

fn unavailable() -> Trouble {
    Trouble::unavailable("facilitator", "simulated")
}

impl Line {
    /// A call is on its way whatever becomes of the caller, so it runs in a task of its own.
    async fn call<T, F, W>(&self, work: W) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
        W: Fn(Engine) -> F + Send + Sync + Clone + 'static,
    {
        let stage = &self.world.stage;
        self.life.step().await;
        if stage.strikes(Fault::CallLost) {
            stage.pause_ms(100, 20_000).await;
            self.life.step().await;
            return Err(unavailable());
        }
        let delay_ms = if stage.strikes(Fault::CallDelayed) { stage.between(100, 15_000) } else { 0 };
        if stage.strikes(Fault::CallDoubled) {
            tokio::spawn(deliver(Arc::clone(&self.world), stage.between(1, 5_000), work.clone()));
        }
        let delivered = tokio::spawn(deliver(Arc::clone(&self.world), delay_ms, work)).await;
        if stage.strikes(Fault::CallReplyLost) {
            stage.pause_ms(100, 20_000).await;
            self.life.step().await;
            return Err(unavailable());
        }
        self.life.step().await;
        delivered.ok().flatten().ok_or_else(unavailable)
    }
}

async fn deliver<T, F>(world: Arc<World>, delay_ms: u64, work: impl Fn(Engine) -> F) -> Option<T>
where
    F: Future<Output = T>,
{
    // Calls that wait for one settlement are woken in no particular order. Each has its own way back, so that runs of
    // one seed do not differ.
    let back_ms = 1 + world.calls.fetch_add(1, Ordering::Relaxed) % 64;
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    let live = world.facilitator.place.live()?;
    let answer = live.life.during(work(live.service.clone())).await;
    tokio::time::sleep(Duration::from_millis(back_ms)).await;
    answer
}

#[async_trait]
impl Facilitator for Line {
    async fn supported(&self) -> Result<Supported, Trouble> {
        self.call(|engine| async move { engine.supported().await }).await?
    }

    async fn verify(&self, payment: &Payment, offer: &Offer) -> Result<Claim, Failure> {
        let asked = (payment.clone(), offer.clone());
        let work = move |engine: Engine| {
            let (payment, offer) = asked.clone();
            async move { engine.verify(&payment, &offer).await }
        };
        self.call(work).await?
    }

    /// From here on the money may move whatever we hear: every fault is "not known".
    async fn settle(&self, payment: &Payment, offer: &Offer) -> Result<Receipt, Failure> {
        if self.world.stage.planted(Planted::LyingFacilitator) && self.world.stage.chance(50) {
            let transaction = Some("0xlie".to_owned());
            let (outcome, network) = (ReceiptOutcome::Settled, offer.network.clone());
            return Ok(Receipt {
                outcome,
                network,
                transaction,
                payer: None,
                amount: None,
                settled_at: None,
            });
        }
        let asked = (payment.clone(), offer.clone());
        let work = move |engine: Engine| {
            let (payment, offer) = asked.clone();
            async move { engine.settle(&payment, &offer).await }
        };
        match self.call(work).await {
            Ok(Err(Failure::Fault(Trouble::Pending { transaction }))) => {
                Err(Trouble::Pending { transaction }.into())
            }
            Err(_) | Ok(Err(Failure::Fault(_))) => Err(Trouble::Pending { transaction: None }.into()),
            Ok(answer) => answer,
        }
    }

    async fn status(&self, id: &PaymentId) -> Result<Option<PaymentStatus>, Trouble> {
        if self.world.stage.planted(Planted::NeverHeardOfIt) {
            return Ok(None);
        }
        let id = *id;
        self.call(move |engine| async move { engine.status(&id).await }).await?
    }
}
