//! A seller's process: the real gate in front of handlers that are counted.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use groat_chain_evm::ExactEvm;
use groat_core::ports::{Facilitator, Mechanism};
use groat_facilitator::Remote;
use groat_seller::{Limits, Paid, Pay, Settle};
use http::{Method, StatusCode};

use super::facilitator::SWEEP;
use crate::fault::Fault;
use crate::lines::{FACILITATORS, Post};
use crate::notebook::{Run, RunKey};
use crate::wire::{http, serve};
use crate::world::{NETWORK, PAYEES, Shape, World};

/// How long a payment may take, as told to buyers.
pub(crate) const TIMEOUT_S: u64 = 40;

/// Between two of its signs of life.
const BEAT: Duration = Duration::from_secs(1);

/// What is sold: every method that matters, with the money first or last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    GetAfter,
    GetBefore,
    PostBefore,
    PostAfter,
}

impl Route {
    pub(crate) const ALL: [Self; 4] = [Self::GetAfter, Self::GetBefore, Self::PostBefore, Self::PostAfter];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::GetAfter => "/get/after",
            Self::GetBefore => "/get/before",
            Self::PostBefore => "/post/before",
            Self::PostAfter => "/post/after",
        }
    }

    pub(crate) fn method(self) -> Method {
        if self.is_safe() { Method::GET } else { Method::POST }
    }

    pub(crate) fn is_safe(self) -> bool {
        matches!(self, Self::GetAfter | Self::GetBefore)
    }

    /// Whether the money comes before the handler.
    pub(crate) fn pays_first(self) -> bool {
        matches!(self, Self::GetBefore | Self::PostBefore)
    }

    fn settle(self) -> Settle {
        if self.pays_first() { Settle::Before } else { Settle::After }
    }
}

#[derive(Clone)]
struct Shop {
    world: Arc<World>,
    seller: usize,
    route: Route,
}

pub(crate) async fn run(world: Arc<World>, at: usize) -> turmoil::Result {
    let pay = pay(&world, at)?;
    while pay.recover().await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.stage.note("gate starts", at as u64, String::new);
    let beating = pay.clone();
    tokio::spawn(async move {
        loop {
            let _ = beating.beat().await;
            tokio::time::sleep(BEAT).await;
        }
    });
    let sweeping = pay.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            let _ = sweeping.recover().await;
        }
    });
    let mut router = Router::new();
    for route in Route::ALL {
        let shop = Shop { world: Arc::clone(&world), seller: world.shape.seller_of(at), route };
        let handler: MethodRouter<Shop> = if route.is_safe() { get(handle) } else { post(handle) };
        let layer = pay.route().price("$0.01").settle(route.settle()).build()?;
        router = router.route(route.path(), handler.with_state(shop).layer(layer));
    }
    serve(router).await
}

fn pay(world: &Arc<World>, at: usize) -> Result<Pay, groat_seller::ConfigError> {
    let place = &world.gates[at];
    let seller = world.shape.seller_of(at);
    let mut limits = Limits::default();
    limits.verify_timeout_s = 4;
    limits.settle_timeout_s = 10;
    limits.handler_timeout_s = 4;
    limits.wait_timeout_s = 30;
    // More than the longest work: verify, handler and its body, two settlements with a look into the book.
    limits.lease_s = if world.shape == Shape::OneSeller { 45 } else { 0 };
    let mechanisms: Vec<Arc<dyn Mechanism>> = vec![Arc::new(ExactEvm::offline())];
    let post = Post {
        stage: Arc::clone(&world.stage),
        http: http(),
        hosts: world.shape.facilitators_of(at),
        is_foreign: world.is_foreign,
    };
    let facilitator: Arc<dyn Facilitator> =
        Arc::new(Remote::over(Arc::new(post), FACILITATORS, mechanisms.clone()));
    // As the binary does: gates that share a book tell each other that they live.
    let mut builder = Pay::builder();
    if world.shape == Shape::OneSeller {
        builder = builder.instance(&format!("gate-{at}-{:016x}", world.stage.below(u64::MAX)));
    }
    builder
        .facilitator(facilitator)
        .mechanisms(mechanisms)
        .store(place.store())
        .clock(place.clock.clone())
        .network(NETWORK)
        .pay_to(PAYEES[seller])
        .timeout_s(TIMEOUT_S)
        .public_url(&format!("http://shop-{seller}"))
        .limits(limits)
        .build()
}

/// Notes the end of a run that is given up; one whose process died never gets here.
struct Entered {
    shop: Shop,
    key: RunKey,
    number: usize,
    run: Run,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A crash drops everything, and nobody writes anything down then.
        if !self.shop.world.stage.is_crashing() {
            self.shop.world.notebook.leave(self.key, self.number, self.run);
        }
    }
}

async fn handle(State(shop): State<Shop>, paid: Paid) -> Response {
    let stage = Arc::clone(&shop.world.stage);
    let key = (shop.seller, paid.payment_id);
    let number = shop.world.notebook.enter(key, shop.route);
    stage.note("handler runs", number as u64, || format!("{} {}", shop.route.path(), paid.payment_id));
    let mut entered = Entered { shop, key, number, run: Run::Dropped };
    stage.pause_ms(0, 300).await;
    if stage.strikes(Fault::HandlerHung) {
        stage.pause_ms(4_000, 9_000).await;
    }
    if stage.strikes(Fault::HandlerPanicked) {
        // Without the hook that would print it.
        std::panic::resume_unwind(Box::new("simulated"));
    }
    let failed = stage.strikes(Fault::HandlerFailed);
    let status = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    entered.run = Run::Answered(status.as_u16());
    let mut response = Response::new(Body::from(format!("run {number} of {}", paid.payment_id)));
    *response.status_mut() = status;
    response
}
