//! Payments as header fields, of version 1, version 2 and the bare profile.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groat_chain_evm::fuzzing::{Sight, verdict};
use groat_chain_evm::{ChainLimits, ExactEvm};
use groat_core::key::KeyKind;
use groat_core::offer::Verbatim;
use groat_core::ports::Mechanism;
use groat_core::{Offer, Payment, PaymentKey, Reason, Timestamp};
use groat_wire::facilitator::{read_request, write_request};
use groat_wire::{Dialects, PAYMENT_HEADERS, WireError};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::json::{at_mut, depth, respell};
use crate::sample::{self, NOW};

/// The field holds 16 KiB of base64.
const JSON_BYTES_MAX: usize = 12 * 1024;
const DEPTH_MAX: usize = 16;
/// No base64 but a hash: see `agentxpay`.
const HASH: &str = "x-payment-txhash";

/// The bytes once as the text of a field and once as the JSON inside one, in every field that carries such payments.
pub fn target(data: &[u8]) {
    for name in PAYMENT_HEADERS.iter().filter(|name| **name != HASH) {
        as_field(name, data);
        as_json(name, data);
    }
}

fn as_field(name: &'static str, data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static(name), value.clone());
    match Dialects::standard().read_payment(&headers) {
        Ok(payment) => {
            assert!(payment.is_some(), "a payment that is there was not seen");
            assert!(data.len() <= 16 * 1024, "a field above the limit was read");
            let json = STANDARD.decode(data).expect("what was read is base64");
            assert_eq!(STANDARD.encode(json).as_bytes(), data, "one payment in two spellings of base64");
        }
        Err(error) => told_safely(&error),
    }
    PAYMENT_HEADERS.iter().for_each(|name| {
        headers.append(HeaderName::from_static(name), value.clone());
    });
    assert_eq!(Dialects::standard().read_payment(&headers), Err(WireError::Ambiguous));
}

fn told_safely(error: &WireError) {
    let told = error.to_string();
    assert!(told.len() < 300 && !told.chars().any(char::is_control), "{told:?}");
}

fn as_json(name: &'static str, json: &[u8]) {
    let payment = match read(name, json) {
        Ok(payment) => payment,
        Err(error) => return told_safely(&error),
    };
    assert!(json.len() <= JSON_BYTES_MAX && depth(json) <= DEPTH_MAX, "a payment above the limits was read");
    reads_back(&payment);
    forwards(&payment);
    let value: Value = serde_json::from_slice(json).expect("what was read is JSON");
    for loose in [false, true] {
        same_in_other_words(name, &payment, &respell(&value, loose));
    }
    for upper in [false, true] {
        same_in_other_case(name, &payment, &value, upper);
    }
    bound(&payment);
}

fn read(name: &'static str, json: &[u8]) -> Result<Payment, WireError> {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static(name), STANDARD.encode(json).parse().unwrap());
    Ok(Dialects::standard().read_payment(&headers)?.expect("there is a payment"))
}

/// What was read can be written, and reads as itself.
fn reads_back(payment: &Payment) {
    let mut headers = HeaderMap::new();
    match Dialects::standard().write_payment(payment, &mut headers) {
        Ok(()) => {
            let again = Dialects::standard().read_payment(&headers);
            assert_eq!(again.as_ref(), Ok(&Some(payment.clone())));
        }
        // Numbers can be longer in our spelling.
        Err(WireError::TooLarge { .. }) => {
            assert!(serde_json::to_vec(payment).unwrap().len() > JSON_BYTES_MAX / 2);
        }
        Err(error) => panic!("what was read cannot be written: {error}"),
    }
}

