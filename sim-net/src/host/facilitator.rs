//! A facilitator's process: the real service over the real engine, as the binary wires them.

use std::sync::Arc;
use std::time::Duration;

use groat_chain_evm::{Chain, ChainOptions, ExactEvm, Rpc};
use groat_core::ports::{Clock, Mechanism};
use groat_facilitator::http::{Ready, Service};
use groat_facilitator::{Engine, EngineOptions};

use crate::lines::Node;
use crate::wire::{http, serve};
use crate::world::{CHAIN_ID, World, gas_key};

/// Between two rounds of taking up what faults left open; the binary takes half a minute.
pub(crate) const SWEEP: Duration = Duration::from_secs(10);

pub(crate) async fn run(world: Arc<World>, at: usize) -> turmoil::Result {
    let place = &world.facilitators[at];
    let rpc = Rpc::local(Node::new(http()));
    let key = gas_key(world.shape.ledger_of(at))?;
    let chain = Chain::new(CHAIN_ID, rpc, vec![key], ChainOptions::default());
    let mechanism = Arc::new(ExactEvm::on(vec![chain]));
    let options = EngineOptions {
        wait: Duration::from_secs(8),
        look_interval: Duration::from_secs(2),
        looks_per_broadcast: 3,
        ..EngineOptions::default()
    };
    let clock: Arc<dyn Clock> = place.clock.clone();
    let engine = Engine::new(vec![mechanism.clone()], place.store(), clock, options);
    // The binary gives up when its store is away, and is started again.
    while engine.recover().await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.stage.note("facilitator starts", at as u64, String::new);
    let sweeping = engine.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            let _ = sweeping.recover().await;
        }
    });
    let ready = Ready::default();
    ready.set(true);
    let mechanisms: Vec<Arc<dyn Mechanism>> = vec![mechanism];
    serve(Service::new(Arc::new(engine), mechanisms, String::new, ready).router()).await
}
