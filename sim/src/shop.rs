//! The seller's process: the real gate in front of a handler that counts.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use groat_core::offer::Ask;
use groat_core::ports::{Facilitator, Mechanism, Random};
use groat_core::{Amount, Network, PassTerms, PaymentId, Terms};
use groat_seller::{ConfigError, Limits, Paid, PassKey, Pay, PaymentService, Settle};
use groat_wire::{agentxpay, want_pay};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use tower::util::BoxCloneSyncService;
use tower::{Layer, service_fn};

use crate::Planted;
use crate::chain::Account;
use crate::dice::Dice;
use crate::direct::{ByHash, ByProof, NATIVE, service_terms};
use crate::exact::{Exact, NETWORK};
use crate::fault::Fault;
use crate::life::Life;
use crate::notebook::{PassRun, Run};
use crate::store::SimStore;
use crate::tongue;
use crate::world::{PRICE, World};

/// Where buyers find the seller.
pub(crate) const ORIGIN: &str = "https://shop.example";
/// How long a payment may take, as told to buyers.
pub(crate) const TIMEOUT_S: u64 = 60;

/// Where passes are sold.
pub(crate) const TOKEN_PATH: &str = "/token";
/// What the key for passes is made of.
pub(crate) const PASS_SEED: [u8; 32] = [9; 32];

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

    /// The method and the path.
    pub(crate) fn scope(self) -> String {
        format!("{} {}", self.method(), self.path())
    }

    /// The service that a direct payment has to be for.
    pub(crate) fn service(self) -> u64 {
        match self {
            Self::GetAfter | Self::PostBefore => 1,
            Self::GetBefore | Self::PostAfter => 2,
        }
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
    /// Where passes are sold, and payments asked about.
    pub(crate) desk: Door,
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
        let mechanisms: Vec<Arc<dyn Mechanism>> = vec![
            Arc::new(Exact { node: None }),
            Arc::new(ByHash { node: None }),
            Arc::new(ByProof { node: None }),
        ];
        let dialects = tongue::spoken()?;
        let pass_key = PassKey::from_seed(&PASS_SEED).map_err(|_| ConfigError::Missing("pass_key"))?;
        let pay = Pay::builder()
            .facilitator(facilitator)
            .mechanisms(mechanisms)
            .store(Arc::new(store))
            .clock(world.seller.clock.clone())
            .random(random(world))
            .dialects(dialects)
            .pass_key(pass_key)
            .token_path(TOKEN_PATH)
            .network(NETWORK)
            .pay_to(&Account::SHOP.to_string())
            .timeout_s(TIMEOUT_S)
            .public_url(ORIGIN)
            .limits(limits)
            .build()?;
        let mut doors = Vec::new();
        let mut desk = PaymentService::new(&pay);
        let price = Amount::from_units(u128::from(PRICE));
        for route in Route::ALL {
            let layer = pay
                .route()
                .units(&Account::TOKEN.to_string(), price, domain())
                .ask(by_hash(world, route, price)?)
                .ask(by_proof(price)?)
                .settle(route.settle())
                .pass(pass_terms(world))
                .build()?;
            desk = desk.route(&route.scope(), &layer)?;
            let (world, life) = (Arc::clone(world), Arc::clone(life));
            let handler = service_fn(move |request: Request<Body>| {
                let (world, life) = (Arc::clone(&world), Arc::clone(&life));
                let paid = request.extensions().get::<Paid>().map(|paid| (paid.payment_id, paid.by_pass));
                let arrived_s = request.extensions().get::<Arrived>().map_or(0, |arrived| arrived.0);
                async move { Ok::<_, Infallible>(handle(&world, &life, route, paid, arrived_s).await) }
            });
            doors.push((route, BoxCloneSyncService::new(layer.layer(handler))));
        }
        Ok(Self { doors, desk: BoxCloneSyncService::new(desk), pay })
    }

    pub(crate) fn door(&self, route: Route) -> Option<Door> {
        self.doors.iter().find(|(of, _)| *of == route).map(|(_, door)| door.clone())
    }
}

/// What a token is called where it is signed for.
fn domain() -> Map<String, Value> {
    [("name", "Dollar"), ("version", "2")]
        .map(|(key, text)| (key.to_owned(), json!(text)))
        .into_iter()
        .collect()
}

fn terms(
    scheme: &str,
    asset: &str,
    amount: Amount,
    extra: Map<String, Value>,
    pay_to: Account,
) -> Result<Terms, ConfigError> {
    Ok(Terms {
        scheme: scheme.to_owned(),
        network: Network::parse(NETWORK).map_err(|_| ConfigError::Missing("network"))?,
        price: Ask::Units { asset: asset.to_owned(), amount, extra },
        pay_to: pay_to.to_string(),
        timeout_s: TIMEOUT_S,
    })
}

fn by_hash(world: &World, route: Route, price: Amount) -> Result<Terms, ConfigError> {
    let extra = service_terms(route.service(), world.wares.bound);
    terms(agentxpay::SCHEME, NATIVE, price, extra, Account::MANAGER)
}

fn by_proof(price: Amount) -> Result<Terms, ConfigError> {
    terms(want_pay::SCHEME, &Account::TOKEN.to_string(), price, Map::new(), Account::SHOP)
}

fn pass_terms(world: &World) -> PassTerms {
    let scope = world.stage.planted(Planted::WidePasses).then(|| "everything".to_owned());
    PassTerms { ttl_s: world.wares.pass_ttl_s, scope, uses: world.wares.pass_uses }
}

/// When a request came, by the clock of the seller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived(pub(crate) u64);

/// Notes the end of a run that is given up; one whose process died never gets here.
struct Entered<'w> {
    world: &'w World,
    id: PaymentId,
    by_pass: bool,
    number: usize,
    run: Run,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if self.by_pass {
            self.world.notebook.leave_by_pass(self.number, self.run);
        } else {
            self.world.notebook.leave(self.id, self.number, self.run);
        }
    }
}

async fn handle(
    world: &World,
    life: &Life,
    route: Route,
    paid: Option<(PaymentId, bool)>,
    arrived_s: u64,
) -> Response<Body> {
    let stage = &world.stage;
    life.step().await;
    let Some((id, by_pass)) = paid else {
        stage.broken("no run without a payment", route.path().to_owned());
        return Response::new(Body::empty());
    };
    let number = match by_pass {
        true => world.notebook.enter_by_pass(PassRun { pass: id, route, arrived_s, run: Run::CutOff }),
        false => world.notebook.enter(id, route),
    };
    let mut entered = Entered { world, id, by_pass, number, run: Run::Dropped };
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

/// What nobody can guess follows from the run: the same seed is the same run.
fn random(world: &Arc<World>) -> Arc<dyn Random> {
    let world = Arc::clone(world);
    Arc::new(move |bytes: &mut [u8]| {
        let mut dice = Dice::new(world.challenges.fetch_add(1, Ordering::Relaxed));
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&dice.next().to_be_bytes()[..part.len()]));
        Ok(())
    })
}
