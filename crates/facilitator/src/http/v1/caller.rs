//! Who asks here: the holders of the same keys, refused in the words of this API; and what they send.

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use super::V1;
use super::reply::Reply;
use crate::http::Service;
use crate::http::body::read_bytes;
use crate::http::callers::Admitted;

/// A request that may be answered.
pub(super) struct Guest {
    pub(super) admitted: Admitted,
    pub(super) v1: V1,
}

impl FromRequestParts<Service> for Guest {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Reply> {
        let admitted = Admitted::from_request_parts(parts, service).await.map_err(|_| {
            Reply::problem(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "send an API key that is known here as `Authorization: Bearer KEY`",
            )
        })?;
        match &service.v1 {
            Some(v1) => Ok(Self { admitted, v1: v1.clone() }),
            None => Err(Reply::problem(StatusCode::NOT_FOUND, "not_found", "no contract is set up here")),
        }
    }
}

/// Reads a body within its limits.
pub(super) async fn body(headers: &HeaderMap, body: Body) -> Result<Bytes, Reply> {
    read_bytes(headers, body).await.map_err(|(status, code, message)| Reply::problem(status, code, message))
}
