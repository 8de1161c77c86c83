//! One run: storm, calm, and the comparison of everything.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::buyer;
use crate::chaos::{Chaos, LATENCY_MAX};
use crate::check;
use crate::host;
use crate::panics;
use crate::report::Report;
use crate::stage::{Options, Stage};
use crate::world::{BUYERS, INSTANCES, NODE, World, buyer_host, facilitator_host, gate_host};

/// How fine time is.
const TICK: Duration = Duration::from_millis(10);
/// How long after the storm everything must be at rest: an authorization that was signed at its very end is dead
/// (40 s) beyond doubt (60 s), and a minute more (invariant I13).
const CALM_MS_MAX: u64 = 200_000;

/// Runs one seed to its end. Once in a process: the randomness of the whole process is bent to the seed.
pub(crate) fn run(seed: u64, options: Options) -> Report {
    // Hash maps and tokio's own dice ask the machine for randomness.
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    panics::listen();
    let stage = Arc::new(Stage::new(seed, options));
    if let Err(error) = live(seed, &stage) {
        stage.broken("the simulation runs", &error.to_string());
    }
    let count = panics::take();
    if count > 0 {
        stage.broken("nothing panics", &count.to_string());
    }
    stage.take_report()
}

fn live(seed: u64, stage: &Arc<Stage>) -> turmoil::Result {
    let world = World::new(Arc::clone(stage));
    buyer::fill(&world.chain, BUYERS);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(LATENCY_MAX)
        .simulation_duration(Duration::from_hours(1))
        .tcp_capacity(1_024)
        .build();
    let node = Arc::clone(&world);
    sim.host(NODE, move || host::node::run(Arc::clone(&node)));
    for at in 0..INSTANCES {
        let shared = Arc::clone(&world);
        sim.host(facilitator_host(at).as_str(), move || host::facilitator::run(Arc::clone(&shared), at));
        let shared = Arc::clone(&world);
        sim.host(gate_host(at).as_str(), move || host::gate::run(Arc::clone(&shared), at));
    }
    for at in 0..BUYERS {
        sim.client(buyer_host(at).as_str(), buyer::run(Arc::clone(&world), at));
    }
    let mut chaos = Chaos::new(&world);
    let storm_ms = stage.between(25_000, 50_000);
    loop {
        let now_ms = u64::try_from(sim.elapsed().as_millis()).unwrap_or(u64::MAX);
        stage.set_now_ms(now_ms);
        if now_ms >= storm_ms && !stage.is_calm() {
            stage.note("calm", 0, String::new);
            chaos.heal(&mut sim);
        }
        let is_over = now_ms > storm_ms + CALM_MS_MAX;
        let is_second = now_ms % 1_000 == 0;
        let may_rest = || world.notebook.buyers_gone() == BUYERS && check::rests(&world);
        if stage.is_calm() && (is_over || is_second && may_rest()) {
            break;
        }
        chaos.tick(&mut sim);
        world.chain.tick();
        sim.step()?;
    }
    if world.notebook.buyers_gone() < BUYERS {
        stage.broken("every buyer ends", &format!("{} do not", BUYERS - world.notebook.buyers_gone()));
    }
    check::check(&world);
    // Whatever is dropped with the hosts does not count as done.
    stage.set_crashing(true);
    Ok(())
}
