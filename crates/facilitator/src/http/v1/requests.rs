//! `/v1/requests`: a seller tells of a request, and anybody with the same key asks how it stands.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use groat_core::books::{Asked, AskedState, Mined};
use groat_wire::want_pay::request::{PaymentRequest, SIZE_BYTES_MAX, is_request_id};
use serde_json::{Value, json};

use super::V1;
use super::caller::{Guest, body};
use super::idempotency::{self, Scope};
use super::reply::Reply;
use crate::http::Service;
use crate::requests::{Told, standing};

/// A request is at most as deep as in a 402.
const DEPTH_MAX: u8 = 32;

pub(super) async fn tell(
    State(service): State<Service>,
    guest: Guest,
    headers: HeaderMap,
    sent: Body,
) -> Result<Reply, Reply> {
    let key = idempotency::read(&headers)?;
    let bytes = body(&headers, sent).await?;
    let value = groat_wire::json::parse_to_depth(&bytes, "body", SIZE_BYTES_MAX, DEPTH_MAX);
    let mut request = V1::read_request(&value.map_err(|error| Reply::malformed(&error.to_string()))?)?;
    // Each of them is a request of its own.
    request.more.alternatives.clear();
    request.more.error = None;
    let v1 = guest.v1.clone();
    let caller = guest.admitted.name().to_owned();
    let scope = Scope { caller: &caller, method: "POST", path: "/v1/requests" };
    let work = async move { write(&service, &guest, request).await.unwrap_or_else(|reply| reply) };
    Ok(idempotency::once(&v1, scope, key, &bytes, work).await)
}

async fn write(service: &Service, guest: &Guest, request: PaymentRequest) -> Result<Reply, Reply> {
    let v1 = &guest.v1;
    let now = v1.now();
    let order = v1.order(request).await?;
    v1.allow(service, guest, &order)?;
    let caller = guest.admitted.name();
    if let Err(problem) = order.request.payable(now) {
        // It may have been told of in its time, and the answer lost.
        let known = v1.requests().find(caller, &order.request.id).await;
        match known.map_err(|fault| Reply::fault(&fault))? {
            Some(known) if known.request == Value::Object(order.request.members()) => {
                return Ok(Reply::ok(view(v1, &known).await));
            }
            _ => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Err(Reply::problem(status, "expired", &problem.to_string()));
            }
        }
    }
    let asked = Asked {
        topic: order.request.topic(),
        caller: caller.to_owned(),
        id: order.request.id.clone(),
        network: order.network.clone(),
        asset: order.currency.token.clone(),
        currency: order.currency.symbol.clone(),
        seller: order.offer.pay_to.clone(),
        amount: order.amount,
        expires: order.request.expires,
        request: Value::Object(order.request.members()),
        asked_at: now,
        searched: false,
        state: AskedState::Open,
    };
    match v1.requests().tell(asked).await.map_err(|fault| Reply::fault(&fault))? {
        Told::New(asked) => Ok(Reply::new(StatusCode::CREATED, view(v1, &asked).await)),
        Told::Known(asked) => Ok(Reply::ok(view(v1, &asked).await)),
        Told::Other => Err(Reply::problem(
            StatusCode::CONFLICT,
            "request_conflict",
            "another request of this id was told of before: ids are used once",
        )),
        Told::Full => {
            let detail = "too many requests wait for their payment: tell of this one later";
            Err(Reply::problem(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).again_in(60))
        }
    }
}

pub(super) async fn by_id(guest: Guest, Path(id): Path<String>) -> Result<Reply, Reply> {
    if !is_request_id(&id) {
        return Err(Reply::malformed("an id is 1 to 64 letters, digits, - and _"));
    }
    let asked = guest.v1.told(&guest, &id).await?;
    Ok(Reply::ok(view(&guest.v1, &asked).await))
}

async fn view(v1: &V1, asked: &Asked) -> Value {
    let mut view = json!({
        "id": asked.id,
        "state": standing(asked, v1.now()),
        "seller": asked.seller,
        "amount": asked.request["amount"],
        "currency": asked.currency,
        "chain": asked.request["chain"],
        "expires": asked.expires.0,
    });
    if let (Some(paid), Some(members)) = (asked.paid(), view.as_object_mut()) {
        members.insert("buyer".to_owned(), json!(paid.buyer));
        members.insert("tx".to_owned(), json!(paid.transaction));
        members.insert("blockNumber".to_owned(), json!(paid.block));
        members.insert("logIndex".to_owned(), json!(paid.index));
        members.insert("settledAt".to_owned(), json!(paid.at.0));
        let mined = Mined::from(paid);
        // Left out while the node cannot tell.
        if let Ok(depth) = v1.requests().chain().depth(&asked.network, &mined).await {
            members.insert("confirmations".to_owned(), json!(depth.confirmations));
        }
    }
    view
}
