//! Bodies in and out: limits, media types, and errors of one shape.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use groat_core::Fault;
use groat_wire::facilitator::BODY_SIZE_BYTES_MAX;
use serde_json::{Value, json};

/// How long a body may take to arrive (threat row H08).
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a JSON request body within its limits. `Err` is the answer to give.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
    read_bytes(headers, body).await.map_err(|(status, code, message)| error(status, code, message))
}

/// The same; `Err` is status, code and sentence of the answer to give.
pub(super) async fn read_bytes(
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, (StatusCode, &'static str, &'static str)> {
    let field = |name| {
        headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).unwrap_or_default()
    };
    // A form post from a web page must not reach us (threat row H10), nor a compressed bomb (H09).
    let media = field(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err((status, "unsupported_media_type", "send application/json"));
    }
    if !field(header::CONTENT_ENCODING).is_empty() {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err((status, "unsupported_encoding", "send the body uncompressed"));
    }
    match tokio::time::timeout(READ_TIMEOUT, axum::body::to_bytes(body, BODY_SIZE_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(problem)) if is_limit(&problem) => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "a body is at most 262144 bytes"))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "invalid_payload", "the body could not be read")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "timeout", "the body took longer than 10 seconds")),
    }
}

fn is_limit(problem: &axum::Error) -> bool {
    let mut source = std::error::Error::source(problem);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// A JSON answer.
pub(super) fn json_body(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")],
        body.to_string(),
    )
        .into_response()
}

/// An error that is no verdict.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    json_body(status, &json!({ "error": code, "message": message }))
}

/// Trouble of ours. The detail stays in the log (threat row H25).
pub(super) fn fault(fault: &Fault) -> Response {
    tracing::warn!(%fault, "cannot answer");
    let what = match fault {
        Fault::Unavailable { what, .. } | Fault::Garbled { what, .. } => *what,
        Fault::Pending { .. } => "settlement_pending",
    };
    let mut response = error(
        StatusCode::SERVICE_UNAVAILABLE,
        &format!("{what}_unavailable"),
        "try the same request again after a moment; nothing is lost",
    );
    response.headers_mut().insert(header::RETRY_AFTER, fault.retry_after_s().into());
    response
}
