//! The facilitator: verifies payments and moves the money, once.
//!
//! [`Engine`] does it in this process, [`http::service`] offers it to others, [`Remote`] asks somebody else's, and [`Beside`]
//! is an engine with somebody else for what it does not take. All are a [`Facilitator`](groat_core::ports::Facilitator), so a seller cannot tell them apart.

mod beside;
mod engine;
pub mod http;
mod remote;
mod requests;
mod status;
pub mod webhooks;

pub use beside::Beside;
pub use engine::{Bell, ChainNonces, Engine, EngineOptions, LaneStatus, ResumeError, Resumed};
pub use remote::{Carrier, Remote, RemoteError};
pub use requests::Requests;
