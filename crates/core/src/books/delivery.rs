//! One event on its way to one endpoint.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book, EventKind};
use crate::Timestamp;

/// What is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// An event of the outbox.
    Event {
        /// Its number.
        number: u64,
        /// What has happened.
        kind: EventKind,
    },
    /// A test that its owner asked for; the text tells it from others.
    Test(String),
}

/// What came of the last try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// When it ended.
    pub at: Timestamp,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// Why that is no success, in a sentence.
    pub problem: Option<String>,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum DeliveryState {
    /// It is to be tried.
    Due {
        /// Not before this. Whoever tries it moves this on first, so that nobody else does meanwhile.
        next_at: Timestamp,
    },
    /// The receiver has it.
    Delivered,
    /// Given up after the last try.
    Dead,
    /// Its endpoint is gone.
    Cancelled,
}

/// One event for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The endpoint.
    pub endpoint: String,
    /// What.
    pub subject: Subject,
    /// When it was written.
    pub made_at: Timestamp,
    /// How often it was tried since it was made, or asked for again.
    pub attempts: u32,
    /// What came of the last try.
    pub last: Option<Tried>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: DeliveryState,
}

/// What can happen to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEvent {
    /// Somebody is about to try it, and is done or dead by then.
    Take {
        /// Until when it is nobody else's.
        until: Timestamp,
    },
    /// The receiver has it.
    Deliver(Tried),
    /// It has not.
    Fail {
        /// Why not.
        tried: Tried,
        /// When to try again; `None` after the last try.
        next_at: Option<Timestamp>,
    },
    /// Its owner wants it once more, from the first try on.
    Redeliver,
    /// Its endpoint is gone.
    Cancel,
}

impl Delivery {
    /// A new one, due at once.
    pub fn new(endpoint: &str, subject: Subject, now: Timestamp) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            subject,
            made_at: now,
            attempts: 0,
            last: None,
            state: DeliveryState::Due { next_at: now },
        }
    }

    /// What the receiver knows it by, the same however often it is sent. Without a dot: the signature covers it.
    pub fn id(&self) -> String {
        let endpoint = self.endpoint.trim_start_matches("we_");
        match &self.subject {
            Subject::Event { number, .. } => format!("msg_{endpoint}_{number}"),
            Subject::Test(text) => format!("msg_{endpoint}_t{text}"),
        }
    }

    /// Where the delivery with this id lies, if it is one of this endpoint.
    pub fn key_of_id(endpoint: &str, id: &str) -> Option<String> {
        let rest = id.strip_prefix("msg_")?.strip_prefix(endpoint.trim_start_matches("we_"))?;
        // It came from outside, and becomes a key.
        let subject = rest.strip_prefix('_').filter(|subject| {
            (1..=64).contains(&subject.len()) && subject.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })?;
        match subject.parse::<u64>() {
            Ok(number) => Some(format!("{endpoint}/{number:020}")),
            Err(_) => Some(format!("{endpoint}/{subject}")),
        }
    }

    /// The key before all of an endpoint's; [`Delivery::tests_of`] is the one before its tests.
    pub fn all_of(endpoint: &str) -> String {
        format!("{endpoint}/")
    }

    /// Behind every event, before every test.
    pub fn tests_of(endpoint: &str) -> String {
        format!("{endpoint}/t")
    }

    /// Not before when it is to be tried; `None` when that is over.
    pub fn next_at(&self) -> Option<Timestamp> {
        match self.state {
            DeliveryState::Due { next_at } => Some(next_at),
            _ => None,
        }
    }
}

impl Aggregate for Delivery {
    type Event = DeliveryEvent;
    const BOOK: Book = Book::Deliveries;

    /// Those of an endpoint lie side by side, in the order of the outbox, and its tests behind them.
    fn key(&self) -> String {
        match &self.subject {
            Subject::Event { number, .. } => format!("{}/{number:020}", self.endpoint),
            Subject::Test(text) => format!("{}/t{text}", self.endpoint),
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            DeliveryState::Due { .. } => "due",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead => "dead",
            DeliveryState::Cancelled => "cancelled",
        }
    }

    fn is_final(&self) -> bool {
        !matches!(self.state, DeliveryState::Due { .. })
    }

    fn apply(mut self, event: DeliveryEvent, now: Timestamp) -> Option<Self> {
        use DeliveryEvent as E;
        use DeliveryState as S;
        self.state = match (self.state, event) {
            // Not one that somebody has taken, or that has to wait.
            (S::Due { next_at }, E::Take { until }) if next_at <= now && until > now => {
                S::Due { next_at: until }
            }
            (S::Due { .. }, E::Deliver(tried)) => {
                (self.attempts, self.last) = (self.attempts.saturating_add(1), Some(tried));
                S::Delivered
            }
            (S::Due { .. }, E::Fail { tried, next_at }) => {
                (self.attempts, self.last) = (self.attempts.saturating_add(1), Some(tried));
                next_at.map_or(S::Dead, |next_at| S::Due { next_at })
            }
            (S::Due { .. } | S::Delivered | S::Dead, E::Redeliver) => {
                self.attempts = 0;
                S::Due { next_at: now }
            }
            (S::Due { .. }, E::Cancel) => S::Cancelled,
            _ => return None,
        };
        Some(self)
    }
}
