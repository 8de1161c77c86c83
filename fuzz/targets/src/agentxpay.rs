//! Hashes of transactions as payments: a hash is its bytes, and what is signed for a request is the request.

use groat_chain_evm::{ByHashEvm, NATIVE, service_terms};
use groat_core::key::KeyKind;
use groat_core::offer::Ask;
use groat_core::ports::Mechanism;
use groat_core::{Amount, Network, Offer, Payment, PaymentKey, Terms};
use groat_wire::{Asked, Dialects, WireError};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

const FIELDS: [&str; 4] = ["x-payment-txhash", "x-payment-chainid", "x-payment-payer", "x-payment-signature"];
const URL: &str = "https://api.example.com/forecast?day=1";

/// Four lines are header fields, an empty one is not sent; the rest is the body of the request.
pub fn target(data: &[u8]) {
    let mut rest = data;
    let mut headers = HeaderMap::new();
    for name in FIELDS {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, more) = rest.split_at(end);
        rest = more.strip_prefix(b"\n").unwrap_or(more);
        if let Ok(value) = HeaderValue::from_bytes(line)
            && !line.is_empty()
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    match Dialects::standard().read_payment(&headers) {
        Ok(Some(payment)) => judged(&payment, &headers, rest),
        Ok(None) => assert!(hash(&headers).is_none(), "a hash that is there was not seen"),
        Err(error) => {
            assert!(!matches!(error, WireError::Ambiguous), "each field is there once");
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }
}

fn judged(payment: &Payment, headers: &HeaderMap, body: &[u8]) {
    let bytes = hash(headers).expect("what was read is a hash");
    let key = |payment: &Payment| ByHashEvm::offline().key(payment, &offer()).unwrap().0;
    // Hash, payee, no token, count.
    let pay_to = hex::decode(&offer().pay_to[2..]).unwrap();
    let parts: [&[u8]; 4] = [&bytes, &pay_to, &[0; 20], &0u64.to_be_bytes()];
    let expected = PaymentKey::new(KeyKind::Transaction, &offer().network, &parts);
    assert_eq!(key(payment), expected);
    for digits in [hex::encode(&bytes), hex::encode_upper(&bytes)] {
        let mut headers = headers.clone();
        headers.insert(FIELDS[0], HeaderValue::try_from(format!("0x{digits}")).unwrap());
        let other = Dialects::standard().read_payment(&headers).unwrap().unwrap();
        assert_eq!(key(&other), expected, "one hash in two spellings is two payments");
    }
    let payment = Payment { network: offer().network, ..payment.clone() };
    let asked = Asked { method: "POST", url: URL, body };
    let bound = Dialects::standard().bind(payment, &asked);
    let lines = bound.proof.get("lines").map(|lines| lines.as_str().unwrap().to_owned());
    let digest = hex::encode(Sha256::digest(body));
    let expected = format!("x402-axp/1\nPOST\n{URL}\n84532\n0x{}\n{digest}", hex::encode(&bytes));
    let is_signed = bound.proof.get("signature").is_some();
    assert_eq!(lines, is_signed.then_some(expected));
}

/// The 32 bytes of the field, if it has them.
fn hash(headers: &HeaderMap) -> Option<Vec<u8>> {
    let text = headers.get(FIELDS[0])?.to_str().ok()?.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    hex::decode(digits).ok().filter(|bytes| bytes.len() == 32)
}

fn offer() -> Offer {
    let provider = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let extra = service_terms("1", provider);
    let terms = Terms {
        scheme: "transaction".into(),
        network: Network::eip155(84532),
        price: Ask::Units { asset: NATIVE.into(), amount: Amount::from_units(1_000), extra },
        pay_to: provider.into(),
        timeout_s: 900,
    };
    ByHashEvm::offline().offer(&terms).unwrap().unwrap()
}
