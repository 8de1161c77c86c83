//! Those who send transactions of their own: strangers in a hurry, and payers with second thoughts.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use alloy_sol_types::{SolCall, SolStruct, sol};
use groat_chain_evm::GasKey;
use groat_chain_evm::abi::transfer;
use groat_chain_evm::proof::Proof;
use groat_chain_evm::typed_data::Domain;
use groat_core::Payment;
use groat_devchain::USDC;
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::json;

use crate::world::{CHAIN_ID, World};

sol! {
    interface Token {
        function transfer(address to, uint256 value) external returns (bool);
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
    }

    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }
}

/// More than a facilitator pays: first in the block.
const TIP: u128 = 50_000_000_000;
/// Where drained money goes.
pub(crate) const ELSEWHERE: Address = Address::repeat_byte(0x99);

/// The account of a key.
pub(crate) fn address_of(key: &SecretKey) -> Option<Address> {
    GasKey::from_bytes(key.secret_bytes()).ok().map(|key| key.address())
}

/// Signs a digest as Ethereum does.
pub(crate) fn sign(key: &SecretKey, digest: B256) -> [u8; 65] {
    let (recovery, bytes) =
        SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), key).serialize_compact();
    let mut signature = [0; 65];
    signature[..64].copy_from_slice(&bytes);
    signature[64] = 27 + u8::from(i32::from(recovery) == 1);
    signature
}

/// Sends a call to the dollar, from this key.
fn send(world: &World, key: &SecretKey, input: impl Into<Bytes>) -> Option<()> {
    let sender = address_of(key)?;
    let dev = &world.chain.dev;
    dev.set_balance(sender, U256::from(10).pow(U256::from(20)));
    let nonce: U256 = world.chain.ask("eth_getTransactionCount", json!([sender, "pending"]))?;
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: nonce.saturating_to(),
        gas_limit: 300_000,
        max_fee_per_gas: 2 * TIP,
        max_priority_fee_per_gas: world.stage.below(2) as u128 * TIP + 1,
        to: TxKind::Call(USDC),
        input: input.into(),
        ..TxEip1559::default()
    };
    let signature = sign(key, transaction.signature_hash());
    let signature = Signature::new(
        U256::from_be_slice(&signature[..32]),
        U256::from_be_slice(&signature[32..64]),
        signature[64] == 28,
    );
    let raw = TxEnvelope::Eip1559(transaction.into_signed(signature)).encoded_2718();
    let _: B256 = world.chain.ask("eth_sendRawTransaction", json!([hex::encode_prefixed(raw)]))?;
    Some(())
}

fn stranger() -> Option<SecretKey> {
    SecretKey::from_byte_array([0x77; 32]).ok()
}

/// A stranger submits somebody's authorization.
pub(crate) fn front_run(world: &Arc<World>, payment: &Payment) {
    let sent = || send(world, &stranger()?, transfer(&Proof::read(&payment.proof).ok()?));
    // A node that refuses it is as good as any other end.
    let _ = sent();
}

/// The payer takes an authorization back; a stranger brings it to the chain.
pub(crate) fn cancel(world: &Arc<World>, payer: &SecretKey, nonce: B256) {
    let sent = || {
        let authorizer = address_of(payer)?;
        let domain = Domain { name: "USDC".into(), version: "2".into(), chain_id: CHAIN_ID, asset: USDC };
        let message = CancelAuthorization { authorizer, nonce };
        let digest =
            keccak256([&[0x19, 0x01], &domain.separator()[..], &message.eip712_hash_struct()[..]].concat());
        let signature = Bytes::from(sign(payer, digest).to_vec());
        send(
            world,
            &stranger()?,
            Token::cancelAuthorizationCall { authorizer, nonce, signature }.abi_encode(),
        )
    };
    let _ = sent();
}

/// The payer moves all its money away.
pub(crate) fn drain(world: &Arc<World>, payer: &SecretKey) {
    let sent = || {
        let value = world.chain.dev.usdc_balance(address_of(payer)?);
        send(world, payer, Token::transferCall { to: ELSEWHERE, value }.abi_encode())
    };
    let _ = sent();
}
