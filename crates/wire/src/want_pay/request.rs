//! The Payment Request: the JSON body of a 402.
//!
//! The ten members of the profile's first table are what is asked for; `requestHash` is the keccak256 of exactly those
//! in canonical form (RFC 8785). They are therefore kept as they were written: `base` and `eip155:8453` are one chain
//! and two hashes. `docs/spec/payment-request.schema.json` says the same as this file to other languages.

use std::net::IpAddr;

use groat_core::reason::printable;
use groat_core::{Network, Timestamp};
use http::Uri;
use serde_json::{Map, Value};
use sha3::{Digest, Keccak256};

use super::account::is_payable;
use super::decimal::Decimal;
use super::{PROFILE, canonical, chain, is_currency};
use crate::members::Members;
use crate::{WireError, json};

/// The largest body.
pub const SIZE_BYTES_MAX: usize = 64 * 1024;
/// The largest metadata, in canonical form.
pub const METADATA_SIZE_BYTES_MAX: usize = 2_048;
/// How far ahead a request may expire.
pub const LIFETIME_S_MAX: u64 = 3_600;
/// How far ahead ours expire unless told otherwise.
pub const LIFETIME_S: u64 = 300;
/// More decimals than any token has.
const DECIMALS_MAX: u8 = 36;
pub(super) const ALTERNATIVES_MAX: usize = 8;
pub(super) const TEXT_CHARS_MAX: usize = 256;
const URL_BYTES_MAX: usize = 2_048;
const PLACE: &str = "payment request";

/// What a seller asks for. [`PaymentRequest::read`] gives only requests that keep the rules of the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentRequest {
    /// Names the request, to the seller and on chain.
    pub id: String,
    /// Whole units of the currency.
    pub amount: Decimal,
    /// The symbol, in upper case.
    pub currency: String,
    /// The chain as it was written, by name or CAIP-2.
    pub chain: String,
    /// Where the facilitator's interface begins.
    pub facilitator: String,
    /// The account that is paid.
    pub seller: String,
    /// The last second in which a block may hold the payment.
    pub expires: Timestamp,
    /// For people; see [`PaymentRequest::shown_description`].
    pub description: Option<String>,
    /// The seller's own.
    pub metadata: Option<Map<String, Value>>,
    /// Random.
    pub nonce: String,
    /// What this profile adds; it is not in the hash.
    pub more: More,
}

/// The members that the profile adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct More {
    /// The URL of what is sold.
    pub resource: Option<String>,
    /// The HTTP method that is paid for.
    pub method: Option<String>,
    /// The token's contract.
    pub token: Option<String>,
    /// Its decimals.
    pub decimals: Option<u8>,
    /// The contract that settles. A buyer pays only one that it knows from elsewhere.
    pub contract: Option<String>,
    /// Other ways to pay, each a request of its own.
    pub alternatives: Vec<PaymentRequest>,
    /// Why the last proof was not taken.
    pub error: Option<String>,
}

