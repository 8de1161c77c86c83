//! Running what stands behind the gate, so that it can neither panic here nor take forever.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::timeout;
use tower::ServiceExt;

use super::{Inner, Reply, headers};

/// Why a handler gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Panicked,
    TimedOut,
    Failed,
}

impl Trouble {
    /// As an answer.
    pub(crate) fn reply(self) -> Reply {
        let (status, code, message) = match self {
            Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "handler_panicked", "the server failed"),
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "handler_timeout", "the server took too long"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "handler_failed", "the server failed"),
        };
        Reply::error(status, code, message)
    }
}

/// Runs the handler until its answer begins.
pub(crate) async fn run(
    inner: Inner,
    request: Request<Body>,
    limit: Duration,
) -> Result<Response<Body>, Trouble> {
    let run = AssertUnwindSafe(async move { inner.oneshot(request).await }).catch_unwind();
    match timeout(limit, run).await {
        Err(_) => Err(Trouble::TimedOut),
        Ok(Err(_)) => {
            tracing::error!("the handler of a paid route panicked");
            Err(Trouble::Panicked)
        }
        Ok(Ok(Err(error))) => {
            tracing::error!(%error, "the handler of a paid route failed");
            Err(Trouble::Failed)
        }
        Ok(Ok(Ok(response))) => Ok(response),
    }
}

/// A body, read as far as allowed.
pub(crate) enum Collected {
    Whole(Bytes),
    /// What came before the limit was passed, and the rest.
    Larger(Bytes, Body),
}

/// Reads a body of up to `size_bytes_max`. The error says that it broke off, panicked or took too long.
pub(crate) async fn collect(
    mut body: Body,
    size_bytes_max: usize,
    limit: Duration,
) -> Result<Collected, Trouble> {
    let read = async move {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame.map_err(|_| Trouble::Failed)?.into_data() {
                bytes.extend_from_slice(&piece);
            }
            if bytes.len() > size_bytes_max {
                return Ok(Collected::Larger(bytes.freeze(), body));
            }
        }
        Ok(Collected::Whole(bytes.freeze()))
    };
    match timeout(limit, AssertUnwindSafe(read).catch_unwind()).await {
        Err(_) => Err(Trouble::TimedOut),
        Ok(Err(_)) => Err(Trouble::Panicked),
        Ok(Ok(collected)) => collected,
    }
}

/// An answer that is not a success goes out unpaid, if it is small (threat rows G11, G12). It is still only for whoever
/// sent the payment.
pub(crate) async fn free(parts: Parts, body: Body, size_bytes_max: usize, limit: Duration) -> Reply {
    let Parts { status, headers: mut fields, .. } = parts;
    match collect(body, size_bytes_max, limit).await {
        Ok(Collected::Whole(body)) => {
            headers::keep_private(&mut fields);
            headers::vary(&mut fields);
            Reply { status, headers: Box::new(fields), body }
        }
        Ok(Collected::Larger(..)) => {
            let message = "nothing was charged; the body of this answer is too large to be given for nothing";
            // Without its fields a redirection leads nowhere.
            let status = if status.is_redirection() { StatusCode::BAD_GATEWAY } else { status };
            Reply::error(status, "answer_too_large", message)
        }
        Err(trouble) => trouble.reply(),
    }
}

/// Whether an answer is made to be read while it is written (threat row G14).
pub(crate) fn is_stream(fields: &HeaderMap) -> bool {
    let kind = fields.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/event-stream") || kind.starts_with("application/grpc")
}
