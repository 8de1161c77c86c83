//! A payment that buys a pass: it is an ordinary payment for the resource, except that the answer is the pass.

use axum::body::Body;
use http::request::Parts;
use http::{HeaderName, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use groat_core::Reason;
use groat_core::books::SaleState;
use groat_wire::idempotency;
use groat_wire::pass::PASS_HEADER;
use groat_wire::token::{Given, is_of_tokens, write_given};

use super::{PaymentService, asked, tokens};
use crate::canonical;
use crate::gate::{self, Begun, Order, Reply, Wanted};

/// What an order may be, in bytes; the codec has a limit of its own.
pub(super) const ORDER_SIZE_BYTES_MAX: usize = 64 * 1024;

impl PaymentService {
    /// Sells a pass for the resource that the path behind the endpoint names, or that the body does.
    pub(super) async fn sell(&self, parts: &Parts, rest: &str, body: Body) -> Result<Response<Body>, Reply> {
        let body = gate::whole(&self.shop, parts, body, ORDER_SIZE_BYTES_MAX).await?;
        let resource = match rest.trim_start_matches('/') {
            "" => resource_of(&body).ok_or_else(|| {
                let message = "name what the token is for: POST to the access_token_endpoint of its 402, or add \
                    `resource` with its URL";
                Reply::error(StatusCode::BAD_REQUEST, "resource_missing", message)
            })?,
            named => named.split_once('/').map(|(method, path)| (method.to_owned(), format!("/{path}"))).unwrap_or_default(),
        };
        let key = idempotency::key(&parts.headers).map_err(|error| {
            Reply::error(StatusCode::BAD_REQUEST, "invalid_idempotency_key", &error.to_string())
        })?;
        let (route, wanted) = self.wanted(parts, &resource.0, &resource.1)?;
        let order = match gate::read_order(route, wanted, &body) {
            Ok(order) => order,
            Err(reply) => return Ok(refused(reply.response())),
        };
        let id = order.id.to_string();
        let answer = self.work_off(key, order).await;
        let (response, is_replayed) = answer.unwrap_or_else(|reply| (reply.response(), false));
        let response = if is_slow(&body) { later(response, &id).await } else { response };
        self.given(response, &id, is_replayed).await
    }

    /// The answer of the gate, and whether the token was given before.
    async fn work_off(&self, key: Option<String>, order: Order) -> Result<(Response<Body>, bool), Reply> {
        let Some(key) = key else {
            let sold = self.shop.sales.load(&order.id).await.map_err(|fault| order.desk.fault(&fault))?;
            let is_sold = sold.is_some_and(|held| matches!(held.sale().state, SaleState::Done { .. }));
            return Ok((gate::buy_pass(order).await?, is_sold));
        };
        let begun = gate::begun(&order).await?;
        self.bind(&key, &order, &begun).await?;
        let is_sold = matches!(begun, Begun::Sold { .. });
        Ok((gate::buy_pass(order).await?, is_sold))
    }

    /// The route and the resource behind a method and a path, as a request for it would have them.
    pub(super) fn wanted(
        &self,
        parts: &Parts,
        method: &str,
        path: &str,
    ) -> Result<(std::sync::Arc<crate::route::Route>, Wanted), Reply> {
        let unknown = || {
            let message = "no passes are sold for this resource here";
            Reply::error(StatusCode::NOT_FOUND, "unknown_resource", message)
        };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| unknown())?;
        let path = canonical::path(path).map_err(|_| unknown())?;
        let route = self.find(&method, &canonical::decoded(&path)).ok_or_else(unknown)?;
        let mut request = Request::new(());
        request.headers_mut().clone_from(&parts.headers);
        *request.uri_mut() = path.parse().map_err(|_| unknown())?;
        let (resource, ()) = request.into_parts();
        let url =
            canonical::request_url(&resource, self.shop.public_url.as_ref()).map_err(gate::wrong_host)?;
        Ok((std::sync::Arc::clone(route), Wanted { method, uri: resource.uri, url }))
    }

    /// The answer of the gate, as the answer to an order.
    async fn given(
        &self,
        response: Response<Body>,
        id: &str,
        is_replayed: bool,
    ) -> Result<Response<Body>, Reply> {
        let (parts, body) = response.into_parts();
        let token = parts.headers.get(PASS_HEADER).and_then(|token| token.to_str().ok());
        let mut reply = match token {
            // Refused, pending or broken: what a payer can do is said already.
            _ if !parts.status.is_success() || parts.status == StatusCode::ACCEPTED => {
                return Ok(refused(Response::from_parts(parts, body)));
            }
            None => return Err(expired()),
            Some(token) => {
                let now = self.shop.now();
                let pass = self.shop.passes.of_token(&self.shop.sales, token, now).await;
                let pass = pass.map_err(tokens::unavailable)?.ok_or_else(expired)?;
                tokens::may_be_given(gate::standing(&self.shop, &pass).await.map_err(tokens::unavailable)?)?;
                let expires_in_s = Some(pass.expires_at.since(now));
                let given = Given { token: token.to_owned(), expires_in_s, transaction: None };
                let metadata = json!({
                    "payment_id": id,
                    "status": "settled",
                    "tx": self.transaction(&parts.headers),
                    "replayed": is_replayed,
                });
                Reply::json(StatusCode::OK, &write_given(&given, metadata))
            }
        };
        // The receipt, as with any paid answer.
        let ours =
            |name: &HeaderName| groat_wire::RESPONSE_HEADERS.contains(&name.as_str()) && *name != PASS_HEADER;
        let receipts = parts.headers.iter().filter(|(name, _)| ours(name));
        reply.headers.extend(receipts.map(|(name, value)| (name.clone(), value.clone())));
        Ok(reply.response())
    }

    fn transaction(&self, headers: &http::HeaderMap) -> Option<String> {
        self.shop.dialects.read_receipt(headers).ok().flatten()?.transaction
    }

    /// The 402 of a resource, for whoever has read only header fields.
    pub(super) fn quote(&self, parts: &Parts, rest: &str) -> Result<Response<Body>, Reply> {
        let query = parts.uri.query();
        let resource = match asked(query, "resource") {
            Some(url) => split(&url, asked(query, "method").as_deref()),
            None => {
                let named = rest.trim_start_matches('/').trim_end_matches("/quote");
                named.split_once('/').map(|(method, path)| (method.to_owned(), format!("/{path}")))
            }
        };
        let (method, path) = resource.ok_or_else(|| {
            let message = "name what is asked about: ?resource=https://host/path";
            Reply::error(StatusCode::BAD_REQUEST, "resource_missing", message)
        })?;
        let (route, wanted) = self.wanted(parts, &method, &path)?;
        Ok(gate::quote(&route, &wanted).response())
    }
}

