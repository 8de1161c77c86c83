//! Transactions as they come in: decoded, with the sender recovered.

use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use revm::context::TxEnv;
use revm::context::either::Either;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

/// A signed transaction and who signed it.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) hash: B256,
    pub(crate) sender: Address,
    pub(crate) envelope: TxEnvelope,
}

impl Signed {
    /// Reads the bytes of `eth_sendRawTransaction`.
    pub(crate) fn read(raw: &Bytes) -> Result<Self, &'static str> {
        let mut bytes: &[u8] = raw;
        let envelope =
            TxEnvelope::decode_2718(&mut bytes).map_err(|_| "rlp: the transaction cannot be decoded")?;
        if !bytes.is_empty() {
            return Err("rlp: bytes after the transaction");
        }
        if envelope.is_eip4844() {
            return Err("transaction type not supported");
        }
        let sender = recover(envelope.signature_hash(), envelope.signature()).ok_or("invalid sender")?;
        Ok(Self { hash: *envelope.tx_hash(), sender, envelope })
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }

    /// What a unit of gas may cost at most.
    pub(crate) fn max_fee(&self) -> u128 {
        self.envelope.max_fee_per_gas()
    }

    pub(crate) fn tip(&self) -> u128 {
        self.envelope.max_priority_fee_per_gas().unwrap_or_else(|| self.max_fee())
    }

    pub(crate) fn env(&self) -> TxEnv {
        let tx = &self.envelope;
        TxEnv {
            tx_type: tx.tx_type() as u8,
            caller: self.sender,
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: tx.max_priority_fee_per_gas(),
            authorization_list: tx
                .authorization_list()
                .unwrap_or_default()
                .iter()
                .cloned()
                .map(Either::Left)
                .collect(),
            ..TxEnv::default()
        }
    }

    /// The contract that it makes, for receipts.
    pub(crate) fn created(&self) -> Option<Address> {
        matches!(self.envelope.kind(), TxKind::Create).then(|| self.sender.create(self.nonce()))
    }
}

/// libsecp256k1: five times faster than the pure Rust recovery of the transaction library.
fn recover(hash: B256, signature: &Signature) -> Option<Address> {
    if signature.normalize_s().is_some() {
        return None;
    }
    let id = RecoveryId::try_from(i32::from(signature.v())).ok()?;
    let bytes: [u8; 64] = signature.as_bytes()[..64].try_into().ok()?;
    let signature = RecoverableSignature::from_compact(&bytes, id).ok()?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(hash.0), &signature).ok()?;
    Some(Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..]))
}

/// A transaction environment for a call that nobody signed.
pub(crate) fn call_env(
    from: Address,
    to: Option<Address>,
    data: Bytes,
    value: U256,
    gas: u64,
    gas_price: u128,
) -> TxEnv {
    TxEnv {
        caller: from,
        kind: to.map_or(TxKind::Create, TxKind::Call),
        data,
        value,
        gas_limit: gas,
        gas_price,
        chain_id: None,
        ..TxEnv::default()
    }
}
