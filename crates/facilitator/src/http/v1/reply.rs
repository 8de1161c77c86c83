//! An answer before it is written: a status, JSON, and when to ask again.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use groat_core::{Fault, Refusal};
use serde_json::{Value, json};

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    pub(super) retry_after_s: Option<u64>,
    /// Whether it was given before, to the same request.
    pub(super) is_replayed: bool,
}

impl Reply {
    pub(super) fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body, retry_after_s: None, is_replayed: false }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// A problem (RFC 9457): the code is for programs, the sentence for people.
    pub(super) fn problem(status: StatusCode, code: &str, detail: &str) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        Self::new(
            status,
            json!({
                "type": format!("urn:x402-pay:problem:{code}"),
                "title": title,
                "status": status.as_u16(),
                "detail": detail,
                "code": code,
            }),
        )
    }

    /// A body that cannot be read.
    pub(super) fn malformed(detail: &str) -> Self {
        Self::problem(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// A verdict against a payment, as a problem.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let detail = refusal.message.clone().unwrap_or_else(|| refusal.reason.to_string());
        let mut reply = Self::problem(StatusCode::UNPROCESSABLE_ENTITY, refusal.reason.code(), &detail);
        if let (Some(transaction), Some(body)) = (&refusal.transaction, reply.body.as_object_mut()) {
            body.insert("tx".to_owned(), json!(transaction));
        }
        reply
    }

    /// Trouble of ours. The detail stays in the log (threat row H25).
    pub(super) fn fault(fault: &Fault) -> Self {
        tracing::warn!(%fault, "cannot answer");
        let what = match fault {
            Fault::Unavailable { what, .. } | Fault::Garbled { what, .. } => *what,
            Fault::Pending { .. } => "settlement",
        };
        let detail = "try the same request again after a moment; nothing is lost";
        Self::problem(StatusCode::SERVICE_UNAVAILABLE, &format!("{what}_unavailable"), detail)
            .again_in(fault.retry_after_s())
    }

    /// Not known yet: the same request, later.
    pub(super) fn pending(mut body: Value, retry_after_s: u64) -> Self {
        if let Some(members) = body.as_object_mut() {
            members.insert("status".to_owned(), json!("pending"));
            members.insert("retryAfter".to_owned(), json!(retry_after_s));
        }
        Self::new(StatusCode::ACCEPTED, body).again_in(retry_after_s)
    }

    pub(super) fn again_in(self, retry_after_s: u64) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..self }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let is_problem = self.status.is_client_error() || self.status.is_server_error();
        let media = if is_problem { "application/problem+json" } else { "application/json" };
        let fields = [(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, "no-store")];
        let mut response = (self.status, fields, self.body.to_string()).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.is_replayed {
            response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
