//! How deep settled payments lie, for sellers that want more than one block.

use std::time::Duration;

use groat_core::Depth;
use groat_core::books::{Mined, Settlement, SettlementState};

use super::Engine;

/// How long an answer from the book waits for what the node has to add.
pub(super) const DEPTH_TIMEOUT: Duration = Duration::from_secs(2);

impl Engine {
    /// How deep a settled payment lies. A node that cannot tell in time must not keep the book from answering.
    pub(super) async fn depth(&self, record: &Settlement) -> Option<Depth> {
        let SettlementState::Settled(settled) = &record.state else { return None };
        let (network, mined) = (&record.network, Mined::from(settled));
        if self.is_taken_from(network) {
            // A commit in a book of ours is not replaced by another.
            return Some(Depth { confirmations: 1, safe: true, finalized: true });
        }
        let asked = async {
            match self.settler_of(network) {
                Some(settler) => Some(settler.depth(network, &mined).await),
                None => Some(self.observer_of(network)?.depth(network, &mined).await),
            }
        };
        let depth = tokio::time::timeout(DEPTH_TIMEOUT, asked).await.ok()??;
        depth.inspect_err(|fault| tracing::debug!(%fault, "the depth of a payment is unknown")).ok()
    }
}
