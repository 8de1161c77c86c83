//! A request on its way to a gate and its answer on the way back.

use std::time::Duration;

use bytes::Bytes;
use groat_core::Challenge;
use groat_wire::{Dialect, x402_v2};
use http::{HeaderMap, Request};
use http_body_util::Full;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use turmoil::net::TcpStream;

use super::Buyer;
use super::sign::Signed;
use crate::fault::Fault;
use crate::host::gate::Route;
use crate::notebook::Told;
use crate::wire::{Answer, PORT, exchange};
use crate::world::gate_host;

/// No client waits for ever.
const PATIENCE: Duration = Duration::from_secs(40);

/// Sends a payment to a route and notes what is answered.
pub(crate) async fn send(buyer: &Buyer, signed: &Signed, route: Route) -> Option<Told> {
    send_as(buyer, signed, signed.seller, route, signed.headers.clone()).await
}

/// The same to another seller or with other header fields.
pub(crate) async fn send_as(
    buyer: &Buyer,
    signed: &Signed,
    seller: usize,
    route: Route,
    headers: HeaderMap,
) -> Option<Told> {
    let stage = &buyer.world.stage;
    if stage.strikes(Fault::HangUp) {
        hang_up(buyer, seller, route, &headers).await;
        return None;
    }
    let patience = if stage.strikes(Fault::ClientLeft) {
        Duration::from_millis(stage.between(0, 4_000))
    } else {
        PATIENCE
    };
    let answer = go(buyer, seller, route, headers, signed.wish, patience).await?;
    let told = read(&answer);
    stage.note("answered", u64::from(told.status), || {
        let Told { error, receipt, body, .. } = &told;
        let transaction = receipt.as_ref().map(|receipt| (&receipt.outcome, &receipt.transaction));
        let body = if error.is_empty() { String::from_utf8_lossy(body).into_owned() } else { String::new() };
        format!("{} {} {error}{body} {transaction:?}", signed.id, route.path())
    });
    crate::check::heard(&buyer.world, signed.number, &told);
    buyer.world.notebook.change(signed.number, |deal| deal.answers.push((route, told.clone())));
    Some(told)
}

/// Asks for the challenge of a route.
pub(crate) async fn challenge(buyer: &Buyer, seller: usize, route: Route) -> Option<Challenge> {
    let answer = go(buyer, seller, route, HeaderMap::new(), 0, Duration::from_secs(5)).await?;
    x402_v2::V2.read_challenge(answer.headers(), answer.body()).ok()?
}

/// A gate of the seller; any of them is as good.
fn door(buyer: &Buyer, seller: usize) -> String {
    let doors = buyer.world.shape.doors_of(seller);
    let at = usize::try_from(buyer.world.stage.below(doors.len() as u64)).unwrap_or_default();
    gate_host(doors[at])
}

fn body(route: Route, wish: u64) -> Bytes {
    let text = if route.is_safe() { String::new() } else { format!("wish {wish}, and many more words") };
    text.into()
}

async fn go(
    buyer: &Buyer,
    seller: usize,
    route: Route,
    headers: HeaderMap,
    wish: u64,
    patience: Duration,
) -> Option<Answer> {
    let mut request = Request::new(Full::new(body(route, wish)));
    *request.method_mut() = route.method();
    *request.uri_mut() = format!("http://{}{}", door(buyer, seller), route.path()).parse().ok()?;
    *request.headers_mut() = headers;
    exchange(&buyer.http, request, patience).await
}

/// Sends a part of a request, and goes.
async fn hang_up(buyer: &Buyer, seller: usize, route: Route, headers: &HeaderMap) {
    let mut text = format!("{} {} HTTP/1.1\r\nhost: shop\r\n", route.method(), route.path());
    for (name, value) in headers {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let body = body(route, 0);
    text += &format!("content-length: {}\r\n\r\n{}", body.len(), String::from_utf8_lossy(&body));
    let end = usize::try_from(buyer.world.stage.below(text.len() as u64)).unwrap_or_default();
    let connect = TcpStream::connect((door(buyer, seller), PORT));
    if let Ok(Ok(mut stream)) = tokio::time::timeout(Duration::from_secs(3), connect).await {
        let _ = stream.write_all(&text.as_bytes()[..end]).await;
        buyer.world.stage.pause_ms(0, 500).await;
    }
}

fn read(answer: &Answer) -> Told {
    let body = answer.body().clone();
    let error = match body.first() {
        Some(b'{') => serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|value| Some(value.get("error")?.as_str()?.to_owned()))
            .unwrap_or_default(),
        _ => String::new(),
    };
    let receipt = x402_v2::V2.read_receipt(answer.headers()).ok().flatten();
    Told { status: answer.status().as_u16(), receipt, error, body }
}
