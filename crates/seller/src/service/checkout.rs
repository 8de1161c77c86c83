//! Orders that are paid elsewhere, over HTTP: begun here, told of by whoever takes the money.

use std::sync::Arc;

use axum::body::Body;
use groat_core::Failure;
use groat_core::ports::Checkouts;
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::json;

use super::PaymentService;
use crate::gate::{self, Reply};

const ORDER_SIZE_BYTES_MAX: usize = 4 * 1024;
const WEBHOOK_SIZE_BYTES_MAX: usize = 64 * 1024;

impl PaymentService {
    /// Takes orders that this checkout takes the money for; may be called again for more.
    #[must_use]
    pub fn checkout(self, checkout: Arc<dyn Checkouts>) -> Self {
        Self { checkouts: self.checkouts.iter().cloned().chain([checkout]).collect(), ..self }
    }

    /// Makes an order for a pass: `{"resource": "https://host/path", "method": "GET"}`.
    pub(super) async fn begin(&self, parts: &Parts, body: Body) -> Result<Response<Body>, Reply> {
        let body = gate::whole(&self.shop, parts, body, ORDER_SIZE_BYTES_MAX).await?;
        let (method, path) = super::order::resource_of(&body).ok_or_else(|| {
            let message = "name what the order is for: {\"resource\": \"https://host/path\"}";
            Reply::error(StatusCode::BAD_REQUEST, "resource_missing", message)
        })?;
        let (route, _) = self.wanted(parts, &method, &path)?;
        let of = |checkout: &&Arc<dyn Checkouts>| {
            let network = checkout.network();
            route.fixed_offers().iter().find(|offer| offer.network == *network)
        };
        let found = self.checkouts.iter().find_map(|checkout| Some((checkout, of(&checkout)?)));
        let (checkout, offer) = found.ok_or_else(|| {
            let message = "this resource is not paid by orders";
            Reply::error(StatusCode::NOT_FOUND, "unknown_resource", message)
        })?;
        let order = checkout.begin(offer, self.shop.now()).await.map_err(unavailable)?;
        let decimals = offer.currency.as_ref().map_or(0, |currency| currency.decimals);
        let body = json!({
            "order_id": order.id,
            "payment_link": order.payment_link,
            "expires": order.expires_at.0,
            "amount": order.amount.to_decimal(decimals),
            "currency": order.currency,
        });
        Ok(Reply::json(StatusCode::CREATED, &body).response())
    }

    /// A webhook. What is not signed by whoever takes the money is not heard, and what is signed is asked for again.
    pub(super) async fn webhook(
        &self,
        parts: &Parts,
        name: &str,
        body: Body,
    ) -> Result<Response<Body>, Reply> {
        let named = |checkout: &&Arc<dyn Checkouts>| {
            checkout.network().as_str().split_once(':').is_some_and(|(_, reference)| reference == name)
        };
        let checkout = self.checkouts.iter().find(named).ok_or_else(|| {
            Reply::error(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
        })?;
        let body = gate::whole(&self.shop, parts, body, WEBHOOK_SIZE_BYTES_MAX).await?;
        let fields: Vec<(String, String)> = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        match checkout.hear(&fields, &body, self.shop.now()).await.map_err(unavailable)? {
            Some(_) => Ok(Reply::json(StatusCode::OK, &json!({ "heard": true })).response()),
            None => {
                let message = "this is not signed by whoever takes the money, or about no order of ours";
                Err(Reply::error(StatusCode::UNAUTHORIZED, "invalid_webhook", message))
            }
        }
    }
}

fn unavailable(failure: Failure) -> Reply {
    tracing::warn!(%failure, "a checkout does not work");
    let message = "whoever takes the money cannot be reached: try again later";
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, "checkout_unavailable", message).retry_after(5)
}
