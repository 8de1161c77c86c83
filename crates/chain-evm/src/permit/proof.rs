//! A permit as it lies in a payment, read from untrusted JSON into bytes.

use alloy_primitives::{Address, B256, Bytes, U256};
use groat_core::{Amount, Reason, Timestamp};
use serde_json::{Value, json};

use super::PermitKind;
use super::till::PERMIT2;
use crate::account;
use crate::exact::proof::EcdsaBytes;

/// What a payer has signed: who may take how much of what, once, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// For whom the signature is: Permit2 or the token.
    pub kind: PermitKind,
    /// Who pays.
    pub owner: Address,
    /// Who may take it.
    pub spender: Address,
    /// The token.
    pub token: Address,
    /// Atomic units.
    pub amount: U256,
    /// Used once: of Permit2 in any order, of a token one after the other.
    pub nonce: U256,
    /// Good until this second, which is the last.
    pub deadline: U256,
    /// The payer's.
    pub signature: EcdsaBytes,
}

impl Permit {
    /// Reads `{permitType, permit: {owner, spender, token, amount, nonce, deadline}, signature}`. Numbers are canonical decimal
    /// texts (threat row E04); the signature has 65 bytes.
    pub fn read(value: &Value) -> Result<Self, Reason> {
        Self::try_read(value).ok_or(Reason::InvalidPayload)
    }

    fn try_read(value: &Value) -> Option<Self> {
        let permit = value.get("permit")?.as_object()?;
        let text = |key: &str| permit.get(key)?.as_str();
        let number = |key: &str| Amount::parse(text(key)?).ok().map(Amount::as_u256);
        // Whoever signs for another Permit2 is told so, and not that the signature is wrong.
        if permit.contains_key("permit2") && account::parse(text("permit2")?) != Some(PERMIT2) {
            return None;
        }
        let signature = value.get("signature")?.as_str()?.strip_prefix("0x")?;
        let mut bytes = [0; 65];
        alloy_primitives::hex::decode_to_slice(signature, &mut bytes).ok()?;
        Some(Self {
            kind: PermitKind::parse(value.get("permitType")?.as_str()?)?,
            owner: account::parse(text("owner")?)?,
            spender: account::parse(text("spender")?)?,
            token: account::parse(text("token")?)?,
            amount: number("amount")?,
            nonce: number("nonce")?,
            deadline: number("deadline")?,
            signature: EcdsaBytes(bytes),
        })
    }

    /// Writes it.
    pub fn write(&self) -> Value {
        json!({
            "permitType": self.kind.name(),
            "permit": {
                "owner": account::text(self.owner),
                "spender": account::text(self.spender),
                "token": account::text(self.token),
                "amount": self.amount.to_string(),
                "nonce": self.nonce.to_string(),
                "deadline": self.deadline.to_string(),
            },
            "signature": Bytes::copy_from_slice(&self.signature.0).to_string(),
        })
    }

    /// From this second on nobody takes it any more.
    pub(super) fn valid_until(&self) -> Timestamp {
        Timestamp(u64::try_from(self.deadline).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// The nonce as events carry it.
    pub(super) fn nonce_topic(&self) -> B256 {
        B256::from(self.nonce)
    }
}
