//! The credential: somebody signs so much away, to one payment service, once.

use groat_core::key::KeyKind;
use groat_core::{Network, PaymentKey, Reason, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Holder, PERMIT_TYPE, signature};

/// Members of a debit, and nothing else: a signature has one meaning.
const MEMBERS: [&str; 9] =
    ["permit_type", "account", "amount", "currency", "nonce", "deadline", "audience", "network", "signature"];
/// The longest text in it.
const TEXT_BYTES_MAX: usize = 512;
/// JSON numbers above this are not exact everywhere.
const NUMBER_MAX: u64 = 1 << 53;

/// What was signed, as it was written; read from a proof that nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debit {
    /// Whose account.
    pub holder: Holder,
    /// Which of their debits: with the account this makes it unique.
    pub nonce: [u8; 32],
    /// How much, in whole units: `0.50`.
    pub amount: String,
    /// Of what.
    pub currency: String,
    /// Until when it may be taken.
    pub deadline: Timestamp,
    /// Which payment service may take it: its endpoint.
    pub audience: String,
    /// Out of which ledger, where that is said.
    pub network: Option<String>,
    account_text: String,
    nonce_text: String,
    signature: Vec<u8>,
}

/// What is signed: canonical JSON (RFC 8785). The members stand in its order, and texts and small whole numbers are
/// written as serde_json writes them.
#[derive(Serialize)]
struct Signed<'a> {
    account: &'a str,
    amount: &'a str,
    audience: &'a str,
    currency: &'a str,
    deadline: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    nonce: &'a str,
    permit_type: &'a str,
}

/// What makes a debit unique.
pub(crate) fn replay_key(network: &Network, holder: &Holder, nonce: &[u8; 32]) -> PaymentKey {
    PaymentKey::new(KeyKind::Balance, network, &[holder.to_string().as_bytes(), nonce])
}

impl Debit {
    /// Reads a proof.
    pub fn read(proof: &Value) -> Result<Self, Reason> {
        let members = proof.as_object().ok_or(Reason::InvalidPayload)?;
        if members.keys().any(|key| !MEMBERS.contains(&key.as_str())) {
            return Err(Reason::InvalidPayload);
        }
        let text = |key| text(members, key).ok_or(Reason::InvalidPayload);
        if text("permit_type")? != PERMIT_TYPE {
            return Err(Reason::InvalidPayload);
        }
        let holder = Holder::parse(text("account")?).map_err(|_| Reason::InvalidPayload)?;
        let nonce = read_nonce(text("nonce")?).ok_or(Reason::InvalidPayload)?;
        let deadline = members.get("deadline").and_then(Value::as_u64).filter(|at| *at < NUMBER_MAX);
        let network = match members.get("network") {
            None => None,
            Some(_) => Some(text("network")?.to_owned()),
        };
        Ok(Self {
            holder,
            nonce,
            amount: text("amount")?.to_owned(),
            currency: text("currency")?.to_owned(),
            deadline: Timestamp(deadline.ok_or(Reason::InvalidPayload)?),
            audience: text("audience")?.to_owned(),
            network,
            account_text: text("account")?.to_owned(),
            nonce_text: text("nonce")?.to_owned(),
            signature: signature::read(&holder, text("signature")?).ok_or(Reason::InvalidPayload)?,
        })
    }

    /// The text that its holder signs.
    pub fn canonical(&self) -> String {
        let signed = Signed {
            account: &self.account_text,
            amount: &self.amount,
            audience: &self.audience,
            currency: &self.currency,
            deadline: self.deadline.0,
            network: self.network.as_deref(),
            nonce: &self.nonce_text,
            permit_type: PERMIT_TYPE,
        };
        // Texts and a number: JSON can hold them.
        serde_json::to_string(&signed).unwrap_or_default()
    }

    /// Whether its holder has signed it.
    pub fn is_signed(&self) -> bool {
        signature::is_signed(&self.holder, &self.canonical(), &self.signature)
    }

    /// The replay key: ledger, account and nonce, as bytes.
    pub fn key(&self, network: &Network) -> PaymentKey {
        replay_key(network, &self.holder, &self.nonce)
    }

    /// A debit that nobody has signed yet.
    pub(crate) fn unsigned(
        holder: Holder,
        nonce: [u8; 32],
        (amount, currency): (String, &str),
        deadline: Timestamp,
        audience: &str,
        network: &Network,
    ) -> Self {
        Self {
            holder,
            nonce,
            amount,
            currency: currency.to_owned(),
            deadline,
            audience: audience.to_owned(),
            network: Some(network.to_string()),
            account_text: holder.to_string(),
            nonce_text: format!("0x{}", data_encoding::HEXLOWER.encode(&nonce)),
            signature: Vec::new(),
        }
    }

    /// The proof with this signature.
    pub(crate) fn proof(&self, signature: &[u8]) -> Value {
        let signature = match self.holder {
            Holder::Evm(_) => format!("0x{}", data_encoding::HEXLOWER.encode(signature)),
            Holder::Ed25519(_) => data_encoding::BASE64URL_NOPAD.encode(signature),
        };
        let mut proof = serde_json::from_str(&self.canonical()).unwrap_or(Value::Null);
        proof["signature"] = signature.into();
        proof
    }
}

fn text<'v>(members: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    members.get(key)?.as_str().filter(|text| !text.is_empty() && text.len() <= TEXT_BYTES_MAX)
}

/// Thirty-two bytes in hex.
pub(crate) fn read_nonce(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 64)?;
    data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok()
}
