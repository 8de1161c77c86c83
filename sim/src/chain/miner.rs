//! The chain's own pace and its own troubles.

use std::sync::Arc;

use crate::chain::Chain;
use crate::fault::Fault;
use crate::stage::Stage;

/// Makes blocks until the run ends.
pub(crate) async fn mine(stage: Arc<Stage>, chain: Arc<Chain>) {
    loop {
        stage.pause_ms(1_900, 2_100).await;
        if stage.strikes(Fault::BlockHeld) {
            stage.pause_ms(2_000, 30_000).await;
        }
        if chain.has_waiting() && stage.strikes(Fault::Evicted) {
            chain.evict();
        }
        chain.add_block();
        if stage.strikes(Fault::Reorg) {
            stage.pause_ms(0, 1_500).await;
            chain.reorganise(usize::try_from(stage.between(1, 3)).unwrap_or(1));
        }
    }
}
