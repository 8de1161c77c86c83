//! Tests of this dialect alone, and beside the others.

mod hostile;
mod trips;
mod vectors;

use groat_core::offer::{Currency, Moment};
use groat_core::{Amount, Challenge, Network, Offer, Payment, Resource, Timestamp};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::Mpp;
use crate::Dialect;

const PAYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const PAYEE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
const NOW: Timestamp = Timestamp(1_893_456_000);

fn offer() -> Offer {
    Offer {
        scheme: "exact".into(),
        network: Network::eip155(84532),
        asset: USDC.into(),
        amount: Amount::from_units(10_000),
        pay_to: PAYEE.into(),
        timeout_s: 60,
        extra: json!({"name": "USDC", "version": "2"}).as_object().cloned().unwrap(),
        price: None,
        dialect: None,
        currency: Some(Currency { symbol: "USDC".into(), decimals: 6 }),
        verbatim: None,
    }
}

fn moment() -> Moment {
    Moment { now: NOW, random: [7; 16], method: "GET".into(), preferred: 0 }
}

fn asked(offers: Vec<Offer>) -> Challenge {
    Challenge {
        resource: Resource { url: "https://shop.example/weather".into(), ..Resource::default() },
        offers,
        pass_at: None,
        moment: Some(moment()),
        error: "Payment required".into(),
        extensions: Map::new(),
    }
}

/// The field values of a 402.
fn told(challenge: &Challenge) -> HeaderMap {
    let mut parts = crate::ChallengeParts::default();
    Mpp.write_challenge(challenge, &mut parts);
    assert!(parts.body.is_empty(), "the body is for others");
    parts.headers
}

/// What a payer signs for an offer as it was read.
fn paid(read: &Challenge, offer: &Offer) -> Payment {
    let prescribed = Mpp.prescribe(read, offer);
    let nonce = data_encoding::HEXLOWER.encode(&prescribed.nonce.unwrap());
    let payment = Payment {
        dialect: super::ID,
        scheme: "exact".into(),
        network: offer.network.clone(),
        proof: json!({
            "authorization": {
                "from": PAYER,
                "to": offer.pay_to,
                "value": offer.amount.to_string(),
                "validAfter": "0",
                "validBefore": prescribed.expires_at.unwrap().to_string(),
                "nonce": format!("0x{nonce}"),
            },
            "signature": format!("0x{}", "ab".repeat(65)),
        }),
        accepted: None,
        resource: None,
        extensions: Map::new(),
    };
    Mpp.accept(payment, read, offer)
}

/// The request that pays the first offer of a 402.
fn payment_of(challenge: &Challenge) -> Payment {
    let read = Mpp.read_challenge(&told(challenge), b"").unwrap().unwrap();
    paid(&read, &read.offers[0])
}

fn fields(payment: &Payment) -> HeaderMap {
    let mut headers = HeaderMap::new();
    Mpp.write_payment(payment, &mut headers).unwrap();
    headers
}

fn field(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
}

/// The JSON behind `Payment `.
fn opened(headers: &HeaderMap, name: &str) -> Value {
    let text = headers[name].to_str().unwrap().strip_prefix("Payment ").unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()).unwrap()
}

fn sealed(name: &'static str, json: &Value) -> HeaderMap {
    let text = data_encoding::BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    field(name, &format!("Payment {text}"))
}

fn values(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all(WWW_AUTHENTICATE).iter().map(|value| value.to_str().unwrap()).collect()
}
