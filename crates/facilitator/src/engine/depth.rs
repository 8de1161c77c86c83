//! How deep settled payments lie, for sellers that want more than one block.

use std::time::Duration;

use groat_core::Depth;
use groat_core::books::{Settlement, SettlementState};

use super::Engine;
use super::watch::block_of;

/// How long an answer from the book waits for what the node has to add.
const DEPTH_TIMEOUT: Duration = Duration::from_secs(2);

impl Engine {
    /// How deep a settled payment lies. A node that cannot tell in time must not keep the book from answering.
    pub(super) async fn depth(&self, record: &Settlement) -> Option<Depth> {
        let SettlementState::Settled(settled) = &record.state else { return None };
        let (settler, mined) = (self.settler_of(&record.network)?, block_of(settled));
        let depth = tokio::time::timeout(DEPTH_TIMEOUT, settler.depth(&record.network, &mined)).await.ok()?;
        depth.inspect_err(|fault| tracing::debug!(%fault, "the depth of a payment is unknown")).ok()
    }
}
