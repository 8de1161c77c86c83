//! Who sees a transaction on the chain, or a proof on its way, and shows it too.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::paid::{Spelling, Spent, send, show};
use crate::chain::Account;
use crate::fault::Fault;
use crate::shop::Route;
use crate::tongue::Tongue;
use crate::world::World;

/// Waits for something to be seen.
pub(super) fn lurk(world: &Arc<World>, spent: &Arc<Spent>, route: Route) {
    if !world.stage.strikes(Fault::Thief) {
        return;
    }
    let (world, spent) = (Arc::clone(world), Arc::clone(spent));
    tokio::spawn(async move {
        world.stage.pause_ms(0, 20_000).await;
        match spent.tongue {
            Tongue::Hash => steal_hash(&world, &spent, route).await,
            _ => steal_proof(&world, &spent, route).await,
        }
    });
}

/// A hash is seen by everybody: for the same URL and for others, in another case, at once. No signature but his own.
async fn steal_hash(world: &Arc<World>, spent: &Arc<Spent>, route: Route) {
    let mut tasks = JoinSet::new();
    for target in Route::ALL {
        if target != route && world.stage.chance(700) {
            continue;
        }
        let spelling = Spelling { upper_case: world.stage.chance(500), last: 0 };
        let Some(parcel) = show(world, spent, target, Account::STRANGER, spelling) else { continue };
        let (world, spent) = (Arc::clone(world), Arc::clone(spent));
        let times = world.stage.between(1, 2);
        tasks.spawn(async move {
            for _ in 0..times {
                send(&world, &spent, parcel.clone(), false).await;
                world.stage.pause_ms(500, 3_000).await;
            }
        });
    }
    tasks.join_all().await;
}

/// A proof that was seen is the payer's own bytes: for its URL as they are, for others, and signed by another.
async fn steal_proof(world: &Arc<World>, spent: &Arc<Spent>, route: Route) {
    let Some(seen) = world.notebook.change_outlay(spent.number, |outlay| outlay.seen.clone()) else { return };
    let elsewhere = Route::ALL.into_iter().find(|other| *other != route).unwrap_or(route);
    let forged = show(world, spent, route, Account::STRANGER, Spelling::default());
    let mut parcels = vec![seen.clone(), super::send::Parcel { route: elsewhere, ..seen }];
    parcels.extend(forged);
    // Anybody can write the same signature otherwise; whoever does it before the payer is served takes what is the
    // bearer's, so this thief comes after.
    if world.notebook.change_outlay(spent.number, |outlay| outlay.is_served()) {
        parcels.extend(show(world, spent, route, spent.payer, Spelling { last: 1, upper_case: false }));
    }
    for parcel in parcels {
        send(world, spent, parcel, false).await;
    }
}
