//! Subscribers of a service: whoever has access by the subscription manager is let in without a payment.
//!
//! An account in a header field proves nothing, so its holder signs the request (threat row B19); what is signed holds for
//! a minute. Whether there is access is asked of the contract for the service of the route, whatever the request says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use async_trait::async_trait;
use groat_core::ports::{Access, AccessClaim, AccessProof, NoAccess};
use groat_core::{Failure, Fault, Offer, Reason, Timestamp};
use tokio::time::Instant;

use super::binding::Signed;
use super::registry::{self, Mute, SubscriptionManager};
use super::{ByHashEvm, Service};
use crate::{Chain, account};

/// How long a signature is good.
const AGE_S_MAX: u64 = 60;
/// How far ahead of ours the clock of whoever signs may be.
const AHEAD_S_MAX: u64 = 10;
/// How long an answer of the contract is remembered.
const REMEMBERED: Duration = Duration::from_secs(3);
/// How many are.
const REMEMBERED_MAX: usize = 4_096;

/// Who is let in without a payment, by an offer (`extra.subscriptions` and `extra.subscription`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscriptions {
    pub(super) manager: Address,
    signed: bool,
}

impl Subscriptions {
    pub(super) fn of(offer: &Offer) -> Result<Option<Self>, Reason> {
        let text = |key: &str| offer.extra.get(key).map(|value| value.as_str().unwrap_or_default());
        let wrong = Reason::InvalidRequirements;
        let (manager, signed) = match (text("subscriptions"), text("subscription")) {
            (None, None | Some("off")) => return Ok(None),
            (Some(manager), None | Some("signed")) => (manager, true),
            (Some(manager), Some("unsigned")) => (manager, false),
            (Some(manager), Some("off")) => {
                return account::parse(manager).map(|_| None).ok_or(wrong);
            }
            _ => return Err(wrong),
        };
        let manager = account::parse(manager).filter(|manager| !manager.is_zero()).ok_or(wrong.clone())?;
        // A subscription is of a service.
        Service::of(offer)?.ok_or(wrong)?;
        Ok(Some(Self { manager, signed }))
    }
}

/// What is asked of a subscription manager.
type Question = (u64, Address, U256, Address);

/// Answers of a moment ago: a subscriber asks often, and a node is asked once.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered(Arc<Mutex<HashMap<Question, (Instant, bool)>>>);

impl Remembered {
    fn find(&self, question: &Question) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(question).filter(|(at, _)| at.elapsed() < REMEMBERED).map(|(_, answer)| *answer)
    }

    fn keep(&self, question: Question, answer: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        }
        if known.len() < REMEMBERED_MAX {
            known.insert(question, (Instant::now(), answer));
        }
    }
}

#[async_trait]
impl Access for ByHashEvm {
    async fn admit(&self, claim: &AccessClaim, offer: &Offer, now: Timestamp) -> Result<(), NoAccess> {
        let (Ok(Some(service)), Ok(Some(sold))) = (Service::of(offer), Subscriptions::of(offer)) else {
            return Err(NoAccess::NotSold);
        };
        if claim.service.as_ref().is_some_and(|named| named.parse() != Ok(service.id)) {
            return Err(NoAccess::Elsewhere);
        }
        let subscriber = account::parse(&claim.account).ok_or(NoAccess::Unproved(
            "the subscriber is not an account: write it with the right checksum",
        ))?;
        let signed = match (sold.signed, &claim.proof) {
            (false, _) => None,
            (true, Some(proof)) => Some(fresh(proof, now)?),
            (true, None) => return Err(NoAccess::Unproved(UNSIGNED)),
        };
        let chain = self.chain(&offer.network);
        let chain = chain.map_err(|_| Fault::unavailable("chain", "no node is set for subscriptions"))?;
        if !self.has_access(chain, sold.manager, service.id, subscriber).await? {
            return Err(NoAccess::Inactive);
        }
        match signed {
            None => Ok(()),
            // A plain account is recognised without a question; last, because a wallet has to be asked.
            Some(signed) => match signed.speaks_for(chain, subscriber).await {
                Ok(true) => Ok(()),
                Ok(false) | Err(Failure::Refused(_)) => Err(NoAccess::Unproved(NOT_THEIRS)),
                Err(Failure::Fault(fault)) => Err(fault.into()),
            },
        }
    }
}

const UNSIGNED: &str = "a subscriber signs the request: add X-Payment-Signature and X-Payment-Timestamp";
const NOT_THEIRS: &str = "the signature is not the subscriber's, or is over another request";
const STALE: &str = "the signature is older than a minute, or from the future: sign the request again";

fn fresh(proof: &AccessProof, now: Timestamp) -> Result<Signed, NoAccess> {
    if proof.at.0 > now.plus(AHEAD_S_MAX).0 || proof.at.plus(AGE_S_MAX) < now {
        return Err(NoAccess::Unproved(STALE));
    }
    Signed::read(&proof.lines, &proof.signature).ok_or(NoAccess::Unproved(NOT_THEIRS))
}

impl ByHashEvm {
    async fn has_access(
        &self,
        chain: &Chain,
        manager: Address,
        service: U256,
        user: Address,
    ) -> Result<bool, Fault> {
        let question = (chain.chain_id(), manager, service, user);
        if let Some(answer) = self.remembered.find(&question) {
            return Ok(answer);
        }
        let call = SubscriptionManager::checkAccessCall { user, serviceId: service };
        let answer = registry::ask(chain, manager, &call).await.map_err(|mute| match mute {
            Mute::Fault(fault) => fault,
            Mute::Contract(why) => {
                Fault::garbled("chain", format!("the subscription manager {manager} {why}"))
            }
        })?;
        self.remembered.keep(question, answer);
        Ok(answer)
    }
}