/// A facilitator is told the payment that was read, and the seller's own terms.
fn forwards(payment: &Payment) {
    let offer = Offer { price: None, currency: None, ..sample::offer("$0.01", "base-sepolia") };
    let body = write_request(payment, &offer);
    let request = read_request(body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {body}"));
    assert_eq!(request.offer, offer);
    assert_eq!(request.payment.proof, payment.proof);
    assert_eq!(request.payment.dialect, payment.dialect);
    if request.payment.accepted.is_none() {
        assert_eq!(
            (request.payment.scheme, request.payment.network),
            (payment.scheme.clone(), payment.network.clone())
        );
    }
}

/// Key order, white space and escapes change nothing.
fn same_in_other_words(name: &'static str, payment: &Payment, json: &str) {
    if json.len() > JSON_BYTES_MAX {
        return;
    }
    let other = read(name, json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"));
    let meaning = |payment: &Payment| payment.accepted.as_ref().and_then(|echo| echo.value().cloned());
    assert_eq!(meaning(&other), meaning(payment));
    assert_eq!(other.fingerprint(), payment.fingerprint());
    assert_eq!(Payment { accepted: None, ..other.clone() }, Payment { accepted: None, ..payment.clone() });
    let challenge = sample::challenge();
    let dialects = Dialects::standard();
    assert_eq!(dialects.choose(&other, &challenge), dialects.choose(payment, &challenge));
    assert_eq!(judged(&other), judged(payment));
}

/// Hex digits have no case: key and verdict are those of the bytes.
fn same_in_other_case(name: &'static str, payment: &Payment, value: &Value, upper: bool) {
    let (Ok(key), verdict) = judged(payment) else { return };
    let mut value = value.clone();
    let places: [&[&str]; 4] = [
        &["payload", "signature"],
        &["payload", "authorization", "from"],
        &["payload", "authorization", "to"],
        &["payload", "authorization", "nonce"],
    ];
    for path in places {
        let Some(Value::String(text)) = at_mut(&mut value, path) else { panic!("a key without {path:?}") };
        let digits = text.strip_prefix("0x").expect("a key from a number without 0x");
        *text = format!("0x{}", if upper { digits.to_uppercase() } else { digits.to_lowercase() });
    }
    let other = read(name, respell(&value, false).as_bytes());
    let Ok(other) = other else { return };
    assert_eq!(judged(&other), (Ok(key), verdict));
}

type Judged = (Result<PaymentKey, Reason>, Result<(), Reason>);

fn judged(payment: &Payment) -> Judged {
    let offer = sample::offer("$0.01", "base-sepolia");
    let sight = Sight {
        asset_has_code: true,
        balance: Some(offer.amount.as_u256()),
        used: Some(false),
        ..Sight::default()
    };
    let key = ExactEvm::offline().key(payment, &offer).map(|(key, _)| key);
    (key, verdict(payment, &offer, &ChainLimits::default(), &[], Timestamp(NOW), &sight))
}

/// The key is that of the parsed bytes, and the chosen offer is the one that the payment names.
fn bound(payment: &Payment) {
    let offer = sample::offer("$0.01", "base-sepolia");
    let bytes = |name: &str| {
        let text = payment.proof.get("authorization")?.get(name)?.as_str()?;
        hex::decode(text.strip_prefix("0x")?).ok()
    };
    if let Ok((key, _)) = ExactEvm::offline().key(payment, &offer) {
        let (from, nonce) = (bytes("from").expect("a payer"), bytes("nonce").expect("a nonce"));
        assert_eq!((from.len(), nonce.len()), (20, 32));
        let asset = sample::address(&offer.asset);
        assert_eq!(
            key,
            PaymentKey::new(KeyKind::Eip3009, &offer.network, &[asset.as_slice(), &from, &nonce])
        );
    }
    let challenge = sample::challenge();
    if let Ok(chosen) = Dialects::standard().choose(payment, &challenge) {
        assert_eq!((&chosen.scheme, &chosen.network), (&payment.scheme, &payment.network));
        if let Some(echo) = payment.accepted.as_ref().and_then(Verbatim::value) {
            let named = ["amount", "asset", "payTo"].map(|key| echo[key].as_str().map(str::to_owned));
            let ours = [chosen.amount.to_string(), chosen.asset.clone(), chosen.pay_to.clone()].map(Some);
            assert_eq!(named, ours);
        }
    }
}
