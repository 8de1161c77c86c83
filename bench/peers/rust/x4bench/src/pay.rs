//! Deterministic payers and pre-signed EIP-3009 payments in the x402 v2 wire format.
use alloy_primitives::{Address, B256, U256, address, keccak256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};
use anyhow::{Context, Result};
use base64::Engine;
use rand::RngCore;
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub const CHAIN_ID: u64 = 84532;
pub const TOKEN: Address = address!("036CbD53842c5426634e7929541eC2318f3dCF7e");
pub const PAYERS: usize = 256;

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

pub fn payer(i: usize) -> PrivateKeySigner {
    let key = keccak256(format!("x4bench payer {}", i % PAYERS));
    PrivateKeySigner::from_bytes(&key).expect("hash is a valid key")
}

pub fn domain(name: &str, version: &str, token: Address) -> Eip712Domain {
    eip712_domain! {
        name: name.to_owned(),
        version: version.to_owned(),
        chain_id: CHAIN_ID,
        verifying_contract: token,
    }
}

pub fn requirements(pay_to: Address, amount: u64) -> Value {
    json!({
        "scheme": "exact",
        "network": format!("eip155:{CHAIN_ID}"),
        "amount": amount.to_string(),
        "asset": TOKEN.to_string(),
        "payTo": pay_to.to_string(),
        "maxTimeoutSeconds": 300,
        "extra": { "name": "USDC", "version": "2" },
    })
}

pub struct Signed {
    pub auth: TransferWithAuthorization,
    pub signature: [u8; 65],
}

pub fn sign(signer: &PrivateKeySigner, domain: &Eip712Domain, to: Address, value: u64) -> Signed {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_secs();
    let mut nonce = [0u8; 32];
    rand::rng().fill_bytes(&mut nonce);
    let auth = TransferWithAuthorization {
        from: signer.address(),
        to,
        value: U256::from(value),
        validAfter: U256::from(now - 600),
        validBefore: U256::from(now + 3600),
        nonce: B256::from(nonce),
    };
    let digest = auth.eip712_signing_hash(domain);
    let key = SecretKey::from_byte_array(signer.to_bytes().0).expect("key");
    let (recovery, compact) =
        SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &key).serialize_compact();
    let mut signature = [0; 65];
    signature[..64].copy_from_slice(&compact);
    signature[64] = 27 + i32::from(recovery) as u8;
    Signed { auth, signature }
}

/// Signs `n` payments for `accepted` (an entry of a 402's `accepts`), payers in rotation.
pub fn payloads(accepted: &Value, resource: Option<&Value>, n: usize) -> Result<Vec<Value>> {
    let text = |k: &str| accepted[k].as_str().with_context(|| format!("accepts[0].{k}"));
    let to: Address = text("payTo")?.parse()?;
    let token: Address = text("asset")?.parse()?;
    let amount: u64 = text("amount")?.parse()?;
    let extra = |k: &str, d: &str| accepted["extra"][k].as_str().unwrap_or(d).to_owned();
    let domain = domain(&extra("name", "USDC"), &extra("version", "2"), token);
    let signers: Vec<_> = (0..PAYERS.min(n)).map(payer).collect();
    Ok((0..n)
        .map(|i| {
            let s = sign(&signers[i % signers.len()], &domain, to, amount);
            let mut payload = json!({
                "x402Version": 2,
                "accepted": accepted,
                "payload": {
                    "signature": format!("0x{}", alloy_primitives::hex::encode(s.signature)),
                    "authorization": {
                        "from": s.auth.from.to_string(),
                        "to": s.auth.to.to_string(),
                        "value": s.auth.value.to_string(),
                        "validAfter": s.auth.validAfter.to_string(),
                        "validBefore": s.auth.validBefore.to_string(),
                        "nonce": s.auth.nonce.to_string(),
                    },
                },
            });
            if let Some(r) = resource {
                payload["resource"] = r.clone();
            }
            payload
        })
        .collect())
}

/// Body of POST /verify and /settle.
pub fn facilitator_body(payload: Value) -> Vec<u8> {
    let requirements = payload["accepted"].clone();
    serde_json::to_vec(&json!({
        "x402Version": 2,
        "paymentPayload": payload,
        "paymentRequirements": requirements,
    }))
    .expect("json")
}

pub fn header_value(payload: &Value) -> String {
    base64::engine::general_purpose::STANDARD.encode(payload.to_string())
}
