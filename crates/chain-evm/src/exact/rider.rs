//! A payment from the book, read again: what a transaction carries for it.

use alloy_primitives::{Address, Bytes};
use groat_core::Fault;
use groat_core::books::Settlement;

use super::abi;
use super::proof::Proof;
use crate::account;

/// One payment of a transaction.
#[derive(Debug, Clone)]
pub(super) struct Rider {
    pub(super) asset: Address,
    pub(super) proof: Proof,
    /// Whether it has its transaction for itself.
    pub(super) alone: bool,
}

impl Rider {
    pub(super) fn read(settlement: &Settlement) -> Result<Self, Fault> {
        let unreadable = || Fault::garbled("store", "a payment in the book cannot be read");
        Ok(Self {
            asset: account::parse(&settlement.offer.asset).ok_or_else(unreadable)?,
            proof: Proof::read(&settlement.payment.proof).map_err(|_| unreadable())?,
            alone: settlement.alone,
        })
    }

    /// The call that moves its money, and whom it calls.
    pub(super) fn transfer(&self) -> (Address, Bytes) {
        (self.asset, abi::transfer(&self.proof))
    }
}
