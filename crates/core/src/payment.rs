//! What travels after the challenge: a payment with its proof, and the receipt.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::offer::Verbatim;
use crate::{Amount, Network, Reason, Timestamp};

/// The name of a dialect, such as `x402-v2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DialectId(pub std::borrow::Cow<'static, str>);

impl DialectId {
    /// A name known when compiling.
    pub const fn new(name: &'static str) -> Self {
        Self(std::borrow::Cow::Borrowed(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for DialectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A buyer's payment: which offer, and the proof. The proof is the mechanism's to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The dialect it came in, and in which it is answered.
    pub dialect: DialectId,
    /// The scheme that it claims to follow.
    pub scheme: String,
    /// The chain it is on.
    pub network: Network,
    /// The evidence (x402 `payload`), untrusted until verified.
    pub proof: Value,
    /// The offer that the buyer says it accepted, where the dialect repeats it, to the letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Verbatim>,
    /// The resource that the buyer says it pays for, where the dialect repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Value>,
    /// Echoed and added protocol extensions.
    #[serde(default)]
    pub extensions: Map<String, Value>,
}

impl Payment {
    /// A hash of the meaning of the whole payment (key order and white space do not count).
    ///
    /// A kept answer is given again only to the same fingerprint (threat rows R03, R13). It is never a replay key.
    pub fn fingerprint(&self) -> Fingerprint {
        // `serde_json::Map` is sorted, so equal values have equal bytes.
        let meaning = (
            (self.dialect.as_str(), &self.scheme, &self.network, &self.proof),
            (self.accepted.as_ref().and_then(Verbatim::value), &self.resource, &self.extensions),
            // What is no JSON means its letters.
            self.accepted.as_ref().filter(|echo| echo.value().is_none()).map(Verbatim::text),
        );
        let mut hash = Sha256::new();
        // A hash takes everything, and JSON can hold all of it.
        let _ = serde_json::to_writer(&mut hash, &meaning);
        Fingerprint(data_encoding::HEXLOWER.encode(&hash.finalize()))
    }
}

/// SHA-256 of something that must be the same again, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// The fingerprint of length-prefixed fields.
    pub fn of(fields: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for field in fields {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        Self(data_encoding::HEXLOWER.encode(&hash.finalize()))
    }
}

/// How a settlement attempt ended, as told to the buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What happened.
    pub outcome: ReceiptOutcome,
    /// The chain.
    pub network: Network,
    /// The transaction, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// How much was charged, where the scheme leaves it open until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// When the seller learnt that the money has moved, for dialects whose receipts say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
}

/// The three ends a settlement attempt can have for whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptOutcome {
    /// The money has moved.
    Settled,
    /// It has not and will not.
    Failed(Reason),
    /// Nobody knows yet: send the same payment again, never a new one.
    Pending,
}

impl Receipt {
    /// Whether the money has moved.
    pub fn is_settled(&self) -> bool {
        self.outcome == ReceiptOutcome::Settled
    }
}
