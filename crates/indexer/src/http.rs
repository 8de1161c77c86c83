//! The index over HTTP, by the paths and members of the public indexer: numbers of 64 bits and more are text.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query as Parameters, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use groat_core::Timestamp;
use groat_core::books::IndexedPayment;
use serde_json::{Value, json};

use crate::{Indexer, Query};

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 500;

/// `GET /api/events`, `/api/stats`, `/api/indexer-status`, `/health`.
pub fn router(indexer: Arc<Indexer>) -> Router {
    Router::new()
        .route("/api/events", get(events))
        .route("/api/stats", get(stats))
        .route("/api/indexer-status", get(status))
        .route("/health", get(health))
        .with_state(indexer)
        .layer(middleware::map_response(open))
}

/// What is on a chain may be read by any page; and it is another a block later.
async fn open(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

type Given = Parameters<HashMap<String, String>>;

async fn events(State(indexer): State<Arc<Indexer>>, Parameters(given): Given) -> Response {
    let Some(account) = address(&given) else { return no_address() };
    let number = |name: &str| given.get(name).and_then(|text| text.parse::<usize>().ok());
    let limit = number("limit").filter(|limit| *limit > 0).unwrap_or(LIMIT).min(LIMIT_MAX);
    let offset = number("offset").unwrap_or(0);
    let event_type = given.get("type").filter(|kind| matches!(kind.as_str(), "payment" | "subscription"));
    let query = Query { account, event_type: event_type.cloned(), limit, offset };
    let page = indexer.page(&query);
    let events: Vec<Value> = page.payments.iter().map(row).collect();
    Json(json!({ "events": events, "total": page.total, "limit": limit, "offset": offset })).into_response()
}

fn row(payment: &IndexedPayment) -> Value {
    json!({
        "event_type": payment.event_type,
        "service_id": payment.service_id,
        "payer": payment.payer,
        "provider": payment.provider,
        "amount": payment.amount,
        "platform_fee": payment.platform_fee,
        "block_number": payment.block.to_string(),
        "transaction_hash": payment.transaction,
        "log_index": payment.log_index,
        "block_timestamp": payment.block_time.to_string(),
    })
}

async fn stats(State(indexer): State<Arc<Indexer>>, Parameters(given): Given) -> Response {
    let Some(account) = address(&given) else { return no_address() };
    let stats = indexer.stats(&account);
    Json(json!({
        "total_payments_made": stats.made.to_string(),
        "total_payments_received": stats.received.to_string(),
        "total_spent": stats.spent,
        "total_earned": stats.earned,
        "total_fees_paid": stats.fees,
    }))
    .into_response()
}

async fn status(State(indexer): State<Arc<Indexer>>) -> Json<Value> {
    let (block, at) = indexer.status();
    Json(json!({ "last_indexed_block": block.to_string(), "updated_at": rfc3339(at) }))
}

async fn health(State(indexer): State<Arc<Indexer>>) -> Response {
    match indexer.check_store().await {
        Ok(()) => Json(json!({ "status": "ok", "database": "connected" })).into_response(),
        Err(fault) => {
            tracing::warn!(%fault, "the store of the index does not answer");
            let body = Json(json!({ "status": "error", "database": "disconnected" }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

fn address(given: &HashMap<String, String>) -> Option<String> {
    given.get("address").filter(|text| !text.is_empty()).cloned()
}

fn no_address() -> Response {
    let body = Json(json!({ "error": "address query parameter is required" }));
    (StatusCode::BAD_REQUEST, body).into_response()
}

/// `2026-11-21T19:00:00.000Z` (the calendar by Howard Hinnant's `civil_from_days`).
fn rfc3339(at: Timestamp) -> String {
    let (days, second) = (at.0 / 86_400, at.0 % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_programs_write_it() {
        for (second, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696, "2000-02-29T12:34:56.000Z"),
            (1_800_057_600, "2027-01-16T00:00:00.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(Timestamp(second)), text);
        }
    }
}
