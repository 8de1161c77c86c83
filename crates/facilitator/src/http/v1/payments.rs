//! `/v1/payments`: what a buyer has signed is sent for it, for our gas, once.
//!
//! It goes the way of everything that moves money here: the engine writes it down before it sends it, under one nonce, and
//! answers from its book whoever asks again.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use groat_core::books::SettlementState;
use groat_core::ports::{Facilitator, PaymentStatus, RelayOrder};
use groat_core::{Failure, Fault, Offer, Payment, PaymentId, Receipt};
use groat_wire::want_pay::chain_name;
use groat_wire::want_pay::request::{PaymentRequest, SIZE_BYTES_MAX, is_request_id};
use serde_json::{Value, json};

use super::V1;
use super::caller::{Guest, body};
use super::idempotency::{self, Key, Scope};
use super::order::Order;
use super::reply::Reply;
use crate::http::Service;

/// A request in here is at most as deep as in a 402.
const DEPTH_MAX: u8 = 32;

pub(super) async fn relay(
    State(service): State<Service>,
    guest: Guest,
    headers: HeaderMap,
    sent: Body,
) -> Result<Reply, Reply> {
    let key = idempotency::read(&headers)?;
    let bytes = body(&headers, sent).await?;
    let value = groat_wire::json::parse_to_depth(&bytes, "body", 2 * SIZE_BYTES_MAX, DEPTH_MAX);
    let value = value.map_err(|error| Reply::malformed(&error.to_string()))?;
    let request = request(&guest, &value).await?;
    let authorization = value.get("authorization").filter(|value| value.is_object()).cloned();
    let authorization = authorization.ok_or_else(|| {
        Reply::malformed("`authorization` is an object with buyer, validAfter, validBefore and signature")
    })?;
    let key = key.unwrap_or_else(|| Key::Derived(format!("request/{}", request.id)));
    let v1 = guest.v1.clone();
    let caller = guest.admitted.name().to_owned();
    let scope = Scope { caller: &caller, method: "POST", path: "/v1/payments" };
    let work =
        async move { send(&service, &guest, request, authorization).await.unwrap_or_else(|reply| reply) };
    Ok(idempotency::once(&v1, scope, Some(key), &bytes, work).await)
}

/// The request itself, or the id of one that was told of.
async fn request(guest: &Guest, body: &Value) -> Result<PaymentRequest, Reply> {
    match body.get("request") {
        Some(Value::String(id)) if is_request_id(id) => {
            V1::read_request(&guest.v1.told(guest, id).await?.request)
        }
        Some(request @ Value::Object(_)) => V1::read_request(request),
        _ => Err(Reply::malformed("`request` is a Payment Request, or the id of one that was told of here")),
    }
}

async fn send(
    service: &Service,
    guest: &Guest,
    request: PaymentRequest,
    authorization: Value,
) -> Result<Reply, Reply> {
    let v1 = &guest.v1;
    let order = v1.order(request).await?;
    v1.allow(service, guest, &order)?;
    let chain = v1.requests().chain();
    let relayed = RelayOrder {
        network: order.network.clone(),
        asset: order.currency.token.clone(),
        amount: order.amount,
        seller: order.offer.pay_to.clone(),
        id: order.request.id.clone(),
        expires: order.request.expires,
        request_hash: order.request.hash(),
        authorization,
    };
    let unreadable = "`authorization` has buyer (an account), validAfter and validBefore (seconds, as text) and signature \
                      (0x and hex digits)";
    let payment = chain.relayed(&relayed).map_err(|_| Reply::malformed(unreadable))?;
    let offer = Offer { scheme: chain.relay_scheme().to_owned(), ..order.offer.clone() };
    let engine = v1.requests().engine();
    let id = engine.payment_id(&payment, &offer).map_err(|_| Reply::malformed(unreadable))?;
    match settle(service, guest, id, payment, offer).await? {
        Ok(receipt) => Ok(Reply::ok(settled(&order, id, &receipt))),
        Err(Failure::Refused(refusal)) => Err(Reply::refused(&refusal)),
        Err(Failure::Fault(Fault::Pending { transaction })) => Ok(Reply::pending(
            json!({ "id": id.to_string(), "requestId": order.request.id, "tx": transaction }),
            2,
        )),
        Err(Failure::Fault(fault)) => Err(Reply::fault(&fault)),
    }
}

