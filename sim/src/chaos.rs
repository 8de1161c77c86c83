//! Troubles that come from outside and stay for a while.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::fault::Fault;
use crate::world::World;

/// Rolls the dice every second, until nothing goes wrong any more.
pub(crate) async fn rage(world: Arc<World>) {
    let stage = &world.stage;
    while !stage.is_calm() {
        stage.pause_ms(900, 1_100).await;
        if stage.strikes(Fault::RpcDown) {
            world.chain.set_down(true);
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                world.stage.pause_ms(1_000, 40_000).await;
                world.chain.set_down(false);
            });
        }
        if stage.strikes(Fault::StoreDown) {
            let disk = if stage.chance(500) { &world.seller.disk } else { &world.facilitator.disk }.clone();
            disk.set_down(true);
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                world.stage.pause_ms(100, 15_000).await;
                disk.set_down(false);
            });
        }
        if stage.strikes(Fault::PowerCut) {
            match stage.below(3) {
                0 => world.facilitator.place.kill(),
                1 => world.seller.place.kill(),
                _ => world.restart(),
            }
        }
        if stage.strikes(Fault::ClockJump) {
            let seconds = stage.between(1, 40);
            let clock = if stage.chance(500) { &world.seller.clock } else { &world.facilitator.clock };
            clock.ahead_s.fetch_add(seconds, Ordering::Relaxed);
        }
    }
}

/// Ends what is still going on.
pub(crate) fn heal(world: &World) {
    world.stage.calm_down();
    world.chain.set_down(false);
    world.seller.disk.set_down(false);
    world.facilitator.disk.set_down(false);
}
