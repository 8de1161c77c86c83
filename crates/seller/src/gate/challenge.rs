//! The 402: made of a route and a URL, and kept ready where it cannot change.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use groat_core::{Challenge, Offer, Resource};
use groat_wire::Dialects;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Reply, headers};
use crate::route::Route;

/// What an unpaid request is told.
pub(crate) const UNPAID: &str = "Payment required";

/// More than the paths of most routes; a stranger who asks for others costs encoding, not memory.
const COUNT_MAX: usize = 256;

/// Encoded challenges of a route with fixed offers, by URL.
#[derive(Default)]
pub(crate) struct ChallengeCache(RwLock<HashMap<Box<str>, Arc<Reply>>>);

impl ChallengeCache {
    pub(crate) fn find(&self, url: &str) -> Option<Arc<Reply>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(url).cloned()
    }

    /// Keeps the reply, unless the URL has a query: those are without number.
    pub(crate) fn keep(&self, url: &str, reply: &Arc<Reply>) {
        if url.contains('?') {
            return;
        }
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if map.len() < COUNT_MAX {
            map.insert(url.into(), reply.clone());
        }
    }
}

impl Route {
    /// The URL that stands for what is sold.
    pub(crate) fn resource_url<'u>(&'u self, url: &'u str) -> &'u str {
        self.resource.as_deref().unwrap_or(url)
    }

    pub(crate) fn challenge(&self, url: &str, offers: Vec<Offer>) -> Challenge {
        Challenge {
            resource: Resource {
                url: self.resource_url(url).to_owned(),
                description: self.description.clone(),
                mime_type: self.mime_type.clone(),
            },
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
