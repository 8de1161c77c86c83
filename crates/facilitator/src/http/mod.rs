//! The facilitator over HTTP, as official clients expect it (x402 facilitator API) and a little more.
//!
//! `POST /verify`, `POST /settle`, `GET /supported`; `GET /payments/{id}` and `GET /payments?network&asset&from&nonce`;
//! `GET /events`, everything under `/v1` ([`v1`]), `/v1/webhook_endpoints`; `GET /livez`, `/readyz`, `/metrics`, `/openapi.json`. Negative verdicts are HTTP 200 with a reason; hostile input
//! is 400, 413 or 415; a missing key is 401; trouble of ours is 503 with `Retry-After`; nothing is ever 500.

mod body;
mod budget;
mod callers;
mod events;
mod payments;
mod v1;
mod verdicts;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use groat_core::ports::{Clock, Facilitator, Mechanism, Store};

use crate::Requests;
use callers::{Admitted, Known};
pub use callers::{Caller, digest};

use crate::webhooks::Webhooks;

/// What the service needs.
#[derive(Clone)]
pub struct Service {
    facilitator: Arc<dyn Facilitator>,
    mechanisms: Arc<[Arc<dyn Mechanism>]>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    ready: Ready,
    callers: Arc<[Arc<Known>]>,
    webhooks: Option<Webhooks>,
    v1: Option<v1::V1>,
}

/// Whether payments can be taken; false until what a crash left open has been taken up.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Service {
    /// A service over a facilitator. `metrics` renders the Prometheus text.
    pub fn new(
        facilitator: Arc<dyn Facilitator>,
        mechanisms: Vec<Arc<dyn Mechanism>>,
        metrics: impl Fn() -> String + Send + Sync + 'static,
        ready: Ready,
    ) -> Self {
        let (mechanisms, metrics) = (mechanisms.into(), Arc::new(metrics));
        Self { facilitator, mechanisms, metrics, ready, callers: Arc::default(), webhooks: None, v1: None }
    }

    /// Answers these callers only, except for what the service is and whether it is well. With none: everybody. Their
    /// budgets lie in this store.
    pub fn callers(self, callers: Vec<Caller>, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Self {
        let known = callers.into_iter().map(|caller| Arc::new(Known::new(caller, store, clock)));
        Self { callers: known.collect(), ..self }
    }

    /// Lets callers have webhooks. They must be of the same callers.
    pub fn webhooks(self, webhooks: Webhooks) -> Self {
        Self { webhooks: Some(webhooks), ..self }
    }

    /// Answers for payments of requests too, under `/v1` (`docs/spec/x402-pay-1.md`). Answers that are given again lie in
    /// this store.
    pub fn paying(self, requests: Requests, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Self {
        Self { v1: Some(v1::V1::new(requests, store, clock)), ..self }
    }

    /// The routes.
    pub fn router(self) -> Router {
        let paying = if self.v1.is_some() { v1::router() } else { Router::new() };
        paying
            .route("/verify", post(verdicts::verify))
            .route("/settle", post(verdicts::settle))
            .route("/supported", get(verdicts::supported))
            .route("/payments", get(payments::by_authorization))
            .route("/payments/{id}", get(payments::by_id))
            .route("/events", get(events::after))
            .merge(webhooks::routes())
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/openapi.json", get(openapi))
            .fallback(|| async {
                body::error(StatusCode::NOT_FOUND, "not_found", "there is nothing here: see /openapi.json")
            })
            .method_not_allowed_fallback(|| async {
                body::error(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "see /openapi.json for the methods",
                )
            })
            .with_state(self)
    }
}

/// Ready means: can settle now (threat row O07).
async fn readyz(State(service): State<Service>) -> Response {
    if !service.ready.is_set() {
        return body::error(StatusCode::SERVICE_UNAVAILABLE, "starting", "open payments are being taken up");
    }
    match service.facilitator.supported().await {
        Ok(supported) if !supported.kinds.is_empty() => "ok\n".into_response(),
        Ok(_) => body::error(StatusCode::SERVICE_UNAVAILABLE, "chain_unavailable", "no chain answers"),
        Err(fault) => body::fault(&fault),
    }
}

async fn metrics(State(service): State<Service>, _: Admitted) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (service.metrics)()).into_response()
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}
