//! The facilitator's book: one authorization on its way to the chain.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::{Amount, Network, Offer, Payment, PaymentId, Reason, Timestamp};

/// One signed transaction of ours that carries the payment. Written before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its hash, `0x…`.
    pub transaction: String,
    /// The signed bytes, hex: exactly these are sent, again and again.
    pub raw: String,
    /// Who signed.
    pub signer: String,
    /// The signer's account nonce. A replacement for more gas keeps it.
    pub nonce: u64,
    /// When it was signed.
    pub at: Timestamp,
}

/// The proof that the money has moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The transaction that carries the transfer.
    pub transaction: String,
    /// The block it is in.
    pub block: u64,
    /// Hash of that block, to notice a reorganisation.
    pub block_hash: String,
    /// Whether somebody else submitted it (threat row E09).
    pub by_other: bool,
}

/// Where a settlement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SettlementState {
    /// Reserved: nobody else works on it, nothing is signed.
    Held,
    /// At least one transaction is signed and perhaps sent.
    Submitted {
        /// All of them, oldest first; any may land.
        attempts: Vec<Attempt>,
    },
    /// The money has moved.
    Settled(Settled),
    /// Proved that it has not and never will by this authorization, or that the chain refused it.
    Failed {
        /// Why.
        reason: Reason,
        /// The transaction that failed, where one did.
        transaction: Option<String>,
    },
    /// Given up before anything was signed.
    Released,
}

/// One payment in the facilitator's book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settlement {
    /// The payment.
    pub id: PaymentId,
    /// The chain.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// How much.
    pub amount: Amount,
    /// After this the authorization is dead.
    pub valid_until: Timestamp,
    /// When it was held.
    pub held_at: Timestamp,
    /// The payment as it came, to go on with after a crash.
    pub payment: Payment,
    /// The offer it pays.
    pub offer: Offer,
    /// Where it stands.
    #[serde(flatten)]
    pub state: SettlementState,
}

/// What can happen to a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettlementEvent {
    /// A transaction was signed, the first or a replacement.
    Submit(Attempt),
    /// Found on chain.
    Confirm(Settled),
    /// Proved dead.
    Fail {
        /// Why.
        reason: Reason,
        /// What failed.
        transaction: Option<String>,
    },
    /// Given up before signing.
    Release,
    /// The transaction was mined and reverted and the authorization is unused: its nonce is spent, nothing moved,
    /// and the same authorization may be taken up again (invariant I5).
    Abandon,
    /// Taken up again: it failed or was released before, and the authorization is still good.
    Hold,
    /// The block that carried it is no longer part of the chain.
    Reorganise {
        /// What was signed before; it goes on from there.
        attempts: Vec<Attempt>,
    },
}

impl Aggregate for Settlement {
    type Event = SettlementEvent;
    const BOOK: Book = Book::Settlements;

    fn key(&self) -> String {
        self.id.to_string()
    }

    fn state(&self) -> &'static str {
        match self.state {
            SettlementState::Held => "held",
            SettlementState::Submitted { .. } => "submitted",
            SettlementState::Settled(_) => "settled",
            SettlementState::Failed { .. } => "failed",
            SettlementState::Released => "released",
        }
    }

    fn is_final(&self) -> bool {
        matches!(
            self.state,
            SettlementState::Settled(_) | SettlementState::Failed { .. } | SettlementState::Released
        )
    }

    fn apply(mut self, event: SettlementEvent, now: Timestamp) -> Option<Self> {
        use SettlementEvent as E;
        use SettlementState as S;
        self.state = match (self.state, event) {
            (S::Held, E::Submit(attempt)) => S::Submitted { attempts: vec![attempt] },
            // A second live nonce for one payment could move the money twice (invariant I1).
            (S::Submitted { attempts }, E::Submit(next))
                if attempts.iter().any(|a| !a.shares_nonce(&next)) =>
            {
                return None;
            }
            (S::Submitted { mut attempts }, E::Submit(next)) => {
                attempts.push(next);
                S::Submitted { attempts }
            }
            (S::Held | S::Submitted { .. }, E::Confirm(settled)) => S::Settled(settled),
            (S::Held | S::Submitted { .. }, E::Fail { reason, transaction }) => {
                S::Failed { reason, transaction }
            }
            (S::Held, E::Release) | (S::Submitted { .. }, E::Abandon) => S::Released,
            (S::Released, E::Hold) => {
                self.held_at = now;
                S::Held
            }
            (S::Settled(_), E::Reorganise { attempts }) if attempts.is_empty() => S::Held,
            (S::Settled(_), E::Reorganise { attempts }) => S::Submitted { attempts },
            _ => return None,
        };
        Some(self)
    }
}

impl Attempt {
    fn shares_nonce(&self, other: &Self) -> bool {
        self.signer == other.signer && self.nonce == other.nonce
    }
}
