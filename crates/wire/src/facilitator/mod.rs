//! The bodies of the facilitator HTTP API: `/verify`, `/settle`, `/supported`, versions 1 and 2 mixed.
//!
//! Source: x402 v2 section 7 and v1 section 7 as npm `@x402/core` 2.27.0 speaks them. Verdicts are HTTP 200 also when
//! negative; a client reads these bodies whatever the status, because some facilitators answer otherwise.

mod answer;
mod request;
mod supported;

pub use answer::{SettleResponse, VerifyResponse};
pub use request::{Request, RequestError, read_request, write_request};
pub use supported::{read_supported, write_supported};

/// The largest body that is read, of requests and of answers (threat row H08).
pub const BODY_SIZE_BYTES_MAX: usize = 256 * 1024;
