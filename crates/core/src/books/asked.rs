//! A request for payment that a seller has told its facilitator of, and whether the chain says that it is paid.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Aggregate, Book};
use crate::{Amount, Network, Timestamp};

/// The event that settled a request, and the block it lies in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// The transaction.
    pub transaction: String,
    /// Its block.
    pub block: u64,
    /// The hash of that block.
    pub block_hash: String,
    /// Which of the block's logs.
    pub index: u64,
    /// Who paid.
    pub buyer: String,
    /// When, by the contract's clock.
    pub at: Timestamp,
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum AskedState {
    /// Nobody has paid it so far.
    Open,
    /// It is paid, in a block that may yet be replaced.
    Settled(Paid),
    /// It is paid for good.
    Final(Paid),
    /// Nobody has paid it in its time.
    Expired,
}

/// One request, under the name that events call it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The hash of the id, as events have it.
    pub topic: String,
    /// The name of the API key that told of it; empty where none is needed. An id is one caller's own.
    pub caller: String,
    /// As the seller calls it.
    pub id: String,
    /// The chain.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// Its symbol, as events have it.
    pub currency: String,
    /// Who is paid.
    pub seller: String,
    /// Atomic units.
    pub amount: Amount,
    /// The last second in which a block may hold the payment.
    pub expires: Timestamp,
    /// The request as it was told.
    pub request: Value,
    /// When it was told.
    pub asked_at: Timestamp,
    /// Whether the blocks that were read before it waited for its payment have been searched.
    pub searched: bool,
    /// Where it stands.
    #[serde(flatten)]
    pub state: AskedState,
}

/// What can happen to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedEvent {
    /// The blocks before it was told of hold nothing.
    Search,
    /// The chain says that it is paid.
    Settle(Paid),
    /// The block that said so is gone.
    Reorganise,
    /// The block that said so is final.
    Finish,
    /// Every block of its time has been looked at.
    Expire,
}

impl Asked {
    /// The key of a request: those with one hash stand together.
    pub fn key_of(topic: &str, caller: &str) -> String {
        format!("{topic}/{caller}")
    }

    /// The event that settled it.
    pub fn paid(&self) -> Option<&Paid> {
        match &self.state {
            AskedState::Settled(paid) | AskedState::Final(paid) => Some(paid),
            AskedState::Open | AskedState::Expired => None,
        }
    }
}

impl Aggregate for Asked {
    type Event = AskedEvent;
    const BOOK: Book = Book::Requests;

    fn key(&self) -> String {
        Self::key_of(&self.topic, &self.caller)
    }

    fn state(&self) -> &'static str {
        match self.state {
            AskedState::Open => "open",
            AskedState::Settled(_) => "settled",
            AskedState::Final(_) => "final",
            AskedState::Expired => "expired",
        }
    }

    fn is_final(&self) -> bool {
        matches!(self.state, AskedState::Final(_) | AskedState::Expired)
    }

    fn apply(mut self, event: AskedEvent, _now: Timestamp) -> Option<Self> {
        use AskedEvent as E;
        use AskedState as S;
        self.state = match (self.state, event) {
            (S::Open, E::Search) if !self.searched => {
                self.searched = true;
                S::Open
            }
            // A chain that was reorganised may have a payment after all.
            (S::Open | S::Expired, E::Settle(paid)) => S::Settled(paid),
            (S::Settled(_), E::Reorganise) => {
                // Its transaction may lie in another block by now.
                self.searched = false;
                S::Open
            }
            (S::Settled(paid), E::Finish) => S::Final(paid),
            (S::Open, E::Expire) => S::Expired,
            _ => return None,
        };
        Some(self)
    }
}
