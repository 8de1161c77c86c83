//! The worker: looks what there is to send, and keeps what is due on its way, much of it at once.

use std::collections::HashMap;
use std::time::Duration;

use groat_core::books::{Aggregate, WebhookEndpoint};
use groat_core::{Fault, Timestamp};
use groat_store::Entry;
use tokio::task::{Id, JoinSet};

use super::agenda::Agenda;
use super::send::{LEASE_S, TROUBLE_S};
use super::{PAGE, Webhooks};

/// Between two looks at the outbox when nobody rings; another instance may have written.
const LOOK_S: u64 = 2;
/// Between two looks for deliveries that another instance has left behind.
const SWEEP_S: u64 = 30;

/// Sends what is due, many at once.
pub struct Worker {
    webhooks: Webhooks,
    agenda: Agenda,
    /// The endpoints that were not removed, and whether they are told anything now.
    endpoints: HashMap<String, bool>,
    tasks: JoinSet<Option<Timestamp>>,
    on_their_way: HashMap<Id, (String, String)>,
    /// When to look at the outbox, and for what was left behind.
    look_at: Timestamp,
    sweep_at: Timestamp,
}

impl Worker {
    /// One for a process.
    pub fn new(webhooks: Webhooks) -> Self {
        Self {
            webhooks,
            agenda: Agenda::default(),
            endpoints: HashMap::new(),
            tasks: JoinSet::new(),
            on_their_way: HashMap::new(),
            look_at: Timestamp(0),
            sweep_at: Timestamp(0),
        }
    }

    /// Looks what there is to send, and begins to send what is due.
    pub async fn turn(&mut self) {
        let now = self.webhooks.now();
        if let Err(fault) = self.look(now).await {
            tracing::warn!(%fault, "webhooks: the book cannot be read, again in a while");
            self.sweep_at = self.sweep_at.min(now.plus(TROUBLE_S));
        }
        for (endpoint, key, at) in self.webhooks.take_asked() {
            self.agenda.put(&endpoint, key, at);
        }
        // Those of an endpoint that is gone are taken as well, to be cancelled.
        let endpoints = &self.endpoints;
        let may = |endpoint: &str| endpoints.get(endpoint).is_none_or(|is_told| *is_told);
        for (endpoint, key) in self.agenda.take(now, may) {
            let (webhooks, wanted) = (self.webhooks.clone(), key.clone());
            let task = self.tasks.spawn(async move { webhooks.deliver(&wanted).await });
            self.on_their_way.insert(task.id(), (endpoint, key));
        }
    }

    /// Until there may be something to do.
    pub async fn wait(&mut self) {
        let now = self.webhooks.now();
        let endpoints = &self.endpoints;
        let may = |endpoint: &str| endpoints.get(endpoint).is_none_or(|is_told| *is_told);
        let next_at = self.agenda.next_at(may).map_or(self.look_at, |at| at.min(self.look_at));
        let nap = Duration::from_secs(next_at.since(now).clamp(1, LOOK_S));
        tokio::select! {
            () = self.webhooks.0.bell.rung() => self.look_at = Timestamp(0),
            Some(landed) = self.tasks.join_next_with_id() => self.note(landed),
            () = tokio::time::sleep(nap) => {}
        }
    }

    /// Until nothing is on its way.
    pub async fn settle(&mut self) {
        while let Some(landed) = self.tasks.join_next_with_id().await {
            self.note(landed);
        }
    }

    fn note(&mut self, landed: Result<(Id, Option<Timestamp>), tokio::task::JoinError>) {
        let (id, again_at) = match landed {
            Ok(landed) => landed,
            // A bug; its lease ends.
            Err(error) => (error.id(), Some(self.webhooks.now().plus(LEASE_S))),
        };
        if let Some((endpoint, key)) = self.on_their_way.remove(&id) {
            self.agenda.landed(&endpoint, key, again_at);
        }
    }

    async fn look(&mut self, now: Timestamp) -> Result<(), Fault> {
        if self.sweep_at <= now {
            self.sweep().await?;
            self.sweep_at = now.plus(SWEEP_S);
        }
        if self.look_at > now {
            return Ok(());
        }
        self.look_at = now.plus(LOOK_S);
        let endpoints = self.webhooks.survey().await?;
        let told =
            |entry: &Entry<WebhookEndpoint>| (entry.record.id.clone(), self.webhooks.is_told(&entry.record));
        self.endpoints = endpoints.iter().map(told).collect();
        if endpoints.is_empty() {
            return Ok(());
        }
        let newest = self.webhooks.newest().await?;
        for entry in endpoints {
            match self.webhooks.fan_out(entry, newest, &mut self.agenda).await {
                Ok(false) => {}
                Ok(true) => self.look_at = Timestamp(0),
                Err(fault) => {
                    // Perhaps it is written, and only the answer was lost.
                    self.sweep_at = Timestamp(0);
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// What the book has that nobody here knows of.
    async fn sweep(&mut self) -> Result<(), Fault> {
        let mut after: Option<String> = None;
        loop {
            let page = self.webhooks.0.deliveries.scan_open(after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.record.key());
            for Entry { record, .. } in page {
                if let Some(at) = record.next_at() {
                    self.agenda.put(&record.endpoint, record.key(), at);
                }
            }
        }
    }
}
