//! Somebody else on the chain, who sends transactions of its own.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use alloy_sol_types::{SolCall, sol};
use groat_chain_evm::GasKey;
use groat_chain_evm::abi::{MULTICALL3, Multicall3, transfer};
use groat_chain_evm::proof::Proof;
use groat_core::Payment;
use groat_devchain::{DevChain, USDC};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};

sol! {
    interface Token {
        function transfer(address to, uint256 value) external returns (bool);
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
        function blacklist(address account) external;
        function unBlacklist(address account) external;
        function pause() external;
        function unpause() external;
    }
}

/// More than the facilitator pays: first in the block.
const TIP: u128 = 50_000_000_000;

pub(crate) struct Outsider<'a> {
    chain: &'a DevChain,
    key: SecretKey,
}

impl<'a> Outsider<'a> {
    /// The owner of a key, with money for gas.
    pub(crate) fn new(chain: &'a DevChain, key: SecretKey) -> Self {
        let address = GasKey::from_bytes(key.secret_bytes()).unwrap().address();
        chain.set_balance(address, U256::from(10).pow(U256::from(20)));
        Self { chain, key }
    }

    pub(crate) fn stranger(chain: &'a DevChain) -> Self {
        Self::new(chain, SecretKey::from_byte_array([0x77; 32]).unwrap())
    }

    /// Sends a call; in a chain that mines at once it is in a block on return.
    pub(crate) fn send(&self, to: Address, input: impl Into<Bytes>) -> B256 {
        let address = GasKey::from_bytes(self.key.secret_bytes()).unwrap().address();
        let nonce = self.chain.request("eth_getTransactionCount", json!([address, "pending"])).unwrap();
        let transaction = TxEip1559 {
            chain_id: 84532,
            nonce: u64::from_str_radix(&nonce.as_str().unwrap()[2..], 16).unwrap(),
            gas_limit: 3_000_000,
            max_fee_per_gas: 2 * TIP,
            max_priority_fee_per_gas: TIP,
            to: TxKind::Call(to),
            input: input.into(),
            ..TxEip1559::default()
        };
        let message = Message::from_digest(transaction.signature_hash().0);
        let (recovery, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &self.key).serialize_compact();
        let (r, s) = bytes.split_at(32);
        let signature =
            Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), i32::from(recovery) == 1);
        let raw = TxEnvelope::Eip1559(transaction.into_signed(signature)).encoded_2718();
        let sent = self.chain.request("eth_sendRawTransaction", json!([hex::encode_prefixed(raw)])).unwrap();
        sent.as_str().unwrap().parse().unwrap()
    }

    /// Calls the dollar.
    pub(crate) fn dollar(&self, call: impl SolCall) -> B256 {
        self.send(USDC, call.abi_encode())
    }

    /// Submits somebody's authorization.
    pub(crate) fn submit(&self, token: Address, payment: &Payment) -> B256 {
        self.send(token, transfer(&Proof::read(&payment.proof).unwrap()))
    }

    /// Submits many in one transaction.
    pub(crate) fn submit_all<'p>(&self, payments: impl IntoIterator<Item = &'p Payment>) -> B256 {
        let calls = payments.into_iter().map(|payment| Multicall3::Call3 {
            target: USDC,
            allowFailure: false,
            callData: transfer(&Proof::read(&payment.proof).unwrap()),
        });
        self.send(MULTICALL3, Multicall3::aggregate3Call { calls: calls.collect() }.abi_encode())
    }
}

/// How many transactions wait.
pub(crate) fn waiting(chain: &DevChain) -> u64 {
    let pending = chain.request("txpool_status", json!([])).unwrap()["pending"].clone();
    u64::from_str_radix(&pending.as_str().unwrap()[2..], 16).unwrap()
}

/// Whether a mined transaction went through.
pub(crate) fn succeeded(chain: &DevChain, hash: &str) -> bool {
    let receipt: Value = chain.request("eth_getTransactionReceipt", json!([hash])).unwrap();
    assert!(receipt.is_object(), "{hash} is in no block");
    receipt["status"] == "0x1"
}
