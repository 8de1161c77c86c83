//! The promises, compared with everything that was written down. Each broken one is named.

mod books;
mod direct;
mod money;
mod passes;
mod query;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;

use groat_core::PaymentId;
use groat_core::books::{Aggregate, Sale, Settlement};
use groat_core::ports::Store;
use groat_store::Journal;

use crate::chain::{Account, AuthorizationId, Ledger, Transfer};
use crate::notebook::{Deal, Outlay};
use crate::world::World;

/// More records than a run can have.
const RECORDS_MAX: usize = 10_000;

/// Everything that can be known at the end.
struct Evidence<'w> {
    world: &'w World,
    ledger: Arc<Ledger>,
    deals: Vec<Deal>,
    outlays: Vec<Outlay>,
    settlements: BTreeMap<PaymentId, Settlement>,
    sales: BTreeMap<PaymentId, Sale>,
}

impl<'w> Evidence<'w> {
    async fn collect(world: &'w World) -> Option<Self> {
        let disk = |disk: &groat_store::MemoryStore| -> Arc<dyn Store> { Arc::new(disk.clone()) };
        let settlements = Journal::<Settlement>::new(disk(&world.facilitator.disk));
        let sales = Journal::<Sale>::new(disk(&world.seller.disk));
        let settlements = settlements.scan_all(None, RECORDS_MAX).await.ok()?;
        let sales = sales.scan_all(None, RECORDS_MAX).await.ok()?;
        Some(Self {
            world,
            ledger: world.chain.head().after,
            deals: world.notebook.deals(),
            outlays: world.notebook.outlays(),
            settlements: settlements.into_iter().map(|entry| (entry.record.id, entry.record)).collect(),
            sales: sales.into_iter().map(|entry| (entry.record.id, entry.record)).collect(),
        })
    }

    /// The transfer of a payment on the final chain.
    fn transfer(&self, authorization: &AuthorizationId) -> Option<&Transfer> {
        self.ledger.transfers.iter().find(|transfer| transfer.authorization.id() == *authorization)
    }

    fn deal(&self, id: &PaymentId) -> Option<&Deal> {
        self.deals.iter().find(|deal| deal.id == *id)
    }

    /// Whether a payment was made directly.
    fn is_direct(&self, id: &PaymentId) -> bool {
        self.outlays.iter().any(|outlay| outlay.ids.contains(id))
    }

    /// A promise about a payment is broken, unless a reorganisation has changed its fate: nothing follows a payment
    /// after its first confirmation yet.
    fn broken(&self, deal: &Deal, rule: &'static str, text: String) {
        if self.world.chain.is_shaken(&deal.authorization.id()) {
            self.world.stage.gap("changed by a reorganisation", || format!("{rule}: {text}"));
        } else {
            self.world.stage.broken(rule, text);
        }
    }
}

/// Counts what is still open after the storm, though everybody could go on.
pub(crate) async fn open(world: &World) {
    let Some(evidence) = Evidence::collect(world).await else { return };
    for id in evidence.settlements.values().filter(|record| !record.is_final()).map(|record| record.id) {
        world.stage.gap("a settlement rests until a restart", || id.to_string());
    }
    for record in evidence.sales.values().filter(|record| !record.is_final()) {
        world
            .stage
            .gap("a sale rests until a restart or a resend", || format!("{} {}", record.id, record.state()));
    }
}

/// Compares everything.
pub(crate) async fn check(world: &World) {
    let Some(evidence) = Evidence::collect(world).await else {
        return world.stage.broken("the books can be read", "a record is garbled".to_owned());
    };
    money::check(&evidence);
    books::check(&evidence);
    service::check(&evidence);
    direct::check(&evidence);
    passes::check(&evidence);
    query::check(&evidence).await;
    lane(&evidence).await;
}

/// A nonce that was given out and is not on the chain stops everything behind it (invariant I13).
async fn lane(evidence: &Evidence<'_>) {
    let world = evidence.world;
    let key = format!("{}/{}", crate::exact::NETWORK, Account::GAS);
    let lane = world.facilitator.disk.get(groat_core::books::Book::Lanes, &key).await;
    let next = lane.ok().flatten().and_then(|record| {
        serde_json::from_str::<serde_json::Value>(&record.body).ok()?.get("next")?.as_u64()
    });
    let mined = evidence.ledger.nonce(Account::GAS);
    if next.is_some_and(|next| next > mined) {
        world.stage.broken("no nonce gap outlives its payment", format!("next {next:?}, mined {mined}"));
    }
}
