//! `/v1/webhook_endpoints`: callers say where they want to hear of payments. Errors are problems of RFC 9457.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use groat_core::Fault;
use groat_core::books::{Aggregate, Delivery, EndpointState, EventKind, Subject, WebhookEndpoint};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Service;
use super::body::{json_body, read};
use super::callers::Admitted;
use crate::webhooks::sign::Scheme;
use crate::webhooks::{
    Change, OLD_SECRET_S_MAX, Page, TEST, WebhookError, Webhooks, Wish, kind_of, public_keys, scheme, word_of,
};

/// Deliveries in one answer.
const PAGE: usize = 100;
/// An old secret stays good for so long unless somebody says otherwise.
const OLD_SECRET_S: u64 = 86_400;

pub(super) fn routes() -> Router<Service> {
    const ONE: &str = "/v1/webhook_endpoints/{id}";
    Router::new()
        .route("/v1/webhook_endpoints", get(list).post(create))
        .route(ONE, get(show).patch(change).delete(remove))
        .route(&format!("{ONE}/test"), post(test))
        .route(&format!("{ONE}/deliveries"), get(deliveries))
        .route(&format!("{ONE}/deliveries/{{delivery}}/redeliver"), post(redeliver))
}

/// Whoever asks, and the endpoints.
pub(super) struct Owner {
    name: String,
    webhooks: Webhooks,
}

