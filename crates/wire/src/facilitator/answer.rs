//! What a facilitator answers (x402 `VerifyResponse`, `SettleResponse`).

use groat_core::payment::ReceiptOutcome;
use groat_core::{Network, Reason, Receipt, Refusal};
use serde_json::{Value, json};

use super::BODY_SIZE_BYTES_MAX;
use crate::members::Members;
use crate::receipt::{self, Message};
use crate::{Version, WireError, json as strict};

/// Told when a peer says "invalid" and nothing more.
const UNNAMED: &str = "unexpected_verify_error";

/// The answer to `/verify`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyResponse {
    /// The payment would settle.
    Valid {
        /// Who pays.
        payer: Option<String>,
    },
    /// It would not.
    Refused(Refusal),
}

impl VerifyResponse {
    /// The body, in the spelling of `version`.
    pub fn write(&self, version: Version) -> Value {
        let mut body = json!({});
        let payer = match self {
            Self::Valid { payer } => {
                body["isValid"] = json!(true);
                payer
            }
            Self::Refused(refusal) => {
                body["isValid"] = json!(false);
                body["invalidReason"] = json!(version.reason(&refusal.reason));
                if let Some(message) = &refusal.message {
                    body["invalidMessage"] = json!(message);
                }
                &refusal.payer
            }
        };
        // Always there, because PyPI `x402` 0.3.0 reads no answer without it; the official facilitator writes the same
        // where it cannot read the payload.
        body["payer"] = json!(payer.as_deref().unwrap_or_default());
        body
    }

    /// Reads a body. An error means garbage: nothing is known of the payment.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let value = strict::parse(bytes, "verify response", BODY_SIZE_BYTES_MAX)?;
        let members = Members::of(&value, "verify response")?;
        let text = |key| members.text_or_none(key).map(|text| text.map(str::to_owned));
        let payer = text("payer")?.filter(|payer| !payer.is_empty());
        let (reason, message) = (text("invalidReason")?, text("invalidMessage")?);
        if members.flag("isValid")? {
            return Ok(Self::Valid { payer });
        }
        let reason = Version::read_reason(reason.as_deref().unwrap_or(UNNAMED));
        Ok(Self::Refused(Refusal { payer, message, ..reason.into() }))
    }
}

/// The answer to `/settle`: a receipt, and a sentence for people where it went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleResponse {
    /// What happened.
    pub receipt: Receipt,
    /// More about a failure.
    pub message: Option<String>,
}

impl From<Receipt> for SettleResponse {
    fn from(receipt: Receipt) -> Self {
        Self { receipt, message: None }
    }
}

impl SettleResponse {
    /// The answer when a payment of `network` is refused.
    pub fn refused(refusal: Refusal, network: Network) -> Self {
        let Refusal { reason, payer, message, transaction } = refusal;
        let outcome = match reason {
            Reason::SettlementPending => ReceiptOutcome::Pending,
            reason => ReceiptOutcome::Failed(reason),
        };
        Self {
            receipt: Receipt { outcome, network, transaction, payer, amount: None, settled_at: None },
            message,
        }
    }

    /// The body, in the spelling of `version`.
    pub fn write(&self, version: Version) -> Value {
        let message = Message::new(version, &self.receipt, self.message.as_deref());
        serde_json::to_value(message).unwrap_or_default()
    }

    /// Reads a body. An error means garbage: the money may have moved.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let value = strict::parse(bytes, "settle response", BODY_SIZE_BYTES_MAX)?;
        let (receipt, message) = receipt::read(&value, "settle response")?;
        Ok(Self { receipt, message })
    }
}
