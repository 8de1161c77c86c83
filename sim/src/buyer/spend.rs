//! What is done with a pass: shown for more requests, elsewhere, too often and too late.

use std::sync::Arc;
use std::time::Duration;

use groat_core::ports::Clock;
use groat_wire::pass::{PASS_HEADER, peek};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tokio::task::JoinSet;

use super::send::{Parcel, exchange};
use super::sign::Signed;
use crate::fault::Fault;
use crate::shop::Route;
use crate::world::World;

/// Shows the pass that was given for a payment.
pub(crate) async fn spend(world: &Arc<World>, signed: &Signed) {
    let (id, route) = (signed.id, signed.route);
    let pass = world.notebook.passes().get(&id).and_then(|passes| passes.first().cloned());
    let Some(pass) = pass.filter(|_| world.stage.chance(400)) else { return };
    let Some((expires_at, _)) = peek(&pass) else { return };
    let uses_max = u64::from(world.wares.pass_uses.unwrap_or(u32::MAX));
    let count = world.stage.between(1, 3);
    let mut sent = 0;
    for _ in 0..count {
        world.stage.pause_ms(0, 4_000).await;
        let Some(parcel) = shown(world, &pass, route) else { return };
        sent += 1;
        world.stage.count("pass shown");
        let Some(whole) = exchange(world, parcel).await else { continue };
        let in_time = world.seller.clock.now() < expires_at;
        if whole.told.status == 402 && in_time && sent <= uses_max {
            // While its payment is undone a pass is none.
            if world.chain.is_shaken(&signed.authorization.id()) {
                world.stage.count("a pass without its payment was refused");
                continue;
            }
            let text = format!("{id} {}: {} after {sent} uses", route.path(), whole.told.error);
            world.stage.broken("a good pass lets in", text);
        }
    }
    if world.stage.strikes(Fault::PassMisused) {
        misuse(world, &pass, route, expires_at.0).await;
    }
}

/// At another resource, too often at once, and after its time.
async fn misuse(world: &Arc<World>, pass: &str, route: Route, expires_s: u64) {
    let mut copies = JoinSet::new();
    let elsewhere = Route::ALL.into_iter().find(|other| *other != route);
    for target in [elsewhere.unwrap_or(route), route, route, route] {
        let Some(parcel) = shown(world, pass, target) else { return };
        let world = Arc::clone(world);
        copies.spawn(async move { exchange(&world, parcel).await.is_some() });
    }
    copies.join_all().await;
    if world.stage.chance(300) {
        let left_s = expires_s.saturating_sub(world.seller.clock.now().0);
        tokio::time::sleep(Duration::from_secs(left_s)).await;
        if let Some(parcel) = shown(world, pass, route) {
            exchange(world, parcel).await;
        }
    }
}

fn shown(world: &World, pass: &str, route: Route) -> Option<Parcel> {
    let mut headers = HeaderMap::new();
    if world.stage.chance(500) {
        headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {pass}")).ok()?);
    } else {
        headers.insert(PASS_HEADER, HeaderValue::try_from(pass).ok()?);
    }
    Some(Parcel::to(route, headers))
}
