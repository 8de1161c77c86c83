//! `POST /v1/verify`: is this request paid, and by whoever shows this proof?

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use groat_core::books::Mined;
use groat_core::ports::Seen;
use groat_core::{Failure, Fault, Payment, Refusal};
use groat_wire::Dialect;
use groat_wire::want_pay::proof::{Place, Proof, Strictness};
use groat_wire::want_pay::request::{PaymentRequest, SIZE_BYTES_MAX};
use groat_wire::want_pay::{Code, WantPay, pay_header, request};
use http::HeaderMap as Fields;
use serde_json::{Value, json};

use super::V1;
use super::caller::{Guest, body};
use super::idempotency::{self, Scope};
use super::order::Order;
use super::reply::Reply;
use crate::http::Service;

/// A request in here is at most as deep as in a 402.
const DEPTH_MAX: u8 = 32;

/// What is asked.
struct Question {
    proof: String,
    request: Which,
    seller: String,
    consume: bool,
}

enum Which {
    Here(Box<PaymentRequest>),
    Told(String),
}

pub(super) async fn verify(
    State(service): State<Service>,
    guest: Guest,
    headers: HeaderMap,
    sent: Body,
) -> Result<Reply, Reply> {
    let key = idempotency::read(&headers)?;
    let bytes = body(&headers, sent).await?;
    let question = Question::read(&bytes)?;
    let v1 = guest.v1.clone();
    let caller = guest.admitted.name().to_owned();
    let scope = Scope { caller: &caller, method: "POST", path: "/v1/verify" };
    let work = async move { question.answer(&service, &guest).await.unwrap_or_else(|reply| reply) };
    Ok(idempotency::once(&v1, scope, key, &bytes, work).await)
}

impl Question {
    fn read(bytes: &[u8]) -> Result<Self, Reply> {
        let value = groat_wire::json::parse_to_depth(bytes, "body", 2 * SIZE_BYTES_MAX, DEPTH_MAX);
        let value = value.map_err(|error| Reply::malformed(&error.to_string()))?;
        let member = |key: &str| value.get(key).filter(|value| !value.is_null());
        let text = |key: &str| member(key).and_then(Value::as_str).map(str::to_owned);
        let missing = |key: &str| Reply::malformed(&format!("`{key}` is missing or no text"));
        let request = match (member("paymentRequest"), member("requestId")) {
            (Some(request), None) => Which::Here(Box::new(V1::read_request(request)?)),
            (None, Some(Value::String(id))) if request::is_request_id(id) => Which::Told(id.clone()),
            (None, Some(_)) => return Err(Reply::malformed("`requestId` is no id of a request")),
            _ => return Err(Reply::malformed("send exactly one of `paymentRequest` and `requestId`")),
        };
        let consume = match member("consume") {
            None => false,
            Some(Value::Bool(consume)) => *consume,
            Some(_) => return Err(Reply::malformed("`consume` is true or false")),
        };
        Ok(Self {
            proof: text("proof").ok_or_else(|| missing("proof"))?,
            request,
            seller: text("seller").ok_or_else(|| missing("seller"))?,
            consume,
        })
    }

    async fn answer(self, service: &Service, guest: &Guest) -> Result<Reply, Reply> {
        let v1 = &guest.v1;
        let order = v1.order(self.request(guest).await?).await?;
        v1.allow(service, guest, &order)?;
        if !order.pays(v1.requests().chain().as_ref(), &self.seller) {
            return Ok(invalid(Code::WrongSeller, "the request pays another seller"));
        }
        let proof = match Proof::read(&self.proof) {
            Ok(proof) => proof,
            Err(error) => return Ok(invalid(error.code(), &error.to_string())),
        };
        // What the proof says of the place can only be compared with the request; what that does not say, fits nothing.
        let url = order.request.more.resource.as_deref().unwrap_or_default();
        let method = order.request.more.method.as_deref().unwrap_or_default();
        let place = Place { origin: origin(url), method, url };
        if let Err(error) = proof.check(&order.request, &place, Strictness::Profile, v1.now()) {
            return Ok(invalid(error.code(), &error.to_string()));
        }
        let payment = payment(&self.proof, &order).ok_or_else(|| Reply::malformed("`proof` is no token"))?;
        match look(v1, &order, &payment, self.consume).await {
            Ok(settled) => Ok(Reply::ok(settled)),
            Err(Failure::Refused(refusal)) => Ok(refused(&refusal)),
            Err(Failure::Fault(fault @ Fault::Pending { .. })) => {
                Ok(Reply::pending(json!({ "valid": false }), fault.retry_after_s()))
            }
            Err(Failure::Fault(fault)) => Err(Reply::fault(&fault)),
        }
    }

