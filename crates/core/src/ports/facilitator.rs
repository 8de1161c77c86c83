//! Whoever verifies and settles: the engine in this process, or somebody over HTTP.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::books::{PaymentEvent, SettlementState};
use crate::verified::Claim;
use crate::{Depth, Failure, Fault, Network, Offer, Payment, PaymentId, Receipt, Timestamp};

/// One thing a facilitator can settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Protocol version, 1 or 2.
    pub version: u8,
    /// Scheme.
    pub scheme: String,
    /// Chain.
    pub network: Network,
    /// What the scheme tells sellers (x402 `kinds[].extra`).
    pub extra: Map<String, Value>,
}

/// What a facilitator can do (x402 `GET /supported`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Supported {
    /// Schemes on networks.
    pub kinds: Vec<Kind>,
    /// Protocol extensions.
    pub extensions: Vec<String>,
    /// Accounts that submit transactions, by CAIP family such as `eip155:*`.
    pub signers: BTreeMap<String, Vec<String>>,
}

/// What a facilitator knows of a payment.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentStatus {
    /// The payment.
    pub id: PaymentId,
    /// Who pays, whom, what: for whoever asks by id.
    pub payer: String,
    /// The payee.
    pub pay_to: String,
    /// The chain.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// Atomic units.
    pub amount: crate::Amount,
    /// After this the authorization is dead.
    pub valid_until: Timestamp,
    /// Gas that was spent for it.
    pub gas: u64,
    /// Whether it was told as settled and a reorganisation has undone that.
    pub reverted: bool,
    /// Where it stands.
    pub state: SettlementState,
    /// How deep its block lies, once settled; `None` where nobody can tell.
    pub depth: Option<Depth>,
}

/// Verifies and settles payments. Local engine and remote client look the same.
#[async_trait]
pub trait Facilitator: Send + Sync {
    /// What can be settled here.
    async fn supported(&self) -> Result<Supported, Fault>;

    /// Whether the payment would settle now. Not a promise and never a grant (threat row R19).
    async fn verify(&self, payment: &Payment, offer: &Offer) -> Result<Claim, Failure>;

    /// Moves the money, once: the same payment gets the same answer however often it is asked.
    async fn settle(&self, payment: &Payment, offer: &Offer) -> Result<Receipt, Failure>;

    /// What is known of a payment.
    async fn status(&self, id: &PaymentId) -> Result<Option<PaymentStatus>, Fault>;

    /// What has to be heard although nobody asks: the events after this number, oldest first.
    async fn events(&self, _after: u64, _count_max: usize) -> Result<Vec<PaymentEvent>, Fault> {
        Err(Fault::unavailable("facilitator", "its events cannot be asked for here"))
    }
}
