//! The EIP-3009 payload: what a buyer sends as proof, read from untrusted JSON into bytes.

use alloy_primitives::{Address, B256, Bytes, U256};
use groat_core::{Amount, Reason};
use serde_json::{Map, Value, json};

use crate::account;

/// What the payer authorizes (EIP-3009 `TransferWithAuthorization`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// Atomic units.
    pub value: U256,
    /// Good only strictly after this second.
    pub valid_after: U256,
    /// Good only strictly before this second.
    pub valid_before: U256,
    /// Random, used once per payer and token.
    pub nonce: B256,
}

/// A proof: an authorization and who signed it how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What.
    pub authorization: Authorization,
    /// By what.
    pub signature: Signature,
}

/// The kinds of signatures, told apart by their bytes alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// 65 bytes r ‖ s ‖ v: a plain account, or a contract that checks ECDSA.
    Ecdsa(EcdsaBytes),
    /// Anything else: only a contract (ERC-1271) can say.
    Contract(Bytes),
    /// ERC-6492: a wallet that may not exist yet, and how to deploy it.
    Counterfactual {
        /// Who deploys it.
        factory: Address,
        /// By this call.
        calldata: Bytes,
        /// What the wallet will be shown.
        inner: Bytes,
    },
}

/// A 65-byte signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EcdsaBytes(pub [u8; 65]);

impl EcdsaBytes {
    /// The recovery value in the form the token wants, 27 or 28.
    pub fn v(&self) -> u8 {
        if self.0[64] < 27 { self.0[64].saturating_add(27) } else { self.0[64] }
    }

    /// First half.
    pub fn r(&self) -> B256 {
        B256::from_slice(&self.0[..32])
    }

    /// Second half.
    pub fn s(&self) -> B256 {
        B256::from_slice(&self.0[32..64])
    }
}

/// The suffix of an ERC-6492 signature.
const ERC6492_MAGIC: [u8; 32] = {
    let mut magic = [0; 32];
    let mut index = 0;
    while index < 32 {
        magic[index] = if index % 2 == 0 { 0x64 } else { 0x92 };
        index += 1;
    }
    magic
};

/// Longest signature taken: a wallet with many owners fits, a memory bomb does not.
const SIGNATURE_BYTES_MAX: usize = 4096;

impl Proof {
    /// Reads `{authorization: {from, to, value, validAfter, validBefore, nonce}, signature}`
    /// (x402 `exact` on EVM, EIP-3009 form). Numbers are canonical decimal strings (threat row E04).
    pub fn read(value: &Value) -> Result<Self, Reason> {
        Self::try_read(value).ok_or(Reason::InvalidPayload)
    }

    fn try_read(value: &Value) -> Option<Self> {
        let authorization = value.get("authorization")?.as_object()?;
        let signature = bytes(value.get("signature")?.as_str()?, SIGNATURE_BYTES_MAX)?;
        Some(Self {
            authorization: Authorization {
                from: account::parse(text(authorization, "from")?)?,
                to: account::parse(text(authorization, "to")?)?,
                value: number(authorization, "value")?,
                valid_after: number(authorization, "validAfter")?,
                valid_before: number(authorization, "validBefore")?,
                nonce: B256::from_slice(
                    &bytes(text(authorization, "nonce")?, 32).filter(|nonce| nonce.len() == 32)?,
                ),
            },
            signature: Signature::classify(signature)?,
        })
    }

    /// Writes the payload as the official clients do.
    pub fn write(authorization: &Authorization, signature: &[u8]) -> Value {
        json!({
            "authorization": {
                "from": account::text(authorization.from),
                "to": account::text(authorization.to),
                "value": authorization.value.to_string(),
                "validAfter": authorization.valid_after.to_string(),
                "validBefore": authorization.valid_before.to_string(),
                "nonce": authorization.nonce.to_string(),
            },
            "signature": Bytes::copy_from_slice(signature).to_string(),
        })
    }
}

impl Signature {
    /// By the bytes alone; `None` for an ERC-6492 wrapper that holds something else.
    pub(crate) fn classify(bytes: Bytes) -> Option<Self> {
        if let Some(wrapped) = bytes.strip_suffix(&ERC6492_MAGIC) {
            let (factory, calldata, inner) =
                <(Address, Bytes, Bytes) as alloy_sol_types::SolValue>::abi_decode_params(wrapped).ok()?;
            return Some(Self::Counterfactual { factory, calldata, inner });
        }
        match <[u8; 65]>::try_from(bytes.as_ref()) {
            Ok(ecdsa) => Some(Self::Ecdsa(EcdsaBytes(ecdsa))),
            Err(_) => Some(Self::Contract(bytes)),
        }
    }

    /// The bytes that the payer's contract is shown.
    pub fn inner(&self) -> Bytes {
        match self {
            Self::Ecdsa(bytes) => Bytes::copy_from_slice(&bytes.0),
            Self::Contract(bytes) => bytes.clone(),
            Self::Counterfactual { inner, .. } => inner.clone(),
        }
    }
}

fn text<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    object.get(name)?.as_str()
}

fn number(object: &Map<String, Value>, name: &str) -> Option<U256> {
    Amount::parse(text(object, name)?).ok().map(Amount::as_u256)
}

fn bytes(text: &str, bytes_max: usize) -> Option<Bytes> {
    let digits = text.strip_prefix("0x")?;
    if digits.len() > bytes_max * 2 {
        return None;
    }
    alloy_primitives::hex::decode(digits).ok().map(Bytes::from)
}
