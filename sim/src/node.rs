//! A process's way to the model chain, with everything that happens on it.

use std::sync::Arc;

use groat_core::Fault as Trouble;

use crate::chain::{Block, Chain};
use crate::fault::Fault;
use crate::life::Life;
use crate::stage::Stage;

/// A process's way to the chain.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) stage: Arc<Stage>,
    pub(crate) life: Arc<Life>,
    pub(crate) chain: Arc<Chain>,
}

pub(crate) fn unavailable(detail: &str) -> Trouble {
    Trouble::unavailable("chain", detail)
}

impl Node {
    /// The way there and back of one question. The node may be a few blocks behind; `lag` says how many.
    pub(crate) async fn ask(&self, lag: usize) -> Result<Block, Trouble> {
        self.life.step().await;
        self.stage.travel().await;
        if self.chain.is_down() || self.stage.strikes(Fault::RpcReplyLost) {
            self.stage.pause_ms(10, 3_000).await;
            self.life.step().await;
            return Err(unavailable("simulated"));
        }
        let seen = self.chain.view(lag);
        self.life.step().await;
        Ok(seen)
    }

    pub(crate) fn lag(&self) -> usize {
        if self.stage.strikes(Fault::StaleNode) { usize::from(self.stage.chance(500)) + 1 } else { 0 }
    }
}
