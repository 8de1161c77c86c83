//! A request on its way to the seller and its answer on the way back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use groat_core::Challenge;
use groat_core::ports::Clock;
use groat_wire::pass::PASS_HEADER;
use groat_wire::{Dialect, token, x402_v2};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::sign::Signed;
use crate::chain::fnv;
use crate::fault::Fault;
use crate::notebook::{GIVEN, Told};
use crate::shop::{Arrived, Route, Shop, TOKEN_PATH};
use crate::tongue::Tongue;
use crate::world::{Live, World};

/// What a buyer was told.
pub(crate) type Answer = Told;

/// No client waits for ever.
const PATIENCE_MS: u64 = 100_000;

/// A request before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    /// The route, or the desk where passes are sold for it.
    pub(crate) route: Route,
    pub(crate) is_order: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Parcel {
    /// A request for a route.
    pub(crate) fn to(route: Route, headers: HeaderMap) -> Self {
        Self { route, is_order: false, headers, body: Bytes::new() }
    }

    /// An order of a pass for a route.
    pub(crate) fn order(route: Route, body: Bytes) -> Self {
        Self { route, is_order: true, headers: HeaderMap::new(), body }
    }

    /// The same for requests of the same bytes.
    pub(crate) fn print(&self) -> u64 {
        let mut fields: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        fields.sort_unstable();
        let mut bytes = format!("{} {}", self.route.scope(), self.is_order).into_bytes();
        for (name, value) in fields {
            bytes.extend([name.as_bytes(), &[0], value, &[0]].concat());
        }
        bytes.extend_from_slice(&self.body);
        fnv(&bytes)
    }

    fn request(&self, now_s: u64) -> Option<Request<Body>> {
        let path = match self.is_order {
            true => format!("{TOKEN_PATH}/{}{}", self.route.method(), self.route.path()),
            false => self.route.path().to_owned(),
        };
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = if self.is_order { Method::POST } else { self.route.method() };
        *request.uri_mut() = path.parse().ok()?;
        request.headers_mut().clone_from(&self.headers);
        request.extensions_mut().insert(Arrived(now_s));
        Some(request)
    }
}

/// Sends a payment to a route and notes what is answered, also when the answer does not arrive.
pub(crate) async fn send(world: &Arc<World>, signed: &Signed, route: Route) -> Option<Answer> {
    send_as(world, signed, Parcel { route, ..signed.parcel.clone() }).await
}

/// The same as another request.
pub(crate) async fn send_as(world: &Arc<World>, signed: &Signed, parcel: Parcel) -> Option<Answer> {
    // The dice are thrown before the wait: several copies may be answered at once, in any order.
    let lost = world.stage.strikes(Fault::AnswerLost);
    let route = parcel.route;
    let told = exchange(world, parcel).await?.told;
    if let Some(pass) = &told.pass {
        world.notebook.give(signed.id, pass.clone());
    }
    world.notebook.change(signed.number, |deal| deal.answers.push((route, told.clone())));
    if lost { None } else { Some(told) }
}

/// Asks for the challenge of a route, in one language.
pub(crate) async fn challenge(world: &Arc<World>, route: Route, tongue: Tongue) -> Option<Challenge> {
    let whole = exchange(world, Parcel::to(route, HeaderMap::new())).await?;
    tongue.dialect().read_challenge(&whole.headers, &whole.told.body).ok()?
}

/// An answer with its fields.
pub(crate) struct Whole {
    headers: HeaderMap,
    pub(crate) told: Told,
}

pub(crate) async fn exchange(world: &Arc<World>, parcel: Parcel) -> Option<Whole> {
    let stage = &world.stage;
    if stage.strikes(Fault::RequestLost) {
        stage.pause_ms(100, 5_000).await;
        return None;
    }
    if stage.strikes(Fault::RequestDelayed) {
        stage.pause_ms(100, 8_000).await;
    }
    stage.travel().await;
    let door = |live: &Arc<Live<Shop>>| match parcel.is_order {
        true => Some(live.service.desk.clone()),
        false => live.service.door(parcel.route),
    };
    let Some((live, door)) = world.seller.place.live().and_then(|live| door(&live).map(|door| (live, door)))
    else {
        stage.pause_ms(50, 500).await;
        return None;
    };
    let request = parcel.request(world.seller.clock.now().0)?;
    let work = async move {
        let Ok(response) = door.oneshot(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(read(parts.status.as_u16(), parts.headers, body))
    };
    let patience_ms = if stage.strikes(Fault::ClientLeft) { stage.between(0, 4_000) } else { PATIENCE_MS };
    let answer = tokio::time::timeout(Duration::from_millis(patience_ms), live.life.during(work)).await;
    let whole = answer.ok().flatten().flatten()?;
    stage.note("answered", u64::from(whole.told.status), || {
        let Told { error, receipt, body, .. } = &whole.told;
        let transaction = receipt.as_ref().map(|receipt| (&receipt.outcome, &receipt.transaction));
        let body = if error.is_empty() { String::from_utf8_lossy(body).into_owned() } else { String::new() };
        format!("{} {error}{body} {transaction:?}", parcel.route.path())
    });
    Some(whole)
}

fn read(status: u16, headers: HeaderMap, body: Bytes) -> Whole {
    let value = match body.first() {
        Some(b'{') => serde_json::from_slice::<Value>(&body).ok(),
        _ => None,
    };
    let error = value.and_then(|value| Some(value.get("error")?.as_str()?.to_owned())).unwrap_or_default();
    let receipt = x402_v2::V2.read_receipt(&headers).ok().flatten();
    let given = match status {
        200 if body.first() == Some(&b'{') => token::Token.read_given(&body).ok().flatten(),
        _ => None,
    };
    let pass = headers.get(PASS_HEADER).and_then(|pass| pass.to_str().ok()).map(str::to_owned);
    let pass = pass.or(given.as_ref().map(|given| given.token.clone()));
    let body = given.map_or(body, |given| [GIVEN, given.token.as_bytes()].concat().into());
    let is_wait = headers.contains_key(RETRY_AFTER);
    Whole { told: Told { status, receipt, error, body, pass, is_wait }, headers }
}
