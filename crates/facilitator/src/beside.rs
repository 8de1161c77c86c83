//! An engine for what it takes itself, and somebody else for the rest: a gate that keeps balances, and a facilitator
//! elsewhere that settles on chain.

use std::sync::Arc;

use async_trait::async_trait;
use groat_core::books::PaymentEvent;
use groat_core::ports::{Facilitator, PaymentStatus, Supported};
use groat_core::{Claim, Failure, Fault, Offer, Payment, PaymentId, Receipt};

use crate::Engine;

/// Both behind one port. Who is asked is decided by the offer, which is the seller's own.
#[derive(Clone)]
pub struct Beside {
    own: Engine,
    other: Arc<dyn Facilitator>,
}

impl Beside {
    /// Asks `own` about payments of its schemes and networks, and `other` about all others.
    pub fn new(own: Engine, other: Arc<dyn Facilitator>) -> Self {
        Self { own, other }
    }

    fn of(&self, offer: &Offer) -> &dyn Facilitator {
        if self.own.takes(offer) { &self.own } else { self.other.as_ref() }
    }
}

#[async_trait]
impl Facilitator for Beside {
    /// What both can, as far as the other can tell.
    async fn supported(&self) -> Result<Supported, Fault> {
        let (mut all, own) = (self.other.supported().await?, self.own.supported().await?);
        all.kinds.extend(own.kinds);
        for (family, signers) in own.signers {
            all.signers.entry(family).or_default().extend(signers);
        }
        Ok(all)
    }

    async fn verify(&self, payment: &Payment, offer: &Offer) -> Result<Claim, Failure> {
        self.of(offer).verify(payment, offer).await
    }

    async fn settle(&self, payment: &Payment, offer: &Offer) -> Result<Receipt, Failure> {
        self.of(offer).settle(payment, offer).await
    }

    /// An id does not say of which network it is. What the own book has of others' networks, because both engines share a
    /// store, they know better.
    async fn status(&self, id: &PaymentId) -> Result<Option<PaymentStatus>, Fault> {
        match self.own.status(id).await? {
            Some(status) if self.own.works_on(&status.network) => Ok(Some(status)),
            _ => self.other.status(id).await,
        }
    }

    async fn events(&self, after: u64, count_max: usize) -> Result<Vec<PaymentEvent>, Fault> {
        self.other.events(after, count_max).await
    }
}
