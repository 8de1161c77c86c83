//! What an operator sees of the lanes, and how one goes on that was halted.

use std::sync::Arc;

use groat_core::books::{Slot, SlotState};
use groat_core::ports::Settler;
use groat_core::{Fault, Network};

use super::lane::{Lane, lane_key, write_lane};
use super::{Engine, PAGE};

/// One signer on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// The chain.
    pub network: Network,
    /// Who signs.
    pub signer: String,
    /// The nonce of its next transaction, by the book.
    pub next: u64,
    /// What the chain says; `None` when it cannot be asked.
    pub chain: Option<ChainNonces>,
    /// Transactions that no block has decided.
    pub open: usize,
    /// Somebody else uses the account: nothing more is signed.
    pub halted: bool,
}

/// How many nonces of an account are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainNonces {
    /// In blocks.
    pub spent: u64,
    /// With what waits for a block.
    pub waiting: u64,
}

/// A lane that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// Who signs, as the book spells it.
    pub signer: String,
    /// The nonce that would have been next.
    pub from: u64,
    /// The nonce that is.
    pub to: u64,
}

/// Why a lane does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResumeError {
    /// There is no such lane.
    #[error("the book has no such lane: `groat facilitator lanes` lists them")]
    Unknown,
    /// Nothing to do.
    #[error("the lane is not halted: nothing was changed")]
    NotHalted,
    /// Whoever watches them would halt it again.
    #[error(
        "{0} transactions are undecided although their nonces are spent: let the facilitator run until it has found out \
         what became of them, and try again"
    )]
    Undecided(usize),
    /// Ours would stand behind them, or against them.
    #[error(
        "transactions of somebody else wait for a block (nonces {from} to {to}): wait until they are mined, or replace \
         them, and try again"
    )]
    Strangers {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Nothing of ours would ever be mined behind it.
    #[error(
        "nonce {0} is free and nothing in the book will spend it: send any transaction with it from this account, and \
         try again"
    )]
    Gap(u64),
    /// Chain or store cannot be asked.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Engine {
    /// All lanes of the book.
    pub async fn lane_status(&self) -> Result<Vec<LaneStatus>, Fault> {
        let slots = self.open_slots().await?;
        let mut status = Vec::new();
        for (network, signer) in self.lanes().await? {
            let Some((_, lane)) = self.written_lane(&network, &signer).await? else { continue };
            let chain = match self.settler_of(&network) {
                Some(settler) => match nonces(settler.as_ref(), &network, &signer).await {
                    Ok(nonces) => Some(nonces),
                    Err(fault) => {
                        tracing::warn!(%network, signer, %fault, "the chain cannot be asked");
                        None
                    }
                },
                None => None,
            };
            let own = slots.iter().filter(|slot| slot.network == network && slot.signer == signer);
            let open = own.filter(|slot| slot.state == SlotState::Open).count();
            status.push(LaneStatus { network, signer, next: lane.next, chain, open, halted: lane.halted });
        }
        Ok(status)
    }

    /// Lets a halted lane go on, behind everything that the chain has spent. Call it when the account is used by nobody
    /// else any more; every engine on this book notices at its next [`Engine::recover`].
    pub async fn resume_lane(&self, network: &Network, signer: &str) -> Result<Resumed, ResumeError> {
        let Some(settler) = self.settler_of(network) else {
            return Err(Fault::unavailable("chain", format!("no node of {network} is set")).into());
        };
        let lanes = self.lanes().await?;
        let same = |(of, who): &(Network, String)| of == network && settler.same_account(who, signer);
        let (_, signer) = lanes.into_iter().find(same).ok_or(ResumeError::Unknown)?;
        // Nothing is signed for a halted lane, so all that changes meanwhile is the chain.
        let ChainNonces { spent, waiting } = nonces(settler.as_ref(), network, &signer).await?;
        let (expect, lane) = self.written_lane(network, &signer).await?.ok_or(ResumeError::Unknown)?;
        if !lane.halted {
            return Err(ResumeError::NotHalted);
        }
        let slots = self.open_slots().await?;
        let own = || slots.iter().filter(|slot| slot.network == *network && slot.signer == signer);
        match own().filter(|slot| slot.state == SlotState::Open && slot.nonce < spent).count() {
            0 => {}
            count => return Err(ResumeError::Undecided(count)),
        }
        let to = lane.next.max(spent);
        if waiting > to {
            return Err(ResumeError::Strangers { from: to, to: waiting - 1 });
        }
        if let Some(gap) = (spent..lane.next).find(|nonce| own().all(|slot| slot.nonce != *nonce)) {
            let known = self.0.slots.load(&Slot::key_of(network, &signer, gap)).await?;
            if known.is_some_and(|slot| matches!(slot.record.state, SlotState::Final(_))) {
                let why = format!("the node is behind: in the book nonce {gap} is spent");
                return Err(Fault::garbled("chain", why).into());
            }
            return Err(ResumeError::Gap(gap));
        }
        let write = write_lane(&lane_key(network, &signer), expect, Lane { next: to, halted: false })?;
        if !self.0.store.commit(vec![write]).await? {
            return Err(Fault::unavailable("store", "somebody else wrote at the same moment").into());
        }
        tracing::warn!(%network, signer, from = lane.next, to, "the signer goes on");
        Ok(Resumed { signer, from: lane.next, to })
    }

    /// Who is halted in the book is halted in this process, and who goes on there goes on here.
    pub(super) async fn heed_lane(
        &self,
        settler: &Arc<dyn Settler>,
        network: &Network,
        signer: &str,
    ) -> Result<(), Fault> {
        let queue = self.0.queues.of(settler, network);
        let Some((_, lane)) = self.written_lane(network, signer).await? else { return Ok(()) };
        match (lane.halted, queue.is_halted(signer)) {
            (true, false) => queue.halt(signer),
            (false, true) => {
                queue.resume(signer);
                self.wake(&queue);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn settler_of(&self, network: &Network) -> Option<&Arc<dyn Settler>> {
        self.0.settlers.iter().find(|settler| settler.speaks(network))
    }

    /// Everything that is not final or lost.
    async fn open_slots(&self) -> Result<Vec<Slot>, Fault> {
        let mut slots = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.0.slots.scan_open(after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(slots) };
            after = Some(groat_core::books::Aggregate::key(&last.record));
            slots.extend(page.into_iter().map(|entry| entry.record));
        }
    }
}

async fn nonces(settler: &dyn Settler, network: &Network, signer: &str) -> Result<ChainNonces, Fault> {
    let spent = settler.spent_nonces(network, signer).await?;
    Ok(ChainNonces { spent, waiting: settler.chain_nonce(network, signer).await?.max(spent) })
}