impl PaymentRequest {
    /// Reads a body. Whether it is still time to pay is asked with [`PaymentRequest::payable`].
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        Self::from_value(&json::parse(bytes, PLACE, SIZE_BYTES_MAX)?)
    }

    /// Reads a value that was parsed already.
    pub fn from_value(value: &Value) -> Result<Self, WireError> {
        Self::from_member(value, true)
    }

    fn from_member(value: &Value, outermost: bool) -> Result<Self, WireError> {
        let members = Members::of(value, PLACE)?;
        let wrong = |key: &str, rule: &str| members.wrong(key, rule);
        if members.text_or_none("version")?.is_some_and(|version| version != PROFILE) {
            return Err(wrong("version", "is another than x402-pay/1"));
        }
        let amount =
            Decimal::parse(members.text("amount")?).map_err(|_| wrong("amount", "is no plain decimal"))?;
        let metadata = members.value("metadata").map(|_| members.object("metadata").cloned()).transpose()?;
        let request = Self {
            id: members.text("id")?.to_owned(),
            amount,
            currency: members.text("currency")?.to_owned(),
            chain: members.text("chain")?.to_owned(),
            facilitator: members.text("facilitator")?.to_owned(),
            seller: members.text("seller")?.to_owned(),
            expires: Timestamp(
                members.required("expires")?.as_u64().ok_or_else(|| wrong("expires", "is no second"))?,
            ),
            description: members.text_or_none("description")?.map(str::to_owned),
            metadata,
            nonce: members.text("nonce")?.to_owned(),
            more: More::read(&members, outermost)?,
        };
        request.check()?;
        let hash = members.text_or_none("requestHash")?;
        if hash.is_some_and(|hash| !hash.eq_ignore_ascii_case(&request.hash_text())) {
            return Err(wrong("requestHash", "is not the hash of this request"));
        }
        Ok(request)
    }

    /// The rules that need no clock. What [`PaymentRequest::read`] gives keeps them.
    pub fn check(&self) -> Result<(), WireError> {
        let require = |good: bool, key: &str, rule: &str| {
            if good { Ok(()) } else { Err(WireError::malformed(PLACE, format!("`{key}` {rule}"))) }
        };
        let decimals = self.more.decimals.unwrap_or(DECIMALS_MAX);
        let is_graphic = |b: u8| b.is_ascii_graphic();
        require(is_request_id(&self.id), "id", "is not 1 to 64 letters, digits, - and _")?;
        require(!self.amount.is_zero(), "amount", "is nothing")?;
        require(decimals <= DECIMALS_MAX, "decimals", "is more than 36")?;
        require(self.amount.to_units(decimals).is_some(), "amount", "is finer than the token or too large")?;
        let is_upper = !self.currency.bytes().any(|b| b.is_ascii_lowercase());
        require(is_currency(&self.currency) && is_upper, "currency", "is no symbol in upper case")?;
        require(chain(&self.chain).is_some(), "chain", "is no chain that we know by name, and not CAIP-2")?;
        require(
            is_facilitator(&self.facilitator),
            "facilitator",
            "is no https URL (http only on this machine)",
        )?;
        require(is_payable(&self.seller), "seller", "is no account")?;
        require(fits(self.description.as_deref()), "description", "is longer than 256 characters")?;
        let metadata = self.metadata.as_ref().map_or(0, |metadata| canonical::object(metadata).len());
        require(metadata <= METADATA_SIZE_BYTES_MAX, "metadata", "is larger than 2048 bytes")?;
        let nonce_fits = (16..=64).contains(&self.nonce.len()) && self.nonce.bytes().all(is_graphic);
        require(nonce_fits, "nonce", "is not 16 to 64 characters")?;
        let more = &self.more;
        require(more.token.as_deref().is_none_or(is_payable), "token", "is no account")?;
        require(more.contract.as_deref().is_none_or(is_payable), "contract", "is no account")?;
        let url_fits = |url: &str| url.len() <= URL_BYTES_MAX && url.bytes().all(is_graphic);
        require(more.resource.as_deref().is_none_or(url_fits), "resource", "is no URL")?;
        let is_method =
            |method: &str| http::Method::from_bytes(method.as_bytes()).is_ok() && method.len() <= 32;
        require(more.method.as_deref().is_none_or(is_method), "method", "is no method")?;
        require(more.alternatives.len() <= ALTERNATIVES_MAX, "alternatives", "are more than 8")?;
        require(fits(more.error.as_deref()), "error", "is longer than 256 characters")
    }

    /// Whether it makes sense to pay now: not expired, and not good for longer than the profile allows.
    pub fn payable(&self, now: Timestamp) -> Result<(), WireError> {
        if self.expires <= now {
            return Err(WireError::malformed(PLACE, "`expires` is over: ask again"));
        }
        if self.expires > now.plus(LIFETIME_S_MAX) {
            return Err(WireError::malformed(PLACE, "`expires` is more than an hour ahead"));
        }
        Ok(())
    }

    /// The chain that is meant.
    pub fn network(&self) -> Option<Network> {
        chain(&self.chain)
    }

    /// keccak256 of the canonical JSON of the ten members.
    pub fn hash(&self) -> [u8; 32] {
        Keccak256::digest(canonical::object(&self.hashed()).as_bytes()).into()
    }

    /// What events call the request: keccak256 of its id.
    pub fn topic(&self) -> String {
        topic(&self.id)
    }

    /// The description for people: without what could rewrite the line that it stands in.
    pub fn shown_description(&self) -> String {
        self.description.as_deref().map_or_else(String::new, |text| printable(text, TEXT_CHARS_MAX))
    }

    /// The body: members in the order of the profile, with version and hash.
    pub fn write(&self) -> String {
        Value::Object(self.members()).to_string()
    }

    /// The body as members, for a 402 that says other things too.
    pub fn members(&self) -> Map<String, Value> {
        let mut members = self.own_members();
        if !self.more.alternatives.is_empty() {
            let others = self.more.alternatives.iter().map(|other| Value::Object(other.own_members()));
            members.insert("alternatives".to_owned(), others.collect());
        }
        members
    }

    /// All but the alternatives, which have none.
    fn own_members(&self) -> Map<String, Value> {
        let mut members = self.hashed();
        let mut add = |key: &str, value: Option<Value>| {
            value.and_then(|value| members.insert(key.to_owned(), value));
        };
        let more = &self.more;
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        add("version", Some(PROFILE.into()));
        add("resource", text(&more.resource));
        add("method", text(&more.method));
        add("token", text(&more.token));
        add("decimals", more.decimals.map(Value::from));
        add("contract", text(&more.contract));
        add("requestHash", Some(self.hash_text().into()));
        add("error", text(&more.error));
        members
    }

    fn hash_text(&self) -> String {
        self.hash().iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn hashed(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut add = |key: &str, value: Value| members.insert(key.to_owned(), value);
        add("id", self.id.as_str().into());
        add("amount", self.amount.as_str().into());
        add("currency", self.currency.as_str().into());
        add("chain", self.chain.as_str().into());
        add("facilitator", self.facilitator.as_str().into());
        add("seller", self.seller.as_str().into());
        add("expires", self.expires.0.into());
        if let Some(description) = &self.description {
            add("description", description.as_str().into());
        }
        if let Some(metadata) = &self.metadata {
            add("metadata", metadata.clone().into());
        }
        add("nonce", self.nonce.as_str().into());
        members
    }
}

