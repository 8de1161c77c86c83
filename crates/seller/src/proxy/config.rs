//! How a gateway is described. Reading files is the binary's business.

use groat_core::{Confirmations, PassTerms, Terms};
use serde::Deserialize;

use crate::route::Settle;

/// Prices in front of one server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where requests go, such as `http://127.0.0.1:3000`; a path is put in front of every request's.
    pub upstream: String,
    /// What is sold. The first rule that fits counts.
    #[serde(default)]
    pub routes: Vec<RouteRule>,
    /// What happens to requests that no rule fits.
    #[serde(default)]
    pub unmatched: Unmatched,
    /// Seconds until the upstream must have begun to answer a free request.
    #[serde(default = "upstream_timeout_s")]
    pub upstream_timeout_s: u64,
}

fn upstream_timeout_s() -> u64 {
    60
}

impl GatewayConfig {
    /// A gateway that sells nothing yet and lets everything through.
    pub fn new(upstream: &str) -> Self {
        Self {
            upstream: upstream.to_owned(),
            routes: Vec::new(),
            unmatched: Unmatched::default(),
            upstream_timeout_s: upstream_timeout_s(),
        }
    }
}

/// One priced route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteRule {
    /// A [`crate::Pattern`], such as `GET /weather/:city` or `/files/*`.
    pub path: String,
    /// Such as `$0.01`.
    pub price: String,
    /// What the buyer gets, for people.
    #[serde(default)]
    pub description: String,
    /// The media type of the answer.
    #[serde(default)]
    pub mime_type: String,
    /// Networks instead of the seller's.
    #[serde(default)]
    pub networks: Vec<String>,
    /// The account to be paid instead of the seller's.
    #[serde(default)]
    pub pay_to: Option<String>,
    /// When the money is taken.
    #[serde(default)]
    pub settle: Settle,
    /// How much one payer may owe at once with `settle = "async"`, such as `$0.10`.
    #[serde(default)]
    pub unsettled_max: Option<String>,
    /// How deep the payment's block must lie before anything is handed out, instead of the seller's.
    #[serde(default)]
    pub confirmations: Option<Confirmations>,
    /// Seconds that a payment may take, as told to buyers.
    #[serde(default)]
    pub timeout_s: Option<u64>,
    /// What whoever has paid may do without paying, for a while.
    #[serde(default)]
    pub pass: Option<PassTerms>,
    /// Whether tokens that whoever shares a key with us has given let requests in.
    #[serde(default)]
    pub foreign_tokens: bool,
    /// More ways to pay, in full.
    #[serde(skip)]
    pub asks: Vec<Terms>,
}

impl RouteRule {
    /// A price for a pattern; everything else as the seller has it.
    pub fn new(path: &str, price: &str) -> Self {
        Self {
            path: path.to_owned(),
            price: price.to_owned(),
            description: String::new(),
            mime_type: String::new(),
            networks: Vec::new(),
            pay_to: None,
            settle: Settle::default(),
            unsettled_max: None,
            confirmations: None,
            timeout_s: None,
            pass: None,
            foreign_tokens: false,
            asks: Vec::new(),
        }
    }
}

/// What happens to requests that no rule fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    /// They go to the upstream, free of charge.
    #[default]
    Forward,
    /// They get 404.
    NotFound,
}
