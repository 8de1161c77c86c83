//! A URL that wants to hear of payments (a webhook endpoint).

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book, EventKind};
use crate::Timestamp;

/// What proves to a receiver who has sent something: `whsec_…` is shared with it, `whsk_…` is not.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSecret {
    /// With its prefix.
    pub text: String,
    /// From then on nothing is signed with it; none while it is the newest.
    pub ends_at: Option<Timestamp>,
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSecret").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

/// Where an endpoint stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum EndpointState {
    /// It is told.
    Enabled,
    /// It is told nothing, and goes on where it stopped when it is enabled again.
    Disabled {
        /// Since when.
        at: Timestamp,
        /// Why, in a sentence.
        why: String,
    },
    /// For good. Nothing is left of it but its id.
    Removed,
}

/// An endpoint of one caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    /// `we_` and 32 hexadecimal digits.
    pub id: String,
    /// The name of the caller whose it is; empty where nobody needs a key.
    pub owner: String,
    /// Where to send.
    pub url: String,
    /// What it wants to hear; empty means everything.
    pub types: Vec<EventKind>,
    /// Whether it is sent a signature in the shape of Stripe's as well.
    pub stripe: bool,
    /// The newest last; at most one more, which ends.
    pub secrets: Vec<WebhookSecret>,
    /// When it was made.
    pub made_at: Timestamp,
    /// The number of the last event of the outbox that was looked at for it.
    pub cursor: u64,
    /// Where it stands.
    #[serde(flatten)]
    pub state: EndpointState,
}

/// What can happen to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookEndpointEvent {
    /// Its owner wants something else. What is on its way already goes to the new URL.
    Change {
        /// Where to send.
        url: String,
        /// What it wants to hear.
        types: Vec<EventKind>,
        /// Whether it is sent a signature in the shape of Stripe's as well.
        stripe: bool,
    },
    /// A new secret. The newest so far is good for a while longer, any other is not.
    Rotate {
        /// The new one.
        text: String,
        /// The end of the old one.
        old_ends_at: Timestamp,
    },
    /// It is told nothing for now.
    Disable(String),
    /// It is told again.
    Enable,
    /// Deliveries are written for all events up to this one; in the same commit.
    Advance(u64),
    /// For good.
    Remove,
}

impl WebhookEndpoint {
    /// Whether a text that came from outside can be an id at all.
    pub fn is_id(text: &str) -> bool {
        let digits = text.strip_prefix("we_").unwrap_or_default();
        digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// What is signed with now, the newest first.
    pub fn secrets_at(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let good = self.secrets.iter().filter(move |secret| secret.ends_at.is_none_or(|end| now < end));
        good.rev().map(|secret| secret.text.as_str())
    }
}

impl Aggregate for WebhookEndpoint {
    type Event = WebhookEndpointEvent;
    const BOOK: Book = Book::Endpoints;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn state(&self) -> &'static str {
        match self.state {
            EndpointState::Enabled => "enabled",
            EndpointState::Disabled { .. } => "disabled",
            EndpointState::Removed => "removed",
        }
    }

    fn is_final(&self) -> bool {
        self.state == EndpointState::Removed
    }

    fn apply(mut self, event: WebhookEndpointEvent, now: Timestamp) -> Option<Self> {
        use EndpointState as S;
        use WebhookEndpointEvent as E;
        match (&self.state, event) {
            (S::Removed, _) => return None,
            (_, E::Change { url, types, stripe }) => {
                (self.url, self.types, self.stripe) = (url, types, stripe);
            }
            (_, E::Rotate { text, old_ends_at }) => {
                let mut old = self.secrets.pop()?;
                old.ends_at = Some(old_ends_at);
                self.secrets = vec![old, WebhookSecret { text, ends_at: None }];
            }
            (S::Enabled, E::Disable(why)) => self.state = S::Disabled { at: now, why },
            (S::Disabled { .. }, E::Enable) => self.state = S::Enabled,
            // Never back, or something would be told twice; never while it is told nothing, or that would be skipped.
            (S::Enabled, E::Advance(to)) if to > self.cursor => self.cursor = to,
            (_, E::Remove) => {
                (self.url, self.secrets, self.state) = (String::new(), Vec::new(), S::Removed);
            }
            _ => return None,
        }
        Some(self)
    }
}
