//! What a seller asks for: the terms of a route, the offers made of them, and the challenge that carries them.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::payment::DialectId;
use crate::{Amount, Network, Price, Timestamp};

/// What is for sale, as told to the buyer (x402 v2 `ResourceInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resource {
    /// The URL that was asked for.
    pub url: String,
    /// What the buyer gets, for people.
    pub description: String,
    /// The media type of the answer, empty when unknown.
    pub mime_type: String,
}

/// A seller's wish before a mechanism made an offer of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The scheme, such as `exact`.
    pub scheme: String,
    /// Where to be paid.
    pub network: Network,
    /// How much.
    pub price: Ask,
    /// Who is paid: an account of that network.
    pub pay_to: String,
    /// How long a signed payment must at least stay valid, in seconds.
    pub timeout_s: u64,
}

/// How much a seller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// In words; the mechanism knows the token.
    Price(Price),
    /// In units of a given token.
    Units {
        /// Token account on the network.
        asset: String,
        /// Atomic units of it.
        amount: Amount,
        /// What the scheme wants to know of the token (for EIP-3009 its EIP-712 `name` and `version`).
        extra: Map<String, Value>,
    },
}

/// JSON text kept to the letter, because somebody compares it (x402 v2 `accepted`). Cheap to clone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Verbatim(Arc<Text>);

#[derive(Debug)]
struct Text {
    text: Box<str>,
    value: OnceLock<Option<Value>>,
}

impl Verbatim {
    /// The text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What the text means, read when first asked for; `None` when it is not JSON.
    pub fn value(&self) -> Option<&Value> {
        self.0.value.get_or_init(|| serde_json::from_str(&self.0.text).ok()).as_ref()
    }
}

impl PartialEq for Verbatim {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Verbatim {}

impl From<String> for Verbatim {
    fn from(text: String) -> Self {
        Self(Arc::new(Text { text: text.into(), value: OnceLock::new() }))
    }
}

impl From<&str> for Verbatim {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Verbatim> for String {
    fn from(verbatim: Verbatim) -> Self {
        verbatim.text().to_owned()
    }
}

/// One way to pay: an entry of `accepts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The scheme, such as `exact`.
    pub scheme: String,
    /// The chain.
    pub network: Network,
    /// The token account; EIP-55 on EVM when we wrote it.
    pub asset: String,
    /// Atomic units of the token.
    pub amount: Amount,
    /// The account to be paid.
    pub pay_to: String,
    /// Seconds that a payment of it may take.
    pub timeout_s: u64,
    /// What the scheme adds.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// The price in words, such as `$0.01`, where the token has a known value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// The one dialect that can say it, where not all can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<DialectId>,
    /// What people call the token, for dialects that say amounts in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The entry exactly as a seller sent it; the buyer's echo must repeat it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbatim: Option<Verbatim>,
}

/// What people call a token, and how they count it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Currency {
    /// Such as `USDC`. A name proves nothing: the token is its account.
    pub symbol: String,
    /// Decimals of its atomic unit.
    pub decimals: u8,
}

/// When and for which request a challenge is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// Bytes that nobody can guess.
    pub random: [u8; 16],
    /// The method of the request.
    pub method: String,
    /// Which of the offers that are made anew each time suits the buyer best, counted from 0 in the seller's order.
    pub preferred: usize,
}

/// The 402: what is sold and how it may be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// What is for sale.
    pub resource: Resource,
    /// Ways to pay, in the seller's order of preference.
    pub offers: Vec<Offer>,
    /// Where a payment buys a pass for this resource instead of its answer: an absolute path of the same origin.
    pub pass_at: Option<String>,
    /// The moment it is made for, where a dialect makes each one anew.
    pub moment: Option<Moment>,
    /// Why there is a 402: a reason code or `Payment required`.
    pub error: String,
    /// Protocol extensions that the seller advertises; a buyer echoes them.
    pub extensions: Map<String, Value>,
}
