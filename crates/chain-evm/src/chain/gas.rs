//! What gas costs, who pays for it, and how much of it a settlement takes.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use groat_core::Fault;
use tokio::time::Instant;

use super::{Chain, lock};
use crate::transaction::Fees;

/// Fees are offered at twice the base fee: they may be a second old.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Market {
    fees: Mutex<Option<(Instant, Fees)>>,
    purses: Mutex<HashMap<Address, (Instant, U256)>>,
    /// Gas of one transfer by authorization, by token.
    transfers: Mutex<HashMap<Address, TransferGas>>,
}

impl Chain {
    /// What gas costs now: twice the base fee of the newest block, and the node's tip.
    pub(crate) async fn fees(&self) -> Result<Fees, Fault> {
        if let Some((at, fees)) = *lock(&self.0.market.fees)
            && at.elapsed() < FRESH
        {
            return Ok(fees);
        }
        let (head, tip) =
            tokio::join!(self.rpc().head(), self.rpc().try_ask::<_, U256>("eth_maxPriorityFeePerGas", ()));
        let base = saturate(head?.base_fee_per_gas.unwrap_or_default());
        // Not every node knows the question; then one gwei is what wallets assume.
        let tip = tip?.map_or(1_000_000_000, saturate);
        let fees = Fees { max_fee: base.saturating_mul(2).saturating_add(tip), tip };
        *lock(&self.0.market.fees) = Some((Instant::now(), fees));
        Ok(fees)
    }

    /// What a signer has for gas, in wei.
    pub(crate) async fn purse(&self, signer: Address) -> Result<U256, Fault> {
        if let Some((at, purse)) = lock(&self.0.market.purses).get(&signer)
            && at.elapsed() < FRESH
        {
            return Ok(*purse);
        }
        let purse: U256 = self.rpc().ask("eth_getBalance", (signer, "latest")).await?;
        lock(&self.0.market.purses).insert(signer, (Instant::now(), purse));
        Ok(purse)
    }

    /// What transfers of this token have taken at most.
    pub(crate) fn transfer_gas(&self, asset: Address) -> Option<TransferGas> {
        lock(&self.0.market.transfers).get(&asset).copied()
    }

    /// Remembers how much gas a transaction took that carries one transfer of this token.
    pub(crate) fn note_transfer_gas(&self, asset: Address, gas: u64) {
        let mut transfers = lock(&self.0.market.transfers);
        let known = transfers.entry(asset).or_insert(TransferGas { alone: gas, shared: None });
        known.alone = known.alone.max(gas);
    }

    /// Remembers how much one transfer of this token took among others. Without one that went alone it says little.
    pub(crate) fn note_shared_gas(&self, asset: Address, gas: u64) {
        if let Some(known) = lock(&self.0.market.transfers).get_mut(&asset) {
            known.shared = Some(known.shared.unwrap_or_default().max(gas));
        }
    }
}

/// Gas of one transfer by authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransferGas {
    /// A transaction that carries one.
    pub(crate) alone: u64,
    /// One more in a transaction that carries several.
    pub(crate) shared: Option<u64>,
}

fn saturate(value: U256) -> u128 {
    value.try_into().unwrap_or(u128::MAX)
}
