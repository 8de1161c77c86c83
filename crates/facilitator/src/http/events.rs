//! `GET /events`: the outbox, page by page.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use groat_core::books::PaymentEvent;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Service;
use super::body::{error, fault, json_body};
use super::callers::Admitted;

/// Events in one answer.
const PAGE: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    #[serde(default)]
    after: u64,
}

pub(super) async fn after(
    State(service): State<Service>,
    caller: Admitted,
    query: Result<Query<Cursor>, QueryRejection>,
) -> Response {
    let Ok(Query(Cursor { after })) = query else {
        let message = "ask with after, the `next` of the last answer, or without it from the start";
        return error(StatusCode::BAD_REQUEST, "invalid_query", message);
    };
    match service.facilitator.events(after, PAGE).await {
        Ok(events) => {
            // Also when the caller may see none of them.
            let next = events.last().map_or(after, |event| event.number);
            let visible = events
                .iter()
                .filter(|event| caller.allows(&service, &event.network, &event.asset, &event.pay_to).is_ok());
            let events: Vec<Value> = visible.map(write).collect();
            json_body(StatusCode::OK, &json!({ "events": events, "next": next.to_string() }))
        }
        Err(trouble) => fault(&trouble),
    }
}

fn write(event: &PaymentEvent) -> Value {
    let mut written = json!({
        "id": event.number.to_string(),
        "type": event.kind,
        "at": event.at,
        "paymentId": event.payment,
        "network": event.network,
        "asset": event.asset,
        "payer": event.payer,
        "payTo": event.pay_to,
        "amount": event.amount,
        "transaction": event.transaction,
        "errorReason": event.reason,
    });
    if let (Some(request), Some(members)) = (&event.request, written.as_object_mut()) {
        members.insert("request".to_owned(), json!(request));
    }
    written
}
