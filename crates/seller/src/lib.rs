//! The seller's side: a price on any route, and a gateway that puts prices in front of any server.
//!
//! [`Pay`] holds what all routes share (who is paid, where, who settles, where the book lies); [`Pay::price`] makes
//! a tower layer of it. The layer keeps two promises: one payment buys at most one run of the handler, and whoever
//! lost the answer gets the same answer again for the same payment.
//!
//! ```no_run
//! # fn demo(facilitator: std::sync::Arc<dyn groat_core::ports::Facilitator>,
//! #         mechanism: std::sync::Arc<dyn groat_core::ports::Mechanism>,
//! #         store: std::sync::Arc<dyn groat_core::ports::Store>) -> Result<(), groat_seller::ConfigError> {
//! use axum::{Router, routing::get};
//! use groat_seller::{Paid, Pay};
//!
//! async fn weather(paid: Paid) -> String {
//!     format!("sunny for {}", paid.payer.unwrap_or_default())
//! }
//!
//! let pay = Pay::builder()
//!     .facilitator(facilitator)
//!     .mechanisms(vec![mechanism])
//!     .store(store)
//!     .network("eip155:84532")
//!     .pay_to("0x209693Bc6afc0C5328bA36FaF03C514EF312287C")
//!     .public_url("https://api.example.com")
//!     .build()?;
//! let app: Router = Router::new().route("/weather", get(weather).layer(pay.price("$0.01")));
//! # Ok(()) }
//! ```

mod canonical;
mod config;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod paid;
mod pay;
mod proxy;
mod route;
mod service;
mod view;

pub use config::{ConfigError, Cors, Limits, TokenFormat};
pub use gate::{Gate, PayLayer, Recovered};
pub use paid::{NotPaid, Paid};
pub use pay::{Pay, PayBuilder};
pub use proxy::{Gateway, GatewayConfig, Pattern, RouteRule, Unmatched};
pub use route::{RouteBuilder, Settle};
pub use service::PaymentService;
pub use view::RequestView;

pub use groat_core::PassTerms;
pub use groat_wire::pass::{PassKey, PassKeyError};
pub use groat_wire::shared_token::{SharedKey, SharedKeyError};
