//! Starting processes, and starting them again.

use std::sync::Arc;
use std::time::Duration;

use groat_core::ports::{Facilitator, Observer, Settler};
use groat_facilitator::{Engine, EngineOptions};

use crate::direct::{ByHash, ByProof};
use crate::exact::Exact;
use crate::fault::Fault;
use crate::life::Life;
use crate::line::Line;
use crate::node::Node;
use crate::shop::Shop;
use crate::store::SimStore;
use crate::world::World;

fn engine(world: &Arc<World>, life: &Arc<Life>) -> Engine {
    let (stage, life, chain) = (Arc::clone(&world.stage), Arc::clone(life), Arc::clone(&world.chain));
    let store =
        SimStore { stage: Arc::clone(&stage), life: Arc::clone(&life), disk: world.facilitator.disk.clone() };
    let node = Some(Node { stage, life, chain });
    let observers: Vec<Arc<dyn Observer>> =
        vec![Arc::new(ByHash { node: node.clone() }), Arc::new(ByProof { node: node.clone() })];
    let settler: Arc<dyn Settler> = Arc::new(Exact { node });
    let options = EngineOptions {
        wait: Duration::from_secs(20),
        look_interval: Duration::from_secs(4),
        looks_per_broadcast: 3,
        ..EngineOptions::default()
    };
    Engine::observing(vec![settler], observers, Arc::new(store), world.facilitator.clock.clone(), options)
}

/// Like the binary: what was left open is taken up before the first request, else the process gives up.
async fn facilitator(world: &Arc<World>) {
    let life = Life::new(Arc::clone(&world.stage), Fault::FacilitatorCrash);
    let engine = engine(world, &life);
    if let Some(Ok(open)) = life.during(engine.recover()).await {
        world.stage.note("facilitator starts", open as u64, String::new);
        world.facilitator.place.open(&life, engine.clone());
        sweep(&life, || engine.recover()).await;
        world.facilitator.place.close();
    }
    life.kill();
    world.stage.note("facilitator is dead", 0, String::new);
}

async fn seller(world: &Arc<World>) {
    let life = Life::new(Arc::clone(&world.stage), Fault::SellerCrash);
    if world.together {
        let engine = engine(world, &life);
        if let Some(Ok(_)) = life.during(engine.recover()).await {
            world.facilitator.place.open(&life, engine.clone());
            sell(world, &life, Arc::new(engine.clone()), Some(engine)).await;
            world.facilitator.place.close();
        }
    } else {
        let remote = Line { world: Arc::clone(world), life: Arc::clone(&life) };
        sell(world, &life, Arc::new(remote), None).await;
    }
    life.kill();
    world.stage.note("seller is dead", 0, String::new);
}

async fn sell(
    world: &Arc<World>,
    life: &Arc<Life>,
    facilitator: Arc<dyn Facilitator>,
    engine: Option<Engine>,
) {
    let shop = match Shop::new(world, life, facilitator) {
        Ok(shop) => shop,
        Err(error) => return world.stage.broken("the shop opens", error.to_string()),
    };
    if let Some(Ok(found)) = life.during(shop.pay.recover()).await {
        world.stage.note("seller starts", found.open, String::new);
        let pay = shop.pay.clone();
        world.seller.place.open(life, shop);
        let recover = || async {
            if let Some(engine) = &engine {
                let _ = engine.recover().await;
            }
            pay.recover().await
        };
        sweep(life, recover).await;
        world.seller.place.close();
    }
}

/// Lives, and takes up what faults left open every half minute, as the binary does.
async fn sweep<F: Future>(life: &Arc<Life>, recover: impl Fn() -> F) {
    let sweeping = async {
        loop {
            tokio::time::sleep(Duration::from_secs(30)).await;
            recover().await;
        }
    };
    life.during(sweeping).await;
}

/// Keeps the processes of this world running.
pub(crate) fn start(world: &Arc<World>) {
    if !world.together {
        let world = Arc::clone(world);
        tokio::spawn(async move {
            loop {
                facilitator(&world).await;
                world.stage.pause_ms(100, 3_000).await;
            }
        });
    }
    let world = Arc::clone(world);
    tokio::spawn(async move {
        loop {
            seller(&world).await;
            world.stage.pause_ms(100, 3_000).await;
        }
    });
}