impl More {
    fn read(members: &Members<'_>, outermost: bool) -> Result<Self, WireError> {
        let text = |key: &str| members.text_or_none(key).map(|text| text.map(str::to_owned));
        let decimals = members.value("decimals").map(|value| {
            let decimals = value.as_u64().and_then(|decimals| u8::try_from(decimals).ok());
            decimals.ok_or_else(|| members.wrong("decimals", "is no count"))
        });
        let alternatives = match members.value("alternatives") {
            None => Vec::new(),
            Some(_) if !outermost => return Err(members.wrong("alternatives", "of an alternative")),
            Some(_) => {
                let others = members.array("alternatives")?.iter().take(ALTERNATIVES_MAX + 1);
                others.map(|other| PaymentRequest::from_member(other, false)).collect::<Result<_, _>>()?
            }
        };
        Ok(Self {
            resource: text("resource")?,
            method: text("method")?,
            token: text("token")?,
            decimals: decimals.transpose()?,
            contract: text("contract")?,
            alternatives,
            error: text("error")?,
        })
    }
}

/// What events call a request of this id.
pub fn topic(id: &str) -> String {
    Keccak256::digest(id.as_bytes()).iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Whether this can be the id of a request.
pub fn is_request_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn fits(text: Option<&str>) -> bool {
    text.is_none_or(|text| text.chars().count() <= TEXT_CHARS_MAX)
}

/// https anywhere, http on this machine; no user, no query, no fragment.
pub(super) fn is_facilitator(text: &str) -> bool {
    let plain = text.len() <= URL_BYTES_MAX && !text.contains(['#', '?', '@', '\\']);
    let Some(uri) = text.parse::<Uri>().ok().filter(|_| plain) else { return false };
    let Some(host) = uri.host().filter(|host| !host.is_empty()) else { return false };
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) const SAMPLE: &str = include_str!("../../../../docs/spec/payment-request.sample.json");
    pub(crate) const NOW: Timestamp = Timestamp(1_735_919_700);

    pub(crate) fn sample() -> PaymentRequest {
        PaymentRequest::read(SAMPLE.as_bytes()).unwrap()
    }

    fn changed(key: &str, value: Value) -> Result<PaymentRequest, WireError> {
        let mut members: Map<String, Value> = serde_json::from_str(SAMPLE).unwrap();
        members.remove("requestHash");
        members.insert(key.to_owned(), value);
        PaymentRequest::from_value(&members.into())
    }

    #[test]
    fn a_request_reads_back_as_itself() {
        let request = sample();
        assert_eq!(PaymentRequest::read(request.write().as_bytes()).unwrap(), request);
        assert_eq!(request.network(), Some(Network::eip155(8453)));
        assert_eq!(request.more.alternatives.len(), 1);
        assert_eq!(
            serde_json::from_str::<Value>(&request.write()).unwrap(),
            serde_json::from_str::<Value>(SAMPLE).unwrap()
        );
    }

    #[test]
    fn the_hash_covers_the_ten_members_and_nothing_else() {
        let hash = sample().hash();
        assert_eq!(changed("error", json!("expired")).unwrap().hash(), hash);
        assert_eq!(changed("stranger", json!(1)).unwrap().hash(), hash);
        for (key, value) in [
            ("id", json!("pay_other")),
            ("amount", json!("0.010")),
            ("currency", json!("USDT")),
            ("chain", json!("eip155:8453")),
            ("facilitator", json!("https://other.example")),
            ("seller", json!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")),
            ("expires", json!(1_735_920_001)),
            ("description", json!("Other")),
            ("metadata", json!({"order": "18"})),
            ("nonce", json!("0123456789abcdee0123456789abcdef")),
        ] {
            assert_ne!(changed(key, value).unwrap().hash(), hash, "{key}");
        }
        let mut members: Map<String, Value> = serde_json::from_str(SAMPLE).unwrap();
        members.insert("amount".into(), json!("0.02"));
        assert!(PaymentRequest::from_value(&members.into()).is_err(), "the hash of another request");
    }

    #[test]
    fn a_request_that_breaks_a_rule_is_not_read() {
        let zero = format!("0x{}", "0".repeat(40));
        let nested = serde_json::from_str::<Value>(SAMPLE).unwrap();
        for (key, bad) in [
            ("id", json!("")),
            ("id", json!("x".repeat(65))),
            ("id", json!("pay 1")),
            ("id", json!(7)),
            ("amount", json!("0")),
            ("amount", json!("0.00")),
            ("amount", json!("-1")),
            ("amount", json!("1e3")),
            ("amount", json!(0.01)),
            ("amount", json!("0.0000001")),
            ("currency", json!("usdc")),
            ("currency", json!("US-DC")),
            ("chain", json!("atlantis")),
            ("chain", json!("eip155:01")),
            ("facilitator", json!("http://x402.example")),
            ("facilitator", json!("https://user@x402.example")),
            ("facilitator", json!("https://x402.example/?a")),
            ("facilitator", json!("ftp://x402.example")),
            ("facilitator", json!("x402.example")),
            ("facilitator", json!("http://127.0.0.1.evil.example")),
            ("seller", json!(zero)),
            ("seller", json!("0x70997970c51812dc3A010C7d01b50e0d17dc79C8")),
            ("expires", json!("1735920000")),
            ("expires", json!(1_735_920_000.5)),
            ("expires", json!(-1)),
            ("description", json!("ü".repeat(257))),
            ("metadata", json!({"a": "x".repeat(2_048)})),
            ("metadata", json!([])),
            ("nonce", json!("short")),
            ("nonce", json!("x".repeat(65))),
            ("version", json!("x402-pay/2")),
            ("token", json!("USDC")),
            ("contract", json!("0x1")),
            ("decimals", json!(37)),
            ("method", json!("GE T")),
            ("alternatives", json!([1])),
            ("alternatives", json!([nested])),
        ] {
            assert!(changed(key, bad.clone()).is_err(), "{key} {bad}");
        }
        for key in ["id", "amount", "currency", "chain", "facilitator", "seller", "expires", "nonce"] {
            assert!(changed(key, Value::Null).is_err(), "{key}");
        }
        for good in
            ["http://localhost:8402", "http://127.0.0.1:1", "http://[::1]:80/x", "https://a.example/v"]
        {
            assert!(changed("facilitator", json!(good)).is_ok(), "{good}");
        }
        assert!(PaymentRequest::read(br#"{"id":"a","id":"b"}"#).is_err());
    }

    #[test]
    fn m02_a_token_with_18_decimals_takes_finer_amounts() {
        let mut members: Map<String, Value> = serde_json::from_str(SAMPLE).unwrap();
        members.remove("requestHash");
        members.insert("amount".into(), json!("0.000000000000000001"));
        members.insert("decimals".into(), json!(18));
        let request = PaymentRequest::from_value(&members.into()).unwrap();
        assert_eq!(request.amount.to_units(18), Some(groat_core::Amount::from_units(1)));
    }

    #[test]
    fn it_is_paid_in_its_time() {
        let request = sample();
        assert!(request.payable(NOW).is_ok());
        assert!(request.payable(request.expires).is_err());
        assert!(request.payable(Timestamp(request.expires.0 - LIFETIME_S_MAX)).is_ok());
        assert!(request.payable(Timestamp(request.expires.0 - LIFETIME_S_MAX - 1)).is_err());
    }

    #[test]
    fn a_description_cannot_rewrite_the_line_it_stands_in() {
        let request = changed("description", json!("Pay\u{202e}\r\n\u{1b}[2J 1 cent\u{200b}")).unwrap();
        assert_eq!(request.shown_description(), "Pay    [2J 1 cent ");
    }
}
