//! EIP-712 for `TransferWithAuthorization`: the digest that is signed, and the same for a person's eyes.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};
use serde_json::{Value, json};

use super::proof::Authorization;
use crate::account;

sol! {
    /// The struct that payers sign (EIP-3009).
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// Which token on which chain: the EIP-712 domain. It comes from our table or the seller's offer, never from a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// The token's `name()`.
    pub name: String,
    /// The token's `version()`.
    pub version: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The token.
    pub asset: Address,
}

impl Domain {
    pub(crate) fn eip712(&self) -> Eip712Domain {
        eip712_domain! {
            name: self.name.clone(),
            version: self.version.clone(),
            chain_id: self.chain_id,
            verifying_contract: self.asset,
        }
    }

    /// The domain separator.
    pub fn separator(&self) -> B256 {
        self.eip712().separator()
    }

    /// The digest of an authorization.
    pub fn digest(&self, authorization: &Authorization) -> B256 {
        self.message(authorization).eip712_signing_hash(&self.eip712())
    }

    fn message(&self, authorization: &Authorization) -> TransferWithAuthorization {
        TransferWithAuthorization {
            from: authorization.from,
            to: authorization.to,
            value: authorization.value,
            validAfter: authorization.valid_after,
            validBefore: authorization.valid_before,
            nonce: authorization.nonce,
        }
    }

    /// The typed data as wallets show it (`eth_signTypedData_v4`).
    pub fn typed_data(&self, authorization: &Authorization) -> Value {
        let field = |name: &str, kind: &str| json!({"name": name, "type": kind});
        json!({
            "domain": {
                "name": self.name,
                "version": self.version,
                "chainId": self.chain_id,
                "verifyingContract": account::text(self.asset),
            },
            "types": {
                "EIP712Domain": [
                    field("name", "string"), field("version", "string"),
                    field("chainId", "uint256"), field("verifyingContract", "address"),
                ],
                "TransferWithAuthorization": [
                    field("from", "address"), field("to", "address"), field("value", "uint256"),
                    field("validAfter", "uint256"), field("validBefore", "uint256"), field("nonce", "bytes32"),
                ],
            },
            "primaryType": "TransferWithAuthorization",
            "message": {
                "from": account::text(authorization.from),
                "to": account::text(authorization.to),
                "value": authorization.value.to_string(),
                "validAfter": authorization.valid_after.to_string(),
                "validBefore": authorization.valid_before.to_string(),
                "nonce": authorization.nonce.to_string(),
            },
        })
    }
}

/// A number of seconds as the chain counts them.
pub fn seconds(value: U256) -> u64 {
    value.try_into().unwrap_or(u64::MAX)
}