    async fn request(&self, guest: &Guest) -> Result<PaymentRequest, Reply> {
        let v1 = &guest.v1;
        match &self.request {
            Which::Told(id) => V1::read_request(&v1.told(guest, id).await?.request),
            Which::Here(request) => {
                let told = v1.requests().find(guest.admitted.name(), &request.id).await;
                let told = told.map_err(|fault| Reply::fault(&fault))?;
                let is_other = |told: &PaymentRequest| told.hash() != request.hash();
                match told.map(|told| V1::read_request(&told.request)).transpose()? {
                    Some(told) if is_other(&told) => Err(Reply::problem(
                        StatusCode::CONFLICT,
                        "request_conflict",
                        "another request of this id was told of before",
                    )),
                    _ => Ok((**request).clone()),
                }
            }
        }
    }
}

/// The proof as a payment of the scheme, with the last second in which a block may hold what it names.
fn payment(token: &str, order: &Order) -> Option<Payment> {
    let mut fields = Fields::new();
    pay_header::write(token, &mut fields).ok()?;
    let mut payment = WantPay::default().read_payment(&fields).ok()??;
    payment.proof.as_object_mut()?.insert("expires".to_owned(), json!(order.request.expires.0));
    payment.network = order.network.clone();
    Some(payment)
}

/// The chain first, the book last: nothing is taken that could not be told of.
async fn look(v1: &V1, order: &Order, payment: &Payment, consume: bool) -> Result<Value, Failure> {
    let (chain, engine) = (v1.requests().chain(), v1.requests().engine());
    let (verified, seen) = engine.see(chain.as_ref(), payment, &order.offer, engine.now()).await?;
    let Seen { claim, settled } = &seen;
    let mined = Mined::from(settled);
    let topic = order.request.topic();
    let events = chain.paid(&order.network, settled.block, settled.block, Some(&topic)).await?;
    let event = events.into_iter().find(|event| {
        event.paid.transaction == settled.transaction
            && event.paid.block_hash == settled.block_hash
            && event.amount == order.amount
            && chain.same_account(&event.seller, &order.request.seller)
    });
    let depth = chain.depth(&order.network, &mined).await?;
    let gone = || Fault::Pending { transaction: Some(settled.transaction.clone()) };
    // Replaced a moment ago: it may come again.
    let event = event.filter(|_| depth.confirmations > 0).ok_or_else(gone)?;
    let is_first = match consume {
        true => engine.take(verified, &seen, payment).await?,
        false => engine.is_unused(&seen).await?,
    };
    Ok(json!({
        "valid": true,
        "status": "settled",
        "requestId": order.request.id,
        "buyer": claim.payer,
        "seller": claim.pay_to,
        "amount": order.amount.to_decimal(order.currency.decimals),
        "currency": order.currency.symbol,
        "chain": order.request.chain,
        "tx": settled.transaction,
        "blockNumber": settled.block,
        "confirmations": depth.confirmations,
        "settledAt": event.paid.at.0,
        "firstUse": is_first,
    }))
}

fn invalid(code: Code, message: &str) -> Reply {
    verdict(code.as_str(), message)
}

fn refused(refusal: &Refusal) -> Reply {
    let message = refusal.message.clone().unwrap_or_else(|| sentence(refusal.reason.code()).to_owned());
    verdict(refusal.reason.code(), &message)
}

fn verdict(code: &str, message: &str) -> Reply {
    Reply::ok(json!({
        "valid": false,
        "status": "invalid",
        "error": { "code": code, "message": message },
    }))
}

fn sentence(code: &str) -> &'static str {
    match code {
        "expired" => "the payment lies in a block after the request had expired",
        "claims_mismatch" => "another account than the one in `iss` has paid",
        "wrong_seller" => "the transaction pays another seller",
        "amount_mismatch" => "the transaction pays another amount, or in another token",
        "not_settled" => "the transaction does not settle this request",
        _ => "the proof is not good",
    }
}

/// `https://host` of a URL.
fn origin(url: &str) -> &str {
    let Some(at) = url.find("://") else { return url };
    let end = url[at + 3..].find(['/', '?', '#']).map_or(url.len(), |end| at + 3 + end);
    &url[..end]
}
