//! One account nonce of a signer: what was signed for it, whose payments that carries, and what became of it.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book, Paid, Settled};
use crate::{Network, PaymentId, Timestamp};

/// One signed transaction of ours. Written before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its hash, `0x…`.
    pub transaction: String,
    /// The signed bytes, hex: exactly these are sent, again and again. Emptied when one of the slot is mined; what a
    /// reorganisation throws out is in every node's pool, or is signed anew.
    pub raw: String,
    /// When it was signed.
    pub at: Timestamp,
}

/// Where a transaction is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mined {
    /// Its hash.
    pub transaction: String,
    /// Number of the block.
    pub block: u64,
    /// Hash of the block.
    pub block_hash: String,
}

impl From<&Settled> for Mined {
    fn from(Settled { transaction, block, block_hash, .. }: &Settled) -> Self {
        Self { transaction: transaction.clone(), block: *block, block_hash: block_hash.clone() }
    }
}

impl From<&Paid> for Mined {
    fn from(Paid { transaction, block, block_hash, .. }: &Paid) -> Self {
        Self { transaction: transaction.clone(), block: *block, block_hash: block_hash.clone() }
    }
}

/// Where a slot stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SlotState {
    /// No block has spent the nonce.
    Open,
    /// One of the attempts is in a block that may yet be replaced.
    Mined(Mined),
    /// The block is final.
    Final(Mined),
    /// Something that we have not signed has spent the nonce: what we signed can never be mined.
    Lost,
}

/// A nonce that was given out. The record can be created once: that is what keeps two payments, two instances or two
/// lives of one process from signing for the same nonce (invariant I8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The chain.
    pub network: Network,
    /// Who signs.
    pub signer: String,
    /// The account nonce.
    pub nonce: u64,
    /// The scheme of the payments.
    pub scheme: String,
    /// Whom it carries.
    pub payments: Vec<PaymentId>,
    /// Everything signed for it, oldest first; any may be mined. Forgotten when the block is final.
    pub attempts: Vec<Attempt>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: SlotState,
}

/// What can happen to a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotEvent {
    /// The same nonce was signed for again, with more gas or for nothing.
    Replace(Attempt),
    /// An attempt is in a block.
    Mine(Mined),
    /// That block is no longer part of the chain.
    Reorganise,
    /// That block is final.
    Finish,
    /// Something else has spent the nonce.
    Lose,
}

impl Slot {
    /// The key of a slot.
    pub fn key_of(network: &Network, signer: &str, nonce: u64) -> String {
        format!("{network}/{signer}/{nonce}")
    }
}

impl Aggregate for Slot {
    type Event = SlotEvent;
    const BOOK: Book = Book::Nonces;

    fn key(&self) -> String {
        Self::key_of(&self.network, &self.signer, self.nonce)
    }

    fn state(&self) -> &'static str {
        match self.state {
            SlotState::Open => "open",
            SlotState::Mined(_) => "mined",
            SlotState::Final(_) => "final",
            SlotState::Lost => "lost",
        }
    }

    fn is_final(&self) -> bool {
        matches!(self.state, SlotState::Final(_) | SlotState::Lost)
    }

    fn apply(mut self, event: SlotEvent, _now: Timestamp) -> Option<Self> {
        use SlotEvent as E;
        use SlotState as S;
        self.state = match (self.state, event) {
            (S::Open, E::Replace(attempt)) => {
                self.attempts.push(attempt);
                S::Open
            }
            (S::Open, E::Mine(mined)) => {
                self.attempts.iter_mut().for_each(|attempt| attempt.raw.clear());
                S::Mined(mined)
            }
            (S::Open, E::Lose) => S::Lost,
            (S::Mined(_), E::Reorganise) => S::Open,
            (S::Mined(mined), E::Finish) => {
                self.attempts.clear();
                S::Final(mined)
            }
            _ => return None,
        };
        Some(self)
    }
}
