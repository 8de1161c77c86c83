//! The scheme `exact` on the model chain: the pure half here, the settling half in `settle`.

mod settle;

use groat_core::key::KeyKind;
use groat_core::offer::Ask;
use groat_core::offer::Currency;
use groat_core::ports::{Mechanism, Token};
use groat_core::{Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp};
use serde_json::{Value, json};

use crate::chain::{Account, Authorization};
use crate::node::Node;

/// The network of the model chain.
pub(crate) const NETWORK: &str = "eip155:84532";

/// `exact`; with a node it also settles.
pub(crate) struct Exact {
    pub(crate) node: Option<Node>,
}

/// A proof: what is authorized, and a stand-in for a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) authorization: Authorization,
    /// The sum that was really signed; any other is a forgery.
    pub(crate) signed_value: u64,
}

impl Proof {
    pub(crate) fn sign(authorization: Authorization) -> Self {
        Self { authorization, signed_value: authorization.value }
    }

    /// As every dialect writes it: numbers as texts, and a signature of 65 bytes that says what was signed.
    pub(crate) fn to_value(self) -> Value {
        let Authorization { from, to, value, valid_after, valid_before, nonce } = self.authorization;
        json!({
            "authorization": {
                "from": from.to_string(),
                "to": to.to_string(),
                "value": value.to_string(),
                "validAfter": valid_after.to_string(),
                "validBefore": valid_before.to_string(),
                "nonce": format!("0x{nonce:064x}"),
            },
            "signature": format!("0x{:064x}{:064x}1b", self.signed_value, nonce),
        })
    }

    pub(crate) fn read(value: &Value) -> Result<Self, Reason> {
        Self::read_members(value).ok_or(Reason::InvalidPayload)
    }

    fn read_members(value: &Value) -> Option<Self> {
        let signed = value.get("authorization")?;
        let text = |key| signed.get(key).and_then(Value::as_str);
        let number = |key| text(key)?.parse::<u64>().ok();
        let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
        Some(Self {
            authorization: Authorization {
                from: Account::parse(text("from")?)?,
                to: Account::parse(text("to")?)?,
                value: number("value")?,
                valid_after: number("validAfter")?,
                valid_before: number("validBefore")?,
                nonce: hex(text("nonce")?.strip_prefix("0x")?)?,
            },
            signed_value: hex(value.get("signature")?.as_str()?.get(2..66)?)?,
        })
    }
}

/// The key of an authorization.
pub(crate) fn key(network: &Network, authorization: &Authorization) -> PaymentKey {
    let (from, nonce) = (authorization.from.0.to_be_bytes(), authorization.nonce.to_be_bytes());
    PaymentKey::new(KeyKind::Eip3009, network, &[&from, &nonce])
}

impl Mechanism for Exact {
    fn scheme(&self) -> &'static str {
        "exact"
    }

    fn speaks(&self, network: &Network) -> bool {
        network.as_str() == NETWORK
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        if terms.scheme != self.scheme() {
            return Ok(None);
        }
        let Ask::Units { asset, amount, extra } = &terms.price else {
            return Err("the model chain has no dollar".to_owned());
        };
        Ok(Some(Offer {
            scheme: terms.scheme.clone(),
            network: terms.network.clone(),
            asset: asset.clone(),
            amount: *amount,
            pay_to: terms.pay_to.clone(),
            timeout_s: terms.timeout_s,
            extra: extra.clone(),
            price: None,
            dialect: None,
            currency: Some(Currency { symbol: "USD".to_owned(), decimals: 6 }),
            verbatim: None,
        }))
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let authorization = Proof::read(&payment.proof)?.authorization;
        Ok((key(&offer.network, &authorization), Timestamp(authorization.valid_before)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        Account::parse(one).is_some_and(|account| Some(account) == Account::parse(other))
    }

    fn token(&self, _network: &Network, _asset: &str) -> Option<Token> {
        None
    }
}
