//! One run: storm, calm, a restart, and the comparison of everything.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Planted;
use crate::buyer;
use crate::chain::{Account, mine};
use crate::chaos;
use crate::check;
use crate::direct::AGE_S_MAX;
use crate::host;
use crate::panics;
use crate::shop::TIMEOUT_S;
use crate::stage::Stage;
use crate::trace::Trace;
use crate::world::World;

/// How to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether the trace is to be read by people.
    pub with_text: bool,
    /// A mistake to be caught.
    pub planted: Option<Planted>,
}

/// How long buyers may take after the storm.
const CALM_MAX: Duration = Duration::from_mins(20);

/// Long enough for a process to be up and to have worked off what it found.
const RESTART: Duration = Duration::from_secs(30);

/// Runs one seed to its end.
///
/// # Panics
/// When the runtime cannot be made.
#[must_use]
pub fn run(seed: u64, options: Options) -> Trace {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    panics::listen();
    let mut trace = runtime.expect("a runtime without input and output").block_on(live(seed, options));
    let count = panics::take();
    if count > 0 {
        trace.violations.push(format!("nothing panics: {count}"));
    }
    trace
}

async fn live(seed: u64, options: Options) -> Trace {
    let stage = Arc::new(Stage::new(seed, options));
    let world = World::new(Arc::clone(&stage));
    tokio::spawn(mine(Arc::clone(&stage), Arc::clone(&world.chain)));
    tokio::spawn(chaos::rage(Arc::clone(&world)));
    host::start(&world);
    let mut buyers = JoinSet::new();
    for (wish, purse) in (0..).zip(world.chain.genesis().balances.keys().copied().collect::<Vec<Account>>()) {
        buyers.spawn(buyer::shop(Arc::clone(&world), wish, purse));
    }
    stage.pause_ms(40_000, 120_000).await;
    chaos::heal(&world);
    stage.note("calm", 0, String::new);
    let all_done = timeout(CALM_MAX, async { while buyers.join_next().await.is_some() {} }).await;
    if all_done.is_err() {
        stage.broken("every buyer ends", "somebody still waits".to_owned());
    }
    // Until every authorization and every proof is dead, and the chain has said so.
    sleep(Duration::from_secs(TIMEOUT_S.max(AGE_S_MAX) + 80)).await;
    check::open(&world).await;
    // What nobody asks for any more is taken up by a restart, first of the one who knows where the money is.
    world.facilitator.place.kill();
    sleep(RESTART).await;
    world.seller.place.kill();
    sleep(RESTART).await;
    check::check(&world).await;
    world.close();
    stage.take_trace()
}
