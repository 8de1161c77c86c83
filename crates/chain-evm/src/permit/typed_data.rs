//! EIP-712 for permits: the digests that are signed, and the same for a person's eyes.

use alloy_primitives::B256;
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};
use serde_json::{Value, json};

use super::till::PERMIT2;
use super::{Permit, PermitKind};
use crate::account;
use crate::exact::typed_data::Domain;

sol! {
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    /// What is signed for Permit2.
    struct PermitTransferFrom {
        TokenPermissions permitted;
        address spender;
        uint256 nonce;
        uint256 deadline;
    }
}

/// What is signed for a token (EIP-2612).
mod eip2612 {
    alloy_sol_types::sol! {
        struct Permit {
            address owner;
            address spender;
            uint256 value;
            uint256 nonce;
            uint256 deadline;
        }
    }
}

fn permit2(chain_id: u64) -> Eip712Domain {
    eip712_domain! {
        name: "Permit2",
        chain_id: chain_id,
        verifying_contract: PERMIT2,
    }
}

/// The digest of a permit. The domain is that of the token; for Permit2 only its chain counts.
pub fn permit_digest(permit: &Permit, domain: &Domain) -> B256 {
    match permit.kind {
        PermitKind::Permit2 => PermitTransferFrom {
            permitted: TokenPermissions { token: permit.token, amount: permit.amount },
            spender: permit.spender,
            nonce: permit.nonce,
            deadline: permit.deadline,
        }
        .eip712_signing_hash(&permit2(domain.chain_id)),
        PermitKind::Eip2612 => eip2612::Permit {
            owner: permit.owner,
            spender: permit.spender,
            value: permit.amount,
            nonce: permit.nonce,
            deadline: permit.deadline,
        }
        .eip712_signing_hash(&domain.eip712()),
    }
}

/// The typed data as wallets show it (`eth_signTypedData_v4`).
pub fn permit_typed_data(permit: &Permit, domain: &Domain) -> Value {
    let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let (nonce, deadline) = (permit.nonce.to_string(), permit.deadline.to_string());
    let spender = account::text(permit.spender);
    match permit.kind {
        PermitKind::Permit2 => json!({
            "domain": {
                "name": "Permit2",
                "chainId": domain.chain_id,
                "verifyingContract": account::text(PERMIT2),
            },
            "types": {
                "EIP712Domain": [
                    field("name", "string"), field("chainId", "uint256"), field("verifyingContract", "address"),
                ],
                "PermitTransferFrom": [
                    field("permitted", "TokenPermissions"), field("spender", "address"),
                    field("nonce", "uint256"), field("deadline", "uint256"),
                ],
                "TokenPermissions": [field("token", "address"), field("amount", "uint256")],
            },
            "primaryType": "PermitTransferFrom",
            "message": {
                "permitted": { "token": account::text(permit.token), "amount": permit.amount.to_string() },
                "spender": spender,
                "nonce": nonce,
                "deadline": deadline,
            },
        }),
        PermitKind::Eip2612 => json!({
            "domain": {
                "name": domain.name,
                "version": domain.version,
                "chainId": domain.chain_id,
                "verifyingContract": account::text(domain.asset),
            },
            "types": {
                "EIP712Domain": [
                    field("name", "string"), field("version", "string"),
                    field("chainId", "uint256"), field("verifyingContract", "address"),
                ],
                "Permit": [
                    field("owner", "address"), field("spender", "address"), field("value", "uint256"),
                    field("nonce", "uint256"), field("deadline", "uint256"),
                ],
            },
            "primaryType": "Permit",
            "message": {
                "owner": account::text(permit.owner),
                "spender": spender,
                "value": permit.amount.to_string(),
                "nonce": nonce,
                "deadline": deadline,
            },
        }),
    }
}
