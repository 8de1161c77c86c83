//! Signed EIP-1559 transactions, made here so that their hash is known before they are sent.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U128, U256};
use serde::{Deserialize, Serialize};

use crate::gas_key::{GasKey, GasKeyError};
use crate::rpc::Price;

/// What one unit of gas may cost, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fees {
    /// At most, base fee included.
    pub(crate) max_fee: u128,
    /// To the block producer.
    pub(crate) tip: u128,
}

impl Fees {
    /// The same raised by an eighth and one, which every node accepts as a replacement (at least 10 %).
    pub(crate) fn bumped(self) -> Self {
        let raise = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        Self { max_fee: raise(self.max_fee), tip: raise(self.tip) }
    }
}

impl From<Fees> for Price {
    fn from(fees: Fees) -> Self {
        Self { max_fee_per_gas: U128::from(fees.max_fee), max_priority_fee_per_gas: U128::from(fees.tip) }
    }
}

/// A transaction ready to go.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// Its hash.
    pub(crate) hash: B256,
    /// Its bytes (EIP-2718).
    pub(crate) raw: Bytes,
}

/// Signs a call of `to`.
pub(crate) fn sign(
    key: &GasKey,
    chain_id: u64,
    nonce: u64,
    gas: u64,
    fees: Fees,
    to: Address,
    input: Bytes,
) -> Result<Signed, GasKeyError> {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: gas,
        max_fee_per_gas: fees.max_fee,
        max_priority_fee_per_gas: fees.tip,
        to: TxKind::Call(to),
        value: U256::ZERO,
        access_list: Default::default(),
        input,
    };
    let signature = key.sign(transaction.signature_hash())?;
    let envelope = TxEnvelope::Eip1559(transaction.into_signed(signature));
    Ok(Signed { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into() })
}