impl FromRequestParts<Service> for Owner {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Response> {
        let admitted = Admitted::from_request_parts(parts, service).await?;
        let none = || problem(StatusCode::NOT_FOUND, "not_found", "this facilitator sends no webhooks");
        Ok(Self { name: admitted.name().to_owned(), webhooks: service.webhooks.clone().ok_or_else(none)? })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEndpoint {
    url: String,
    #[serde(default)]
    types: Vec<String>,
    compat: Option<String>,
    signature: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangedEndpoint {
    url: Option<String>,
    types: Option<Vec<String>>,
    /// Given as null: none any more.
    #[serde(default, deserialize_with = "given")]
    compat: Option<Option<String>>,
    disabled: Option<bool>,
    #[serde(default)]
    rotate: bool,
    old_secret_s: Option<u64>,
}

fn given<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

async fn create(owner: Owner, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let wish: NewEndpoint = parse(&headers, body).await?;
    let scheme = match wish.signature.as_deref() {
        None | Some("v1") => Scheme::V1,
        Some("v1a") => Scheme::V1a,
        Some(_) => return Err(unfit("signature is v1 (HMAC-SHA256) or v1a (Ed25519)")),
    };
    let types = kinds(&wish.types).map_err(unfit)?;
    let stripe = is_stripe(wish.compat.as_deref()).map_err(unfit)?;
    let wish = Wish { url: wish.url, types, stripe, scheme };
    let (endpoint, secret) = owner.webhooks.create(&owner.name, wish).await.map_err(refused)?;
    Ok(json_body(StatusCode::CREATED, &with_secret(&endpoint, Some(secret))))
}

async fn list(owner: Owner) -> Result<Response, Response> {
    let all = owner.webhooks.list(&owner.name).await.map_err(refused)?;
    let all: Vec<_> = all.iter().map(write).collect();
    Ok(json_body(StatusCode::OK, &json!({ "endpoints": all })))
}

async fn show(owner: Owner, Path(id): Path<String>) -> Result<Response, Response> {
    let endpoint = owner.webhooks.find(&owner.name, &id).await.map_err(refused)?;
    Ok(json_body(StatusCode::OK, &write(&endpoint)))
}

async fn change(
    owner: Owner,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let wish: ChangedEndpoint = parse(&headers, body).await?;
    let rotate = match (wish.rotate, wish.old_secret_s) {
        (true, seconds) => Some(seconds.unwrap_or(OLD_SECRET_S)),
        (false, None) => None,
        (false, Some(_)) => return Err(unfit("old_secret_s goes with \"rotate\": true")),
    };
    if rotate.is_some_and(|seconds| seconds > OLD_SECRET_S_MAX) {
        return Err(unfit("an old secret stays good for at most 604800 seconds"));
    }
    let change = Change {
        url: wish.url,
        types: wish.types.map(|words| kinds(&words)).transpose().map_err(unfit)?,
        stripe: wish.compat.map(|compat| is_stripe(compat.as_deref())).transpose().map_err(unfit)?,
        disabled: wish.disabled,
        rotate,
    };
    let (endpoint, secret) = owner.webhooks.change(&owner.name, &id, change).await.map_err(refused)?;
    Ok(json_body(StatusCode::OK, &with_secret(&endpoint, secret)))
}

async fn remove(owner: Owner, Path(id): Path<String>) -> Result<Response, Response> {
    owner.webhooks.remove(&owner.name, &id).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Its body is `{}`: a web page of somebody else cannot send that media type (threat row H10).
async fn test(
    owner: Owner,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let Nothing {} = parse(&headers, body).await?;
    let delivery = owner.webhooks.test(&owner.name, &id).await.map_err(refused)?;
    Ok(json_body(StatusCode::ACCEPTED, &write_delivery(&delivery)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    after: Option<String>,
}

async fn deliveries(
    owner: Owner,
    Path(id): Path<String>,
    query: Result<Query<Cursor>, QueryRejection>,
) -> Result<Response, Response> {
    let message = "ask with after, the `next` of the last answer, or without it from the start";
    let Query(Cursor { after }) =
        query.map_err(|_| problem(StatusCode::BAD_REQUEST, "invalid_query", message))?;
    let page = owner.webhooks.deliveries(&owner.name, &id, after.as_deref(), PAGE).await;
    let Page { deliveries, next } = page.map_err(refused)?;
    let deliveries: Vec<_> = deliveries.iter().map(write_delivery).collect();
    Ok(json_body(StatusCode::OK, &json!({ "deliveries": deliveries, "next": next })))
}

async fn redeliver(
    owner: Owner,
    Path((id, delivery)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let Nothing {} = parse(&headers, body).await?;
    let delivery = owner.webhooks.redeliver(&owner.name, &id, &delivery).await.map_err(refused)?;
    Ok(json_body(StatusCode::ACCEPTED, &write_delivery(&delivery)))
}

async fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Response> {
    let bytes: Bytes = read(headers, body).await.map_err(|answer| match answer.status() {
        status @ StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            problem(status, "unsupported_media_type", "send uncompressed application/json")
        }
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            problem(status, "payload_too_large", "a body is at most 262144 bytes")
        }
        status @ StatusCode::REQUEST_TIMEOUT => {
            problem(status, "timeout", "the body took longer than 10 seconds")
        }
        status => problem(status, "invalid_payload", "the body could not be read"),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!(
            "the body is not what is expected here (line {} column {}): see /openapi.json",
            error.line(),
            error.column()
        );
        problem(StatusCode::BAD_REQUEST, "invalid_payload", &detail)
    })
}

fn kinds(words: &[String]) -> Result<Vec<EventKind>, &'static str> {
    let kinds: Option<Vec<_>> = words.iter().map(|word| kind_of(word)).collect();
    let mut kinds = kinds.ok_or("types are payment.settled and payment.reorged; none means both")?;
    kinds.sort_by_key(|kind| word_of(*kind));
    kinds.dedup();
    Ok(kinds)
}

fn is_stripe(compat: Option<&str>) -> Result<bool, &'static str> {
    match compat {
        None => Ok(false),
        Some("stripe") => Ok(true),
        Some(_) => Err("compat is stripe, or null"),
    }
}

fn write(endpoint: &WebhookEndpoint) -> Value {
    let (status, why) = match &endpoint.state {
        EndpointState::Disabled { why, .. } => ("disabled", Some(why)),
        EndpointState::Enabled | EndpointState::Removed => ("enabled", None),
    };
    let types: Vec<_> = endpoint.types.iter().map(|kind| word_of(*kind)).collect();
    let old = endpoint.secrets.iter().find_map(|secret| secret.ends_at);
    let scheme = scheme(endpoint);
    let mut body = json!({
        "id": endpoint.id,
        "url": endpoint.url,
        "types": types,
        "compat": endpoint.stripe.then_some("stripe"),
        "signature": scheme.word(),
        "status": status,
        "statusReason": why,
        "createdAt": endpoint.made_at,
        "oldSecretEndsAt": old,
    });
    if scheme == Scheme::V1a {
        body["publicKeys"] = public_keys(endpoint).into();
    }
    body
}

/// The only answer with it.
fn with_secret(endpoint: &WebhookEndpoint, secret: Option<String>) -> Value {
    let mut body = write(endpoint);
    if let (Some(secret), Scheme::V1) = (secret, scheme(endpoint)) {
        body["secret"] = secret.into();
    }
    body
}

fn write_delivery(delivery: &Delivery) -> Value {
    let (word, event) = match &delivery.subject {
        Subject::Event { number, kind } => (word_of(*kind), Some(number.to_string())),
        Subject::Test(_) => (TEST, None),
    };
    let last = delivery
        .last
        .as_ref()
        .map(|tried| json!({ "at": tried.at, "status": tried.status, "problem": tried.problem }));
    json!({
        "id": delivery.id(),
        "endpointId": delivery.endpoint,
        "type": word,
        "sequence": event,
        "state": delivery.state(),
        "createdAt": delivery.made_at,
        "attempts": delivery.attempts,
        "lastAttempt": last,
        "nextAttemptAt": delivery.next_at(),
    })
}

fn refused(error: WebhookError) -> Response {
    let (status, code) = match &error {
        WebhookError::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        WebhookError::Url(_) => (StatusCode::UNPROCESSABLE_ENTITY, "url_not_allowed"),
        WebhookError::Compat => (StatusCode::UNPROCESSABLE_ENTITY, "unfit"),
        WebhookError::TooMany => (StatusCode::CONFLICT, "too_many_endpoints"),
        WebhookError::Disabled => (StatusCode::CONFLICT, "endpoint_disabled"),
        WebhookError::Testing => (StatusCode::CONFLICT, "test_under_way"),
        WebhookError::Cancelled => (StatusCode::CONFLICT, "delivery_cancelled"),
        WebhookError::Store(fault) => return trouble(fault),
    };
    problem(status, code, &error.to_string())
}

/// Trouble of ours. The detail stays in the log (threat row H25).
fn trouble(fault: &Fault) -> Response {
    tracing::warn!(%fault, "cannot answer");
    let detail = "try the same request again after a moment";
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail);
    response.headers_mut().insert(header::RETRY_AFTER, fault.retry_after_s().into());
    response
}

fn unfit(detail: &str) -> Response {
    problem(StatusCode::UNPROCESSABLE_ENTITY, "unfit", detail)
}

/// A problem of RFC 9457; `code` is the stable word for it.
fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "code": code,
    });
    let mut response = json_body(status, &body);
    let media = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
