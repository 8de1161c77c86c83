//! Doors for the fuzz targets (`fuzz/`): the pure parts of verification and of reading receipts, over plain values.
//! Nothing else may use them.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use groat_core::ports::Outcome;
use groat_core::{Offer, Payment, Reason, Timestamp};

use super::check::check;
use super::judge::judge;
use super::look::Seen;
use super::outcome::judge_receipt;
use super::proof::Authorization;
use crate::ChainLimits;
use crate::rpc::{Log, TxReceipt};

/// What was seen of a payment's surroundings; `None` is what the token did not answer.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Whether the token is a contract.
    pub asset_has_code: bool,
    /// Whether the payer is a contract.
    pub payer_has_code: bool,
    /// What ERC-1271 says.
    pub contract_accepts: Option<bool>,
    /// The payer's balance.
    pub balance: Option<U256>,
    /// Whether the authorization is used.
    pub used: Option<bool>,
    /// The token's name.
    pub name: Option<String>,
    /// The token's version.
    pub version: Option<String>,
    /// The chain's clock.
    pub block_time: Option<U256>,
    /// Whether a simulated settlement went through.
    pub simulated: Option<bool>,
}

/// The verdict of `check` and `judge`.
pub fn verdict(
    payment: &Payment,
    offer: &Offer,
    limits: &ChainLimits,
    signers: &[Address],
    now: Timestamp,
    sight: &Sight,
) -> Result<(), Reason> {
    let checked = check(payment, offer, limits, signers, now)?;
    let seen = Seen {
        asset_has_code: sight.asset_has_code,
        payer_has_code: sight.payer_has_code,
        contract_accepts: sight.contract_accepts,
        balance: sight.balance,
        used: sight.used,
        name: sight.name.clone(),
        version: sight.version.clone(),
        block_time: sight.block_time,
        simulated: sight.simulated.map(|good| if good { Ok(()) } else { Err("reverted".to_owned()) }),
        ..Seen::default()
    };
    judge(&checked, &seen)
}

/// Whether a receipt with these events (who, topics, data) says that the authorization was paid.
pub fn paid(
    succeeded: bool,
    logs: &[(Address, Vec<B256>, Bytes)],
    asset: Address,
    authorization: &Authorization,
) -> bool {
    let log = |(address, topics, data): &(Address, Vec<B256>, Bytes)| Log {
        address: *address,
        topics: topics.clone(),
        data: data.clone(),
        transaction_hash: None,
    };
    let receipt = TxReceipt {
        status: U64::from(u64::from(succeeded)),
        transaction_hash: B256::ZERO,
        block_hash: B256::ZERO,
        block_number: U64::from(1),
        logs: logs.iter().map(log).collect(),
        from: None,
        to: None,
        gas_used: alloy_primitives::U64::ZERO,
    };
    matches!(judge_receipt(&receipt, asset, authorization), Outcome::Landed(_))
}
