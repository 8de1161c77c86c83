//! Tests of all codecs together.

mod agentxpay;
mod bare;
mod facilitator;
mod fresh;
mod inspect;
mod noise;
mod round_trips;
mod threats;
mod tokens;
mod vectors;

use groat_core::{Amount, Challenge, Network, Offer, Payment, Resource};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::{Dialects, header, x402_v1, x402_v2};

const ASSET: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
const PAY_TO: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn offer() -> Offer {
    Offer {
        scheme: "exact".into(),
        network: Network::eip155(84532),
        asset: ASSET.into(),
        amount: Amount::from_units(10_000),
        pay_to: PAY_TO.into(),
        timeout_s: 60,
        extra: object(json!({"name": "USDC", "version": "2"})),
        price: Some("$0.01".into()),
        dialect: None,
        currency: None,
        verbatim: None,
    }
}

fn challenge(offers: Vec<Offer>) -> Challenge {
    Challenge {
        resource: Resource {
            url: "https://api.example.com/weather".into(),
            description: "Weather".into(),
            mime_type: "application/json".into(),
        },
        offers,
        pass_at: None,
        moment: None,
        error: "Payment required".into(),
        extensions: Map::new(),
    }
}

fn proof(value: &str) -> Value {
    json!({
        "signature": "0x12",
        "authorization": {
            "from": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            "to": PAY_TO,
            "value": value,
            "validAfter": "0",
            "validBefore": "1893456060",
            "nonce": "0x0101010101010101010101010101010101010101010101010101010101010101",
        },
    })
}

fn v1_payment(value: &str) -> Payment {
    Payment {
        dialect: x402_v1::ID,
        scheme: "exact".into(),
        network: Network::eip155(84532),
        proof: proof(value),
        accepted: None,
        resource: None,
        extensions: Map::new(),
    }
}

fn v2_payment(challenge: &Challenge, offer: &Offer) -> Payment {
    x402_v2::accept(v1_payment(&offer.amount.to_string()), challenge, offer)
}

/// A version 2 payment whose echo was changed.
fn v2_echo(echo: &Value) -> Payment {
    let payment = v2_payment(&challenge(vec![offer()]), &offer());
    Payment { accepted: Some(echo.to_string().into()), ..payment }
}

fn echo() -> Value {
    x402_v2::offer::write(&offer())
}

fn field(name: &'static str, value: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    headers
}

fn json_field(name: &'static str, value: &Value) -> HeaderMap {
    field(name, header::encode(value.to_string().as_bytes()).as_bytes())
}

fn field_json(headers: &HeaderMap, name: &str) -> Value {
    let bytes = header::decode(headers[name].as_bytes(), "test", 1 << 20).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn dialects() -> Dialects {
    Dialects::all()
}

/// What a text means.
fn parsed(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}
