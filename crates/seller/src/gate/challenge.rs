//! The 402: made of a route and a URL, and kept ready where it cannot change.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use groat_core::{Amount, Challenge, Offer, Resource};
use groat_wire::Dialects;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Reply, headers, passes};
use crate::route::{Pricing, Route};

/// What an unpaid request is told.
pub(crate) const UNPAID: &str = "Payment required";

/// More than the paths of most routes; a stranger who asks for others costs encoding, not memory.
const COUNT_MAX: usize = 256;

/// Encoded challenges of a route with fixed offers, by what was asked for.
#[derive(Default)]
pub(crate) struct ChallengeCache(RwLock<HashMap<Box<str>, Arc<Reply>>>);

impl ChallengeCache {
    pub(crate) fn find(&self, asked: &str) -> Option<Arc<Reply>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(asked).cloned()
    }

    /// Keeps the reply, unless the URL has a query: those are without number.
    pub(crate) fn keep(&self, asked: &str, reply: &Arc<Reply>) {
        if asked.contains('?') {
            return;
        }
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if map.len() < COUNT_MAX {
            map.insert(asked.into(), reply.clone());
        }
    }
}

impl Route {
    /// The URL that stands for what is sold.
    pub(crate) fn resource_url<'u>(&'u self, url: &'u str) -> &'u str {
        self.resource.as_deref().unwrap_or(url)
    }

    /// The offers that do not depend on a request; none where they do.
    pub(crate) fn fixed_offers(&self) -> &[Offer] {
        match &self.pricing {
            Pricing::Fixed(offers) => offers,
            Pricing::Asked { .. } => &[],
        }
    }

    /// What one payer may owe here, in the units of an offer; `None` when that cannot be told.
    pub(crate) fn unsettled_max(&self, offer: &Offer) -> Option<Amount> {
        match &self.unsettled_max {
            Some(price) => price.to_units(offer.currency.as_ref()?.decimals).ok(),
            None => offer.amount.checked_mul(5),
        }
    }

    /// Whether a payment can buy a pass for this route without asking for it. A price that depends on the request cannot
    /// be told to whoever makes none.
    pub(crate) fn sells_passes(&self) -> bool {
        self.pass.is_some() && self.shop.token_path.is_some() && !self.fixed_offers().is_empty()
    }

    /// Where a pass for this method and URL is sold: the endpoint, followed by what it is for.
    fn pass_at(&self, method: &Method, url: &str) -> Option<String> {
        let endpoint = self.shop.token_path.as_deref().filter(|_| self.sells_passes())?;
        Some(format!("{endpoint}/{}{}", passes::bought_as(method), passes::path_of(url)))
    }

    pub(crate) fn challenge(&self, method: &Method, url: &str, offers: Vec<Offer>) -> Challenge {
        Challenge {
            resource: Resource {
                url: self.resource_url(url).to_owned(),
                description: self.description.clone(),
                mime_type: self.mime_type.clone(),
            },
            pass_at: self.pass_at(method, url),
            moment: self.shop.moment(method, &offers),
            offers,
            error: UNPAID.to_owned(),
            extensions: self.extensions.clone(),
        }
    }
}

/// The challenge as an answer. `message` is a sentence for people, where there is one to say.
pub(crate) fn encode(
    dialects: &Dialects,
    status: StatusCode,
    challenge: &Challenge,
    message: Option<&str>,
) -> Reply {
    let mut parts = dialects.write_challenge(challenge);
    if !parts.body.contains_key("error") {
        parts.body.insert("error".to_owned(), json!(challenge.error));
    }
    if let Some(message) = message {
        parts.body.insert("message".to_owned(), json!(message));
    }
    let mut reply = Reply::json(status, &Value::Object(parts.body));
    reply.headers.extend(parts.headers);
    headers::vary(&mut reply.headers);
    reply
}
