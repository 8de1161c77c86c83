//! One try of one delivery: taken, signed, sent, and written down.

use std::time::Duration;

use groat_core::books::{
    Aggregate, Delivery, DeliveryEvent, EndpointState, PaymentEvent, Subject, Tried, WebhookEndpoint,
    WebhookEndpointEvent,
};
use groat_core::{Fault, Timestamp};
use groat_store::{Applied, Entry};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::post::{Letter, Reply, seconds};
use super::sign::{self, Key};
use super::{Webhooks, body, schedule};

/// A receiver has so long to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);
/// For so long a delivery is nobody else's once somebody has taken it.
pub(super) const LEASE_S: u64 = 30;
/// After trouble with the book.
pub(super) const TROUBLE_S: u64 = 5;
/// How often something is written again because somebody else has written.
const TRIES_MAX: usize = 4;

impl Webhooks {
    /// Tries a delivery once, if it is due and nobody else's. When to come back to it, if at all.
    pub(super) async fn deliver(&self, key: &str) -> Option<Timestamp> {
        match self.try_once(key).await {
            Ok(again_at) => again_at,
            Err(fault) => {
                tracing::warn!(key, %fault, "webhooks: cannot go on with a delivery, again in a while");
                Some(self.now().plus(TROUBLE_S))
            }
        }
    }

    async fn try_once(&self, key: &str) -> Result<Option<Timestamp>, Fault> {
        let Some(delivery) = self.0.deliveries.load(key).await? else { return Ok(None) };
        let now = self.now();
        match delivery.record.next_at() {
            None => return Ok(None),
            Some(at) if at > now => return Ok(Some(at)),
            Some(_) => {}
        }
        let endpoint = self.0.endpoints.load(&delivery.record.endpoint).await?;
        let Some(endpoint) = endpoint.filter(|entry| entry.record.state != EndpointState::Removed) else {
            self.0.deliveries.apply(delivery, DeliveryEvent::Cancel, now).await?;
            return Ok(None);
        };
        if !self.is_told(&endpoint.record) {
            self.0.bell.ring();
            return Ok(Some(now.plus(TROUBLE_S)));
        }
        let until = now.plus(LEASE_S);
        let Applied::Done(taken) =
            self.0.deliveries.apply(delivery, DeliveryEvent::Take { until }, now).await?
        else {
            return Ok(Some(until));
        };
        let reply = match self.letter(&endpoint.record, &taken.record).await? {
            Some(letter) => tokio::time::timeout(TIMEOUT, self.0.post.post(letter))
                .await
                .unwrap_or_else(|_| Reply::Nothing("it did not answer within 15 seconds".to_owned())),
            None => Reply::Nothing("the endpoint has no secret to sign with: rotate it".to_owned()),
        };
        self.write_down(endpoint, taken, &reply).await
    }

    /// What is sent, signed now.
    async fn letter(&self, endpoint: &WebhookEndpoint, delivery: &Delivery) -> Result<Option<Letter>, Fault> {
        let body = match &delivery.subject {
            Subject::Test(_) => body::test(delivery),
            Subject::Event { number, .. } => {
                let event = self.0.outbox.load(&PaymentEvent::key_of(*number)).await?;
                let lost = || Fault::garbled("store", format!("event {number} has vanished"));
                body::event(&event.ok_or_else(lost)?.record, &self.0.audience.mechanisms)
            }
        };
        let now = self.now();
        let keys: Vec<_> = endpoint.secrets_at(now).filter_map(|secret| Key::of(secret).ok()).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        let id = delivery.id();
        let mut fields = vec![
            (sign::SIGNATURE, sign::signatures(&keys, &id, now, &body)),
            (sign::TIMESTAMP, now.to_string()),
            (sign::ID, id),
        ];
        if endpoint.stripe {
            fields.push((sign::STRIPE_SIGNATURE, sign::stripe(&keys, now, &body)));
        }
        let field = |(name, value): (HeaderName, String)| Some((name, HeaderValue::try_from(value).ok()?));
        let headers: HeaderMap = fields.into_iter().filter_map(field).collect();
        Ok(Some(Letter { url: endpoint.url.clone(), headers, body }))
    }

    /// Written before anything else is done with it.
    async fn write_down(
        &self,
        endpoint: Entry<WebhookEndpoint>,
        mut taken: Entry<Delivery>,
        reply: &Reply,
    ) -> Result<Option<Timestamp>, Fault> {
        let now = self.now();
        let (status, problem) = match reply {
            Reply::Answered { status: status @ 200..=299, .. } => (Some(*status), None),
            Reply::Answered { status, .. } => (Some(*status), Some(meaning(*status))),
            Reply::Nothing(why) => (None, Some(why.clone())),
        };
        if status == Some(410) {
            self.disable(endpoint, now).await?;
        }
        let tried = Tried { at: now, status, problem };
        let key = taken.record.key();
        for _ in 0..TRIES_MAX {
            let event = match tried.problem {
                None => DeliveryEvent::Deliver(tried.clone()),
                Some(_) => {
                    let asked = match reply {
                        Reply::Answered { retry_after: Some(text), .. } => seconds(text, now),
                        _ => None,
                    };
                    let failed = taken.record.attempts.saturating_add(1);
                    let wait = schedule::after(failed, asked, self.0.random.as_ref());
                    DeliveryEvent::Fail {
                        tried: tried.clone(),
                        next_at: wait.map(|seconds| now.plus(seconds)),
                    }
                }
            };
            match self.0.deliveries.apply(taken, event, now).await? {
                Applied::Done(entry) => {
                    count(&entry.record);
                    let Tried { status, problem, .. } = &tried;
                    tracing::debug!(key, status, problem, state = entry.record.state(), "webhook tried");
                    return Ok(entry.record.next_at());
                }
                Applied::Impossible(entry) => return Ok(entry.record.next_at()),
                // Its owner wants it once more, or the lease has ended.
                Applied::Stale => match self.0.deliveries.load(&key).await? {
                    Some(entry) => taken = entry,
                    None => return Ok(None),
                },
            }
        }
        Err(Fault::unavailable("store", "too many write at once"))
    }

    /// The receiver has said that there is nobody any more.
    async fn disable(&self, mut endpoint: Entry<WebhookEndpoint>, now: Timestamp) -> Result<(), Fault> {
        let id = endpoint.record.id.clone();
        for _ in 0..TRIES_MAX {
            let event = WebhookEndpointEvent::Disable("the receiver answered 410 (gone)".to_owned());
            match self.0.endpoints.apply(endpoint, event, now).await? {
                Applied::Done(_) => {
                    tracing::warn!(
                        endpoint = id,
                        "webhooks: the receiver answered 410, the endpoint is disabled"
                    );
                    break;
                }
                Applied::Impossible(_) => break,
                Applied::Stale => match self.0.endpoints.load(&id).await? {
                    Some(entry) => endpoint = entry,
                    None => break,
                },
            }
        }
        self.0.bell.ring();
        Ok(())
    }
}

/// Why an answer is no success, for the owner of the endpoint.
fn meaning(status: u16) -> String {
    match status {
        300..=399 => {
            format!("it answered {status}: redirects are not followed, change the URL of the endpoint")
        }
        410 => "it answered 410: the endpoint is disabled until its owner enables it".to_owned(),
        status => format!("it answered {status}"),
    }
}

fn count(delivery: &Delivery) {
    let outcome = match delivery.state() {
        "due" => "failed",
        over => over,
    };
    metrics::counter!("groat_webhooks_total", "outcome" => outcome).increment(1);
}