pub(super) fn expired() -> Reply {
    let message = "this payment has bought a pass whose time is over: sign a new permit";
    Reply::error(StatusCode::GONE, "pass_expired", message)
}

/// Whether an order is of a method whose money takes its time: whoever pays by it asks again and again.
fn is_slow(order: &[u8]) -> bool {
    let kind = |order: Value| Some(!is_of_tokens(order.get("permit")?.get("permit_type")?.as_str()?));
    serde_json::from_slice(order).ok().and_then(kind).unwrap_or_default()
}

/// To those who ask again and again, "not yet" is no failure.
async fn later(response: Response<Body>, id: &str) -> Response<Body> {
    if response.status() != StatusCode::SERVICE_UNAVAILABLE {
        return response;
    }
    let (parts, body) = response.into_parts();
    // An answer of ours, whole and small.
    let body = axum::body::to_bytes(body, ORDER_SIZE_BYTES_MAX).await.unwrap_or_default();
    let told: Option<Value> = serde_json::from_slice(&body).ok();
    let code = told.as_ref().and_then(|told| told.get("error")?.as_str());
    if code != Some(Reason::SettlementPending.code()) {
        return Response::from_parts(parts, Body::from(body));
    }
    Reply::json(StatusCode::ACCEPTED, &json!({ "payment_id": id, "status": "pending" }))
        .retry_after(2)
        .response()
}

/// Those who order read 400, not 402.
fn refused(mut response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::PAYMENT_REQUIRED {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    response
}

/// The method and the path of `{"resource": "https://host/path", "method": "GET"}`.
pub(super) fn resource_of(body: &[u8]) -> Option<(String, String)> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |key| value.get(key).and_then(Value::as_str);
    split(text("resource")?, text("method"))
}

/// `GET https://host/path`, `https://host/path` or `/path`, as method and path.
fn split(resource: &str, method: Option<&str>) -> Option<(String, String)> {
    let (method, url) = resource.split_once(' ').unwrap_or((method.unwrap_or("GET"), resource));
    let path = match url::Url::parse(url) {
        Ok(url) => url.path().to_owned(),
        Err(_) => url.split(['?', '#']).next().filter(|path| path.starts_with('/'))?.to_owned(),
    };
    Some((method.to_owned(), path))
}
