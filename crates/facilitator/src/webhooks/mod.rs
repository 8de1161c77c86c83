//! Webhooks: what lies in the outbox is sent to those who have asked for it, signed, at least once.
//!
//! An event is written in the commit that makes it true. For each endpoint a cursor goes through the outbox; what it
//! comes past becomes a delivery, in the commit that moves the cursor ([`fan_out`]). So nothing is sent that has not
//! happened, and a crash at any place loses nothing (threat row T20). A delivery is then tried until the receiver has
//! it or the [`schedule`] ends ([`send`]), in tasks of its own: settlement never waits for a receiver (T19).

mod agenda;
mod audience;
mod body;
mod desk;
mod fan_out;
mod guard;
mod post;
mod schedule;
mod send;
pub mod sign;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use groat_core::books::{Delivery, PaymentEvent, WebhookEndpoint};
use groat_core::ports::{Clock, Mechanism, Random, Store};
use groat_core::{Fault, Timestamp};
use groat_store::{Entry, Journal};

use crate::engine::Bell;
use crate::http::Caller;
use audience::Audience;

pub use body::TEST;
pub(crate) use body::{kind as kind_of, word as word_of};
pub use desk::{Change, Page, WebhookError, Wish};
pub(crate) use desk::{OLD_SECRET_S_MAX, public_keys, scheme};
pub use guard::{Denied, Guard, Lookup, SystemLookup};
pub use post::{HttpPost, Letter, Post, PostError, Reply};
pub use schedule::TRIES_MAX;
pub use worker::Worker;

/// Endpoints and their deliveries. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

/// What webhooks are made of.
pub struct Parts {
    /// The facilitator's book.
    pub store: Arc<dyn Store>,
    /// Of the engine that writes the outbox in it.
    pub bell: Arc<Bell>,
    /// Who may ask; with none, everybody.
    pub callers: Vec<Caller>,
    /// To tell accounts and tokens apart.
    pub mechanisms: Vec<Arc<dyn Mechanism>>,
    /// What brings messages to receivers.
    pub post: Arc<dyn Post>,
    /// Where they may be.
    pub guard: Guard,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For ids, secrets and the schedule.
    pub random: Arc<dyn Random>,
}

struct Inner {
    endpoints: Journal<WebhookEndpoint>,
    deliveries: Journal<Delivery>,
    outbox: Journal<PaymentEvent>,
    bell: Arc<Bell>,
    audience: Audience,
    post: Arc<dyn Post>,
    guard: Guard,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// The newest event that was seen.
    seen: AtomicU64,
    /// Endpoints are counted and made one after the other.
    making: tokio::sync::Mutex<()>,
    /// Deliveries that an owner has asked for, for the worker. Those that find no room it finds in the book.
    asked: Mutex<VecDeque<Asked>>,
}

/// Endpoint, key, when.
type Asked = (String, String, Timestamp);

/// Records per page of a scan.
const PAGE: usize = 256;
/// Deliveries that were asked for and that the worker has not seen.
const ASKED_MAX: usize = 1_024;

impl Webhooks {
    /// Of these parts. Call [`Webhooks::open`] before the engine settles anything.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, bell, callers, mechanisms, post, guard, clock, random } = parts;
        Self(Arc::new(Inner {
            endpoints: Journal::new(Arc::clone(&store)),
            deliveries: Journal::new(Arc::clone(&store)),
            outbox: Journal::new(store),
            bell,
            audience: Audience { callers, mechanisms },
            post,
            guard,
            clock,
            random,
            seen: AtomicU64::new(0),
            making: tokio::sync::Mutex::default(),
            asked: Mutex::default(),
        }))
    }

    /// Looks who wants to hear what, so that the engine writes it down. How many endpoints there are.
    pub async fn open(&self) -> Result<usize, Fault> {
        Ok(self.survey().await?.len())
    }

    /// Sends for as long as the process lives.
    pub async fn run(self) {
        let mut worker = Worker::new(self);
        loop {
            worker.turn().await;
            worker.wait().await;
        }
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// All that were not removed. While there is one, every settlement is written into the outbox: also for those that
    /// are told nothing for now, because they go on where they stopped.
    async fn survey(&self) -> Result<Vec<Entry<WebhookEndpoint>>, Fault> {
        // Not while one is being made, or it would be thought that there is none.
        let _making = self.0.making.lock().await;
        let all = self.every_endpoint().await?;
        self.0.bell.want_every(!all.is_empty());
        Ok(all)
    }

    async fn every_endpoint(&self) -> Result<Vec<Entry<WebhookEndpoint>>, Fault> {
        let mut all: Vec<Entry<WebhookEndpoint>> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.record.id.clone());
            let page = self.0.endpoints.scan_open(after.as_deref(), PAGE).await?;
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        Ok(all)
    }

    /// The worker is to look at this soon.
    fn ask(&self, delivery: &Delivery) {
        use groat_core::books::Aggregate;
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(at), true) = (delivery.next_at(), asked.len() < ASKED_MAX) {
            asked.push_back((delivery.endpoint.clone(), delivery.key(), at));
        }
        drop(asked);
        self.0.bell.ring();
    }

    fn take_asked(&self) -> VecDeque<Asked> {
        std::mem::take(&mut *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
