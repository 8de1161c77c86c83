//! Signed EIP-1559 transactions, made here so that their hash is known before they are sent.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, TxKind, U128, U256};
use serde::{Deserialize, Serialize};

use crate::exact;
use crate::exact::proof::EcdsaBytes;
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

/// A call of `to`, not signed yet.
pub(crate) fn call(chain_id: u64, nonce: u64, gas: u64, fees: Fees, to: Address, input: Bytes) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit: gas,
        max_fee_per_gas: fees.max_fee,
        max_priority_fee_per_gas: fees.tip,
        to: TxKind::Call(to),
        value: U256::ZERO,
        access_list: Default::default(),
        input,
    }
}

/// What was signed, read from its bytes.
pub(crate) fn read(raw: &[u8]) -> Option<TxEip1559> {
    match TxEnvelope::decode_2718_exact(raw).ok()? {
        TxEnvelope::Eip1559(signed) => Some(signed.strip_signature()),
        _ => None,
    }
}

/// Who signed these bytes, and with which nonce.
pub(crate) fn sender(raw: &[u8]) -> Option<(Address, u64)> {
    let TxEnvelope::Eip1559(signed) = TxEnvelope::decode_2718_exact(raw).ok()? else { return None };
    let signature = EcdsaBytes(signed.signature().as_bytes());
    Some((exact::recover(signed.signature_hash(), &signature)?, signed.tx().nonce))
}

/// The same for higher fees: at least an eighth more, which every node accepts as a replacement, and what gas costs now.
pub(crate) fn bump(mut transaction: TxEip1559, now: Fees) -> TxEip1559 {
    let then = Fees { max_fee: transaction.max_fee_per_gas, tip: transaction.max_priority_fee_per_gas };
    let raised = then.bumped();
    transaction.max_fee_per_gas = raised.max_fee.max(now.max_fee);
    transaction.max_priority_fee_per_gas = raised.tip.max(now.tip).min(transaction.max_fee_per_gas);
    transaction
}

/// The same nonce for nothing: a call of oneself that moves nothing.
pub(crate) fn void(transaction: TxEip1559, signer: Address) -> TxEip1559 {
    TxEip1559 { to: TxKind::Call(signer), input: Bytes::new(), gas_limit: GAS_INTRINSIC, ..transaction }
}

/// What every transaction costs before it does anything.
pub(crate) const GAS_INTRINSIC: u64 = 21_000;

/// Signs it.
pub(crate) fn sign(key: &GasKey, transaction: TxEip1559) -> Result<Signed, GasKeyError> {
    let signature = key.sign(transaction.signature_hash())?;
    let envelope = TxEnvelope::Eip1559(transaction.into_signed(signature));
    Ok(Signed { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into() })
}
