//! What is signed: one digest for each algorithm, and the typed data for a person's eyes.

use alloy_primitives::{B256, U256, eip191_hash_message, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

sol! {
    /// The claims in their order; one that is absent is an empty text.
    struct PaymentProof {
        string iss;
        string sub;
        string amount;
        string currency;
        string chain;
        string tx;
        uint256 iat;
        uint256 exp;
        string nonce;
        string aud;
        string htm;
        string htu;
        string jti;
    }
}

/// The claims of a proof as they were written; one that is absent is an empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Claims<'c> {
    pub iss: &'c str,
    pub sub: &'c str,
    pub amount: &'c str,
    pub currency: &'c str,
    pub chain: &'c str,
    pub tx: &'c str,
    pub iat: u64,
    pub exp: u64,
    pub nonce: &'c str,
    pub aud: &'c str,
    pub htm: &'c str,
    pub htu: &'c str,
    pub jti: &'c str,
}

/// What an algorithm of the profile signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// `ES256K`, `ES256K-R`: the SHA-256 of the signing input.
    Sha256,
    /// `EIP191`: the signing input as a personal message.
    Personal,
    /// `EIP712`: the claims as typed data.
    Typed,
    /// `ERC1271`: the SHA-256 of the signing input, shown to a contract.
    Contract,
}

impl Signing {
    /// Those from whose signature an account can be recovered.
    pub(super) const RECOVERED: [Self; 3] = [Self::Sha256, Self::Personal, Self::Typed];

    /// Of the algorithm that a token names.
    pub fn of(algorithm: &str) -> Option<Self> {
        match algorithm {
            "ES256K" | "ES256K-R" => Some(Self::Sha256),
            "EIP191" => Some(Self::Personal),
            "EIP712" => Some(Self::Typed),
            "ERC1271" => Some(Self::Contract),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sha256 | Self::Contract => "ES256K",
            Self::Personal => "EIP191",
            Self::Typed => "EIP712",
        }
    }

    /// The digest: what a key signs, and what a contract is asked about.
    pub fn digest(self, signing_input: &str, claims: &Claims<'_>, chain_id: u64) -> B256 {
        match self {
            Self::Sha256 | Self::Contract => B256::new(Sha256::digest(signing_input.as_bytes()).into()),
            Self::Personal => eip191_hash_message(signing_input.as_bytes()),
            Self::Typed => message(claims).eip712_signing_hash(&domain(chain_id)),
        }
    }
}

/// What somebody signs who takes ES256K for Ethereum's own way.
pub(super) fn keccak(signing_input: &str) -> B256 {
    keccak256(signing_input.as_bytes())
}

/// The typed data as wallets show it (`eth_signTypedData_v4`).
pub fn typed_data(claims: &Claims<'_>, chain_id: u64) -> Value {
    let field = |name: &str, kind: &str| json!({"name": name, "type": kind});
    let texts = |names: &[&str]| names.iter().map(|name| field(name, "string")).collect::<Vec<_>>();
    let mut fields = texts(&["iss", "sub", "amount", "currency", "chain", "tx"]);
    fields.extend([field("iat", "uint256"), field("exp", "uint256")]);
    fields.extend(texts(&["nonce", "aud", "htm", "htu", "jti"]));
    json!({
        "domain": {"name": NAME, "version": VERSION, "chainId": chain_id},
        "types": {
            "EIP712Domain": [field("name", "string"), field("version", "string"), field("chainId", "uint256")],
            "PaymentProof": fields,
        },
        "primaryType": "PaymentProof",
        "message": {
            "iss": claims.iss,
            "sub": claims.sub,
            "amount": claims.amount,
            "currency": claims.currency,
            "chain": claims.chain,
            "tx": claims.tx,
            "iat": claims.iat.to_string(),
            "exp": claims.exp.to_string(),
            "nonce": claims.nonce,
            "aud": claims.aud,
            "htm": claims.htm,
            "htu": claims.htu,
            "jti": claims.jti,
        },
    })
}

const NAME: &str = "x402-pay";
const VERSION: &str = "1";

fn domain(chain_id: u64) -> Eip712Domain {
    eip712_domain! { name: NAME, version: VERSION, chain_id: chain_id, }
}

fn message(claims: &Claims<'_>) -> PaymentProof {
    PaymentProof {
        iss: claims.iss.to_owned(),
        sub: claims.sub.to_owned(),
        amount: claims.amount.to_owned(),
        currency: claims.currency.to_owned(),
        chain: claims.chain.to_owned(),
        tx: claims.tx.to_owned(),
        iat: U256::from(claims.iat),
        exp: U256::from(claims.exp),
        nonce: claims.nonce.to_owned(),
        aud: claims.aud.to_owned(),
        htm: claims.htm.to_owned(),
        htu: claims.htu.to_owned(),
        jti: claims.jti.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_that_of_the_profile() {
        assert_eq!(
            PaymentProof::eip712_encode_type(),
            "PaymentProof(string iss,string sub,string amount,string currency,string chain,string tx,uint256 iat,\
             uint256 exp,string nonce,string aud,string htm,string htu,string jti)"
        );
        let domain = domain(8453).encode_type();
        assert_eq!(domain, "EIP712Domain(string name,string version,uint256 chainId)");
    }

    #[test]
    fn what_a_wallet_is_shown_is_what_is_signed() {
        let claims = Claims { iss: "0x1", iat: 7, exp: u64::MAX, jti: "end", ..Claims::default() };
        let shown = typed_data(&claims, 8453);
        // The type string and the encoding, built by hand from the JSON.
        let fields = shown["types"]["PaymentProof"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let kinds: Vec<_> =
            fields.iter().map(|f| format!("{} {}", text(&f["type"]), text(&f["name"]))).collect();
        assert_eq!(format!("PaymentProof({})", kinds.join(",")), PaymentProof::eip712_encode_type());
        let mut encoded = keccak256(PaymentProof::eip712_encode_type().as_bytes()).to_vec();
        for field in fields {
            let value = text(&shown["message"][text(&field["name"])]);
            match text(&field["type"]).as_str() {
                "string" => encoded.extend(keccak256(value.as_bytes())),
                _ => encoded.extend(value.parse::<U256>().unwrap().to_be_bytes::<32>()),
            }
        }
        let kind = keccak256("EIP712Domain(string name,string version,uint256 chainId)");
        let id = U256::from(8453).to_be_bytes::<32>();
        let separator = keccak256([kind.0, keccak256("x402-pay").0, keccak256("1").0, id].concat());
        let by_hand =
            keccak256([&[0x19, 0x01], separator.as_slice(), keccak256(encoded).as_slice()].concat());
        assert_eq!(Signing::Typed.digest("anything", &claims, 8453), by_hand);
        assert_ne!(Signing::Typed.digest("anything", &claims, 1), by_hand, "another chain");
    }
}
