//! What a client pays with, and what it gives back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use groat_core::payment::DialectId;
use groat_core::policy::Policy;
use groat_core::ports::{Clock, Payer, Signer, Store};
use groat_core::{Offer, PaymentId, Receipt, Timestamp};
use groat_wire::Dialects;
use reqwest::Response;

use super::AskView;
use super::send::Closing;

/// A person, or somebody who speaks for one.
#[async_trait]
pub trait Approver: Send + Sync {
    /// Whether this payment may be made.
    async fn approve(&self, ask: &AskView) -> bool;
}

/// Nobody: whatever the policy does not allow by itself is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct DenyAll;

#[async_trait]
impl Approver for DenyAll {
    async fn approve(&self, _: &AskView) -> bool {
        false
    }
}

/// Everything that a client pays with.
#[derive(Clone)]
pub struct Buyer {
    /// Who signs.
    pub signer: Arc<dyn Signer>,
    /// What is allowed.
    pub policy: Policy,
    /// Where purchases are written down. All clients that share a wallet must share it.
    pub store: Arc<dyn Store>,
    /// Schemes on chain families.
    pub payers: Vec<Arc<dyn Payer>>,
    /// Languages, the preferred first.
    pub dialects: Dialects,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who is asked when the policy says so.
    pub approver: Arc<dyn Approver>,
    /// How patient to be.
    pub options: Options,
}

/// How patient a client is, and what its owner decided beside the policy.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long the head of an answer may take, and every pause in its body.
    pub timeout: Duration,
    /// How long the body of a 402 may take (threat row Y14).
    pub challenge_timeout: Duration,
    /// How long a payment whose outcome is unknown is sent again before [`BuyError::Pending`](super::BuyError) is
    /// given.
    pub patience: Duration,
    /// How often it is sent again in that time, at most.
    pub resends_max: u32,
    /// How long to wait before sending again when the seller does not say.
    pub resend_after: Duration,
    /// Sign a new payment although an earlier one for the same request may still be under way.
    pub again: bool,
    /// Read 402s in this language only, instead of the preferred one that they speak.
    pub dialect: Option<DialectId>,
    /// Sign each paid request as its payer, where a proof of payment is seen by everybody and the dialect has room for it.
    pub prove_payer: bool,
    /// Keys that everybody has may sign, on test networks. Only for `groat dev` and `groat demo` (threat row K12).
    pub published_keys: bool,
    /// Hosts (with port, where the URL names one) whose payee may be another than before, for payments after this
    /// moment (threat row Y03).
    pub payees_forgotten: BTreeMap<String, Timestamp>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            challenge_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(30),
            resends_max: 10,
            resend_after: Duration::from_secs(1),
            again: false,
            dialect: None,
            prove_payer: false,
            published_keys: false,
            payees_forgotten: BTreeMap::new(),
        }
    }
}

/// An answer, and what was paid for it.
#[derive(Debug)]
pub struct Bought {
    /// The seller's answer.
    pub response: Response,
    /// The payment, when there was one.
    pub payment: Option<PaidWith>,
    /// A purchase that is open until the answer has arrived.
    pub(super) closing: Option<Closing>,
}

/// A payment that was made.
#[derive(Debug, Clone)]
pub struct PaidWith {
    /// Its id, the same at seller and facilitator.
    pub id: PaymentId,
    /// What it accepted.
    pub offer: Offer,
    /// What the seller says of it. Nobody has proved it.
    pub receipt: Option<Receipt>,
    /// In which language.
    pub dialect: DialectId,
    /// Whether it had been signed before, by an earlier call.
    pub resent: bool,
}

/// What has been spent today (UTC), in millionths of a dollar: everything that is not proved unpaid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentToday {
    /// Altogether.
    pub total_usd_micros: u64,
    /// By host.
    pub hosts_usd_micros: BTreeMap<String, u64>,
}
