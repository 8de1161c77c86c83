//! The API of x402-pay/1 (`docs/spec/x402-pay-1.md`): is this request paid, tell of a request, send what a buyer has
//! signed.
//!
//! Errors are problems of RFC 9457. What is said of a proof is no error: 200 with `valid`, or 202 while it is not known.
//! The contract that counts is the one this facilitator is set up with, never one that a request names.

mod caller;
mod idempotency;
mod order;
mod payments;
mod reply;
mod requests;
mod supported;
mod verify;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{get, post};
use groat_core::books::KeptAnswer;
use groat_core::ports::{Clock, PayCurrency, Store};
use groat_core::{Network, Timestamp};
use groat_store::Journal;

use super::Service;
use crate::Requests;

/// What this part of the service needs beside the rest.
#[derive(Clone)]
pub(super) struct V1(Arc<Inner>);

struct Inner {
    requests: Requests,
    answers: Journal<KeptAnswer>,
    clock: Arc<dyn Clock>,
    /// What each contract takes, and when it was asked.
    currencies: Mutex<HashMap<Network, (Timestamp, Vec<PayCurrency>)>>,
}

impl V1 {
    pub(super) fn new(requests: Requests, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            requests,
            answers: Journal::new(Arc::clone(store)),
            clock: Arc::clone(clock),
            currencies: Mutex::default(),
        }))
    }

    fn requests(&self) -> &Requests {
        &self.0.requests
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

/// The routes.
pub(super) fn router() -> Router<Service> {
    Router::new()
        .route("/v1/verify", post(verify::verify))
        .route("/v1/requests", post(requests::tell))
        .route("/v1/requests/{id}", get(requests::by_id))
        .route("/v1/payments", post(payments::relay))
        .route("/v1/payments/{id}", get(payments::by_id))
        .route("/v1/supported", get(supported::supported))
}
