//! Who may ask: holders of API keys, each for the networks, tokens and payees that the operator lists.
//!
//! A key is known here by its digest only. Without any key everybody may ask, so a service without keys must not be
//! reached by other machines.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use groat_core::ports::{Clock, Mechanism, Store};
use groat_core::{Network, Reason, Refusal};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Service;
use super::body::error;
use super::budget::Budget;

/// The holder of an API key. An empty list means: whatever this facilitator settles.
#[derive(Debug, Clone)]
pub struct Caller {
    /// For logs and messages.
    pub name: String,
    /// [`digest`] of the key.
    pub digest: [u8; 32],
    /// Chains that the key is good for.
    pub networks: Vec<Network>,
    /// Tokens.
    pub assets: Vec<String>,
    /// Payees.
    pub pay_to: Vec<String>,
    /// Gas that may be spent for it in a day (UTC), at least [`Caller::GAS_PER_DAY_MIN`]; `None` means any.
    pub gas_per_day: Option<u64>,
}

impl Caller {
    /// With less no payment could be settled.
    pub const GAS_PER_DAY_MIN: u64 = super::budget::GAS_EACH;

    /// Whether its key is good for payments of this token to this payee.
    pub(crate) fn allows(
        &self,
        mechanisms: &[Arc<dyn Mechanism>],
        network: &Network,
        asset: &str,
        pay_to: &str,
    ) -> Result<(), Refusal> {
        let lists = |list: &[String], account: &str| {
            let mut speaking = mechanisms.iter().filter(|mechanism| mechanism.speaks(network));
            list.is_empty()
                || speaking.any(|mechanism| list.iter().any(|listed| mechanism.same_account(listed, account)))
        };
        let (reason, what) = if !self.networks.is_empty() && !self.networks.contains(network) {
            (Reason::InvalidNetwork, "network")
        } else if !lists(&self.assets, asset) {
            (Reason::AssetNotAllowed, "token")
        } else if !lists(&self.pay_to, pay_to) {
            (Reason::PayToNotAllowed, "payee")
        } else {
            return Ok(());
        };
        let message = format!("the API key `{}` is not for this {what}: ask the operator", self.name);
        Err(Refusal { message: Some(message), ..reason.into() })
    }
}

/// A caller with what is left of its budget.
pub(super) struct Known {
    caller: Caller,
    budget: Option<Arc<Budget>>,
}

impl Known {
    pub(super) fn new(caller: Caller, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Self {
        let budget = caller
            .gas_per_day
            .map(|gas| Arc::new(Budget::new(caller.name.clone(), gas, Arc::clone(store), Arc::clone(clock))));
        Self { caller, budget }
    }
}

/// What is kept of a key. Keys are 32 random bytes, so that a fast hash is enough: nobody guesses one.
pub fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// A request that may be answered: with a good key, or where none is needed.
pub(super) struct Admitted(Option<Arc<Known>>);

impl FromRequestParts<Service> for Admitted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Response> {
        if service.callers.is_empty() {
            return Ok(Self(None));
        }
        let key = bearer(&parts.headers)
            .ok_or_else(|| unauthorized("send an API key as `Authorization: Bearer KEY`"))?;
        let digest = digest(key);
        // All are compared, each to its end: how long it takes says nothing about any of them.
        let found = service.callers.iter().fold(None, |found, known| {
            if bool::from(known.caller.digest.ct_eq(&digest)) { Some(known) } else { found }
        });
        found
            .map(|known| Self(Some(Arc::clone(known))))
            .ok_or_else(|| unauthorized("this API key is not known here: ask the operator for another"))
    }
}

/// The key of the one `Authorization` field; two of them could be read in two ways.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    let (scheme, key) = field.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn unauthorized(message: &str) -> Response {
    let mut response = error(StatusCode::UNAUTHORIZED, "unauthorized", message);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

impl Admitted {
    /// The name of its key; empty where none is needed.
    pub(super) fn name(&self) -> &str {
        self.0.as_ref().map_or("", |known| &known.caller.name)
    }

    /// What bounds the gas that is spent for it.
    pub(super) fn budget(&self) -> Option<&Arc<Budget>> {
        self.0.as_ref()?.budget.as_ref()
    }

    /// Whether the key is good for payments of this token to this payee.
    pub(super) fn allows(
        &self,
        service: &Service,
        network: &Network,
        asset: &str,
        pay_to: &str,
    ) -> Result<(), Refusal> {
        let Some(known) = &self.0 else { return Ok(()) };
        known.caller.allows(&service.mechanisms, network, asset, pay_to)
    }
}