/// By the engine; with the gas of the caller's day where it is bounded and the payment is new.
async fn settle(
    service: &Service,
    guest: &Guest,
    id: PaymentId,
    payment: Payment,
    offer: Offer,
) -> Result<Result<Receipt, Failure>, Reply> {
    let engine = guest.v1.requests().engine();
    let Some(budget) = guest.admitted.budget() else { return Ok(engine.settle(&payment, &offer).await) };
    let known = engine.status(&id).await.map_err(|fault| Reply::fault(&fault))?;
    if known.is_some_and(|status| status.state != SettlementState::Released) {
        return Ok(engine.settle(&payment, &offer).await);
    }
    // Nobody's budget is spent on what is refused without any gas.
    match budget.settle(&service.facilitator, id, payment, offer).await {
        Ok(Some(receipt)) => Ok(Ok(receipt)),
        Ok(None) => {
            let detail = "the gas that may be spent for this API key in a day is spent";
            let problem = Reply::problem(StatusCode::TOO_MANY_REQUESTS, "gas_budget_spent", detail);
            Err(problem.again_in(budget.renewed_in_s()))
        }
        Err(failure) => Ok(Err(failure)),
    }
}

fn settled(order: &Order, id: PaymentId, receipt: &Receipt) -> Value {
    json!({
        "id": id.to_string(),
        "status": "settled",
        "requestId": order.request.id,
        "buyer": receipt.payer,
        "seller": order.offer.pay_to,
        "amount": order.amount.to_decimal(order.currency.decimals),
        "currency": order.currency.symbol,
        "chain": order.request.chain,
        "tx": receipt.transaction,
    })
}

pub(super) async fn by_id(
    State(service): State<Service>,
    guest: Guest,
    Path(id): Path<String>,
) -> Result<Reply, Reply> {
    let id = PaymentId::parse(&id).map_err(|error| Reply::malformed(&error.to_string()))?;
    let status = guest.v1.requests().engine().status(&id).await.map_err(|fault| Reply::fault(&fault))?;
    let Some(status) = status else {
        let detail = "no money was moved for such a payment here";
        return Err(Reply::problem(StatusCode::NOT_FOUND, "payment_not_found", detail));
    };
    let allowed = guest.admitted.allows(&service, &status.network, &status.asset, &status.pay_to);
    if let Err(refusal) = allowed {
        let detail = refusal.message.clone().unwrap_or_default();
        return Err(Reply::problem(StatusCode::FORBIDDEN, refusal.reason.code(), &detail));
    }
    Ok(Reply::ok(view(&guest.v1, &status)))
}

fn view(v1: &V1, status: &PaymentStatus) -> Value {
    let (word, transaction, code) = match &status.state {
        SettlementState::Released => ("released", None, None),
        SettlementState::Submitted { transaction, .. } => ("pending", Some(transaction.as_str()), None),
        SettlementState::Settled(settled) => ("settled", Some(settled.transaction.as_str()), None),
        SettlementState::Failed { reason, transaction } => {
            ("failed", transaction.as_deref(), Some(reason.code()))
        }
    };
    let mut view = json!({
        "id": status.id.to_string(),
        "status": word,
        "buyer": status.payer,
        "seller": status.pay_to,
        "amountBase": status.amount.to_string(),
        "token": status.asset,
        "chain": chain_name(&status.network),
        "tx": transaction,
    });
    let Some(members) = view.as_object_mut() else { return view };
    if let Some(token) = v1.requests().chain().token(&status.network, &status.asset) {
        members.insert("amount".to_owned(), json!(status.amount.to_decimal(token.decimals)));
        members.insert("currency".to_owned(), json!(token.symbol));
    }
    if let SettlementState::Settled(settled) = &status.state {
        members.insert("blockNumber".to_owned(), json!(settled.block));
    }
    if let Some(depth) = &status.depth {
        members.insert("confirmations".to_owned(), json!(depth.confirmations));
    }
    if let Some(code) = code {
        members.insert("error".to_owned(), json!({ "code": code }));
    }
    view
}
