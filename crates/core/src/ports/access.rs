//! A claim that lets a request in without a payment: its sender says that access was bought before, elsewhere.

use async_trait::async_trait;

use super::Mechanism;
use crate::payment::DialectId;
use crate::{Fault, Offer, Timestamp};

/// What a request says instead of paying. Nothing of it is believed before it was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessClaim {
    /// The dialect that it came in, and in which it is answered.
    pub dialect: DialectId,
    /// Who is said to have access.
    pub account: String,
    /// What for, where the claim says it. The offer of the route counts; another name is a contradiction.
    pub service: Option<String>,
    /// What shows that the account itself makes the claim, where it is there.
    pub proof: Option<AccessProof>,
}

/// A signature over the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessProof {
    /// As it was sent.
    pub signature: String,
    /// When it was made.
    pub at: Timestamp,
    /// What must have been signed: the request that really came, as its dialect writes it down.
    pub lines: String,
}

/// Why a claim lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAccess {
    /// No access is sold here in this way.
    #[error("no access is sold here in this way")]
    NotSold,
    /// The account has no access, or no longer.
    #[error("this account has no access now")]
    Inactive,
    /// The claim is for something else than what this route sells.
    #[error("the claim is for something else than what is asked for")]
    Elsewhere,
    /// Nothing shows, or something wrong, that the account itself makes the claim (threat row B19).
    #[error("{0}")]
    Unproved(&'static str),
    /// Nobody can tell now.
    #[error("whether this account has access cannot be told now")]
    Unknown(#[from] Fault),
}

/// Whoever can be asked about claims: the chain's half of a [`Mechanism`] whose offers
/// [give access](Mechanism::gives_access).
#[async_trait]
pub trait Access: Mechanism {
    /// Whether the claim lets a request to this offer in. Nothing is charged, and nothing is kept of it.
    async fn admit(&self, claim: &AccessClaim, offer: &Offer, now: Timestamp) -> Result<(), NoAccess>;
}
