//! From the outbox to deliveries: one for each endpoint that wants to hear of an event and may.

use std::sync::atomic::Ordering;

use groat_core::Fault;
use groat_core::books::{
    Aggregate, Delivery, EndpointState, PaymentEvent, Subject, WebhookEndpoint, WebhookEndpointEvent,
};
use groat_store::Entry;

use super::Webhooks;
use super::agenda::Agenda;

/// Events that are looked at together for one endpoint.
const EVENTS: usize = 100;
/// So many pages in one turn; then the others have theirs.
const PAGES: usize = 10;
/// With so many deliveries on their way to an endpoint the rest waits in the outbox.
pub(super) const BACKLOG_MAX: usize = 10_000;

impl Webhooks {
    /// The number of the newest event.
    pub(super) async fn newest(&self) -> Result<u64, Fault> {
        let newest = crate::engine::newest(&self.0.outbox, self.0.seen.load(Ordering::Relaxed)).await?;
        self.0.seen.fetch_max(newest, Ordering::Relaxed);
        Ok(newest)
    }

    /// Whether an endpoint is told anything now.
    pub(super) fn is_told(&self, endpoint: &WebhookEndpoint) -> bool {
        endpoint.state == EndpointState::Enabled && self.0.audience.knows(&endpoint.owner)
    }

    /// Writes deliveries for what lies behind the cursor of an endpoint, and moves it. Whether there is more.
    pub(super) async fn fan_out(
        &self,
        mut entry: Entry<WebhookEndpoint>,
        newest: u64,
        agenda: &mut Agenda,
    ) -> Result<bool, Fault> {
        if !self.is_told(&entry.record) {
            return Ok(false);
        }
        for _ in 0..PAGES {
            let endpoint = &entry.record;
            if endpoint.cursor >= newest || agenda.count(&endpoint.id) + EVENTS > BACKLOG_MAX {
                return Ok(false);
            }
            let after = PaymentEvent::key_of(endpoint.cursor);
            let page = self.0.outbox.scan_all(Some(&after), EVENTS).await?;
            let Some(last) = page.last().map(|event| event.record.number) else { return Ok(false) };
            let now = self.now();
            let Some(next) = endpoint.clone().apply(WebhookEndpointEvent::Advance(last), now) else {
                return Ok(false);
            };
            let wanted = page.iter().map(|event| &event.record).filter(|event| {
                (endpoint.types.is_empty() || endpoint.types.contains(&event.kind))
                    && self.0.audience.may_hear(&endpoint.owner, event)
            });
            let subject = |event: &PaymentEvent| Subject::Event { number: event.number, kind: event.kind };
            let fresh: Vec<_> =
                wanted.map(|event| Delivery::new(&endpoint.id, subject(event), now)).collect();
            let mut writes = vec![self.0.endpoints.stage(&entry, &next)];
            writes.extend(fresh.iter().map(|delivery| self.0.deliveries.stage_create(delivery)));
            if !self.0.endpoints.commit(writes).await? {
                // Another instance was first, or its owner has changed it: it is read again.
                return Ok(true);
            }
            fresh.iter().for_each(|delivery| agenda.put(&delivery.endpoint, delivery.key(), now));
            entry = Entry { version: entry.version + 1, record: next };
        }
        Ok(true)
    }
}
