//! The seller's process: the real gate in front of a handler that counts.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use groat_core::ports::{Facilitator, Mechanism};
use groat_core::{Amount, PaymentId};
use groat_seller::{ConfigError, Limits, Paid, Pay, Settle};
use groat_wire::{Dialects, x402_v2};
use http::{Method, Request, Response, StatusCode};
use serde_json::Map;
use tower::util::BoxCloneSyncService;
use tower::{Layer, service_fn};

use crate::chain::Account;
use crate::exact::{Exact, NETWORK};
use crate::fault::Fault;
use crate::life::Life;
use crate::notebook::Run;
use crate::store::SimStore;
use crate::world::{PRICE, World};

/// Where buyers find the seller.
pub(crate) const ORIGIN: &str = "https://shop.example";
/// How long a payment may take, as told to buyers.
pub(crate) const TIMEOUT_S: u64 = 60;

/// What is sold: every method that matters, with the money first or last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A gate, ready to be asked.
pub(crate) type Door = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// What a seller's process offers.
pub(crate) struct Shop {
    doors: Vec<(Route, Door)>,
    pub(crate) pay: Pay,
}

impl Shop {
    pub(crate) fn new(
        world: &Arc<World>,
        life: &Arc<Life>,
        facilitator: Arc<dyn Facilitator>,
    ) -> Result<Self, ConfigError> {
        let mut limits = Limits::default();
        limits.handler_timeout_s = 8;
        let store = SimStore {
            stage: Arc::clone(&world.stage),
            life: Arc::clone(life),
            disk: world.seller.disk.clone(),
        };
        let mechanism: Arc<dyn Mechanism> = Arc::new(Exact { node: None });
        let pay = Pay::builder()
            .facilitator(facilitator)
            .mechanisms(vec![mechanism])
            .store(Arc::new(store))
            .clock(world.seller.clock.clone())
            .dialects(Dialects::new(vec![Arc::new(x402_v2::V2)]))
            .network(NETWORK)
            .pay_to(&Account::SHOP.to_string())
            .timeout_s(TIMEOUT_S)
            .public_url(ORIGIN)
            .limits(limits)
            .build()?;
        let mut doors = Vec::new();
        for route in Route::ALL {
            let asset = Account::TOKEN.to_string();
            let layer = pay
                .route()
                .units(&asset, Amount::from_units(u128::from(PRICE)), Map::new())
                .settle(route.settle())
                .build()?;
            let (world, life) = (Arc::clone(world), Arc::clone(life));
            let handler = service_fn(move |request: Request<Body>| {
                let (world, life) = (Arc::clone(&world), Arc::clone(&life));
                let paid = request.extensions().get::<Paid>().map(|paid| paid.payment_id);
                async move { Ok::<_, Infallible>(handle(&world, &life, route, paid).await) }
            });
            doors.push((route, BoxCloneSyncService::new(layer.layer(handler))));
        }
        Ok(Self { doors, pay })
    }

    pub(crate) fn door(&self, route: Route) -> Option<Door> {
        self.doors.iter().find(|(of, _)| *of == route).map(|(_, door)| door.clone())
    }
}

/// Notes the end of a run that is given up; one whose process died never gets here.
struct Entered<'w> {
    world: &'w World,
    id: PaymentId,
    number: usize,
    run: Run,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.world.notebook.leave(self.id, self.number, self.run);
    }
}

async fn handle(world: &World, life: &Life, route: Route, paid: Option<PaymentId>) -> Response<Body> {
    let stage = &world.stage;
    life.step().await;
    let Some(id) = paid else {
        stage.broken("no run without a payment", route.path().to_owned());
        return Response::new(Body::empty());
    };
    let mut entered = Entered { world, id, number: world.notebook.enter(id, route), run: Run::Dropped };
    stage.note("handler runs", entered.number as u64, || format!("{} {id}", route.path()));
    stage.travel().await;
    life.step().await;
    if stage.strikes(Fault::HandlerHung) {
        stage.pause_ms(8_000, 20_000).await;
    }
    if stage.strikes(Fault::HandlerPanicked) {
        // Without the hook that would print it.
        std::panic::resume_unwind(Box::new("simulated"));
    }
    life.step().await;
    let failed = stage.strikes(Fault::HandlerFailed);
    let status = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    entered.run = Run::Answered(status.as_u16());
    let mut response = Response::new(Body::from(format!("run {} of {id}", entered.number)));
    *response.status_mut() = status;
    response
}
