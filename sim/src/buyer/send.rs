//! A request on its way to the seller and its answer on the way back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use groat_core::Challenge;
use groat_wire::{Dialect, x402_v2};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::sign::Signed;
use crate::fault::Fault;
use crate::notebook::Told;
use crate::shop::Route;
use crate::world::World;

/// What a buyer was told.
pub(crate) type Answer = Told;

/// No client waits for ever.
const PATIENCE_MS: u64 = 100_000;

/// Sends a payment to a route and notes what is answered, also when the answer does not arrive.
pub(crate) async fn send(world: &Arc<World>, signed: &Signed, route: Route) -> Option<Answer> {
    send_as(world, signed, route, signed.headers.clone()).await
}

/// The same with other header fields.
pub(crate) async fn send_as(
    world: &Arc<World>,
    signed: &Signed,
    route: Route,
    headers: HeaderMap,
) -> Option<Answer> {
    // The dice are thrown before the wait: several copies may be answered at once, in any order.
    let lost = world.stage.strikes(Fault::AnswerLost);
    let told = exchange(world, route, headers).await?.told;
    world.notebook.change(signed.number, |deal| deal.answers.push((route, told.clone())));
    if lost { None } else { Some(told) }
}

/// Asks for the challenge of a route.
pub(crate) async fn challenge(world: &Arc<World>, route: Route) -> Option<Challenge> {
    let whole = exchange(world, route, HeaderMap::new()).await?;
    x402_v2::V2.read_challenge(&whole.headers, &whole.told.body).ok()?
}

/// An answer with its fields.
pub(crate) struct Whole {
    headers: HeaderMap,
    told: Told,
}

pub(crate) async fn exchange(world: &Arc<World>, route: Route, headers: HeaderMap) -> Option<Whole> {
    let stage = &world.stage;
    if stage.strikes(Fault::RequestLost) {
        stage.pause_ms(100, 5_000).await;
        return None;
    }
    if stage.strikes(Fault::RequestDelayed) {
        stage.pause_ms(100, 8_000).await;
    }
    stage.travel().await;
    let Some((live, door)) =
        world.seller.place.live().and_then(|live| live.service.door(route).map(|door| (live, door)))
    else {
        stage.pause_ms(50, 500).await;
        return None;
    };
    let mut request = Request::new(Body::empty());
    *request.method_mut() = route.method();
    *request.uri_mut() = http::Uri::from_static(route.path());
    *request.headers_mut() = headers;
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
        format!("{} {error}{body} {transaction:?}", route.path())
    });
    Some(whole)
}

fn read(status: u16, headers: HeaderMap, body: Bytes) -> Whole {
    let error = match body.first() {
        Some(b'{') => serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|value| Some(value.get("error")?.as_str()?.to_owned()))
            .unwrap_or_default(),
        _ => String::new(),
    };
    let receipt = x402_v2::V2.read_receipt(&headers).ok().flatten();
    Whole { told: Told { status, receipt, error, body }, headers }
}
