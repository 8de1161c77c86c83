//! A challenge as it is told, and as a payment repeats it.

use data_encoding::BASE64URL_NOPAD;
use groat_core::offer::Verbatim;
use groat_core::{Network, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::{INTENT, METHOD, PAYMENT_HEADER, expires, id};
use crate::members::Members;
use crate::{WireError, json};

/// The largest `request` that the reference implementation reads.
const REQUEST_SIZE_BYTES_MAX: usize = 16 * 1024;

/// The parameters of one challenge. Those that we do not know are ignored, as the draft wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Echo {
    pub(super) id: String,
    pub(super) realm: String,
    method: String,
    intent: String,
    pub(super) request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opaque: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
}

impl Echo {
    /// A challenge of ours.
    pub(super) fn new(id: String, realm: &str, request: String, expires: String) -> Self {
        Self {
            id,
            realm: realm.to_owned(),
            method: METHOD.to_owned(),
            intent: INTENT.to_owned(),
            request,
            expires: Some(expires),
            header: Some("Payment-Authorization".to_owned()),
            digest: None,
            opaque: None,
            description: None,
        }
    }

    /// The members of an object.
    pub(super) fn read(value: &Value, place: &'static str) -> Result<Self, WireError> {
        let members = Members::of(value, place)?;
        let text = |key| members.word(key).map(str::to_owned);
        let text_or_none = |key| members.text_or_none(key).map(|text| text.map(str::to_owned));
        let echo = Self {
            id: text("id")?,
            realm: members.text("realm")?.to_owned(),
            method: text("method")?,
            intent: text("intent")?,
            request: text("request")?,
            expires: text_or_none("expires")?,
            header: text_or_none("header")?,
            digest: text_or_none("digest")?,
            opaque: text_or_none("opaque")?,
            description: text_or_none("description")?,
        };
        if !echo.is_charge() {
            return Err(
                members.wrong("method", "is not `evm` with the intent `charge`: nothing else is taken here")
            );
        }
        Ok(echo)
    }

    /// The parameters of a challenge of ours, in the order of the draft.
    pub(super) fn params(&self) -> Vec<(&'static str, &str)> {
        let Self { id, realm, method, intent, request, expires, header, .. } = self;
        let needed =
            [("id", id), ("realm", realm), ("method", method), ("intent", intent), ("request", request)];
        let more = [("expires", expires), ("header", header)].into_iter();
        let more = more.filter_map(|(name, text)| Some((name, text.as_ref()?)));
        needed.into_iter().chain(more).map(|(name, text)| (name, text.as_str())).collect()
    }

    /// What a payment repeats, or what an offer was told as.
    pub(super) fn from_text(told: &Verbatim) -> Result<Self, WireError> {
        let place = "challenge";
        let value = told.value().ok_or_else(|| WireError::malformed(place, "is no JSON"))?;
        Self::read(value, place)
    }

    /// As JSON.
    pub(super) fn text(&self) -> String {
        // Texts only: JSON can hold all of it.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether this is a charge on an EVM chain.
    pub(super) fn is_charge(&self) -> bool {
        self.method == METHOD && self.intent == INTENT
    }

    /// Whether the payment goes into a field of its own; `None` for a field that no challenge may select.
    pub(super) fn has_own_field(&self) -> Option<bool> {
        match self.header.as_deref() {
            None => Some(false),
            Some(name) if name.eq_ignore_ascii_case("authorization") => Some(false),
            Some(name) if name.eq_ignore_ascii_case(PAYMENT_HEADER) => Some(true),
            Some(_) => None,
        }
    }

    /// The number of the authorization that pays it.
    pub(super) fn nonce(&self) -> [u8; 32] {
        id::nonce(&self.id, &self.realm)
    }

    /// When it ends, where it says so.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        expires::read(self.expires.as_deref()?)
    }

    /// The terms.
    pub(super) fn terms(&self) -> Result<Value, WireError> {
        let place = "request";
        let size_bytes_max = REQUEST_SIZE_BYTES_MAX;
        if self.request.len() > size_bytes_max {
            return Err(WireError::TooLarge { place, size_bytes_max });
        }
        let bytes = BASE64URL_NOPAD
            .decode(self.request.as_bytes())
            .map_err(|_| WireError::malformed(place, "not base64url without padding"))?;
        json::parse(&bytes, place, size_bytes_max)
    }
}

/// The chain of the terms.
pub(super) fn network(terms: &Value) -> Result<Network, WireError> {
    let chain_id = terms.pointer("/methodDetails/chainId").and_then(Value::as_u64);
    chain_id.map(Network::eip155).ok_or_else(|| WireError::malformed("request", "names no chain"))
}
