//! Webhooks of `groat facilitator`.

use std::sync::Arc;

use anyhow::Context;
use groat_core::ports::Store;
use groat_facilitator::Engine;
use groat_facilitator::http::Caller;
use groat_facilitator::webhooks::{Guard, HttpPost, Lookup, Parts, SystemLookup, Webhooks};

use crate::registry;

/// Webhooks for these callers. Comes before anything is settled, so that the engine knows whether somebody listens.
pub(super) async fn open(
    engine: &Engine,
    store: &Arc<dyn Store>,
    callers: &[Caller],
    allow_private: bool,
) -> anyhow::Result<Webhooks> {
    let guard = Guard { allow_private };
    let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
    let webhooks = Webhooks::new(Parts {
        store: Arc::clone(store),
        bell: engine.bell(),
        callers: callers.to_vec(),
        mechanisms: registry::mechanisms(&Vec::new()),
        post: Arc::new(HttpPost::new(guard, &lookup)?),
        guard,
        clock: registry::clock(),
        random: registry::random(),
    });
    webhooks.open().await.context("the endpoints of webhooks cannot be read")?;
    Ok(webhooks)
}
