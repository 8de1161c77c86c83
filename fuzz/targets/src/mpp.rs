//! The scheme `Payment`: credentials in both fields, and challenges as a buyer reads them.

use alloy_primitives::keccak256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use groat_core::{Offer, Payment};
use groat_wire::mpp::{self, Mpp, PAYMENT_HEADER};
use groat_wire::{Dialect, Dialects, WireError, credentials};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::json::respell;

/// The bytes as a field value, as the JSON of a credential, and as a challenge.
pub fn target(data: &[u8]) {
    let sealed = format!("Payment {}", seal(data));
    for name in [HeaderName::from_static(PAYMENT_HEADER), AUTHORIZATION] {
        if let Ok(value) = HeaderValue::from_bytes(data) {
            as_payment(&name, &value);
        }
        as_payment(&name, &HeaderValue::try_from(&sealed).unwrap());
    }
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
    match Mpp.read_challenge(&headers, data) {
        Ok(Some(challenge)) => challenge.offers.iter().for_each(|offer| asked(&challenge, offer)),
        Ok(None) => {}
        Err(error) => told_safely(&error),
    }
}

fn seal(json: &[u8]) -> String {
    BASE64.encode(json)
}

fn as_payment(name: &HeaderName, value: &HeaderValue) {
    let headers = HeaderMap::from_iter([(name.clone(), value.clone())]);
    let payment = match Dialects::standard().read_payment(&headers) {
        Ok(Some(payment)) => payment,
        Ok(None) => return assert!(*name == AUTHORIZATION, "a payment that is there was not seen"),
        Err(error) => return told_safely(&error),
    };
    assert_eq!(payment.dialect, mpp::ID);
    assert!(credentials::has_payment(&headers) && value.len() <= 16 * 1024);
    let token = value.to_str().unwrap().split_once(' ').unwrap().1.trim();
    let json = BASE64.decode(token).expect("what was read is base64url");
    assert_eq!(seal(&json), token, "one payment in two spellings of base64url");
    reads_back(name, &payment);
    // Another order and other white space are the same payment.
    let value: Value = serde_json::from_slice(&json).expect("what was read is JSON");
    for loose in [false, true] {
        let other = format!("Payment {}", seal(respell(&value, loose).as_bytes()));
        if other.len() <= 16 * 1024 {
            let headers = HeaderMap::from_iter([(name.clone(), other.parse().unwrap())]);
            assert_eq!(Dialects::standard().read_payment(&headers), Ok(Some(payment.clone())));
        }
    }
    // Nobody behind us sees it.
    let mut stripped = headers;
    stripped.remove(PAYMENT_HEADER);
    credentials::take_payments(&mut stripped, &AUTHORIZATION);
    assert!(stripped.is_empty());
}

fn reads_back(name: &HeaderName, payment: &Payment) {
    let mut written = HeaderMap::new();
    match Mpp.write_payment(payment, &mut written) {
        Ok(()) => {
            assert!(written.contains_key(name), "it is sent where it came");
            assert_eq!(Mpp.read_payment(&written), Ok(Some(payment.clone())));
        }
        Err(error) => assert!(matches!(error, WireError::TooLarge { .. }), "{error}"),
    }
}

/// What a buyer signs is a hash of the seller's own words.
fn asked(challenge: &groat_core::Challenge, offer: &Offer) {
    let told: Value = serde_json::from_str(offer.verbatim.as_ref().unwrap().text()).unwrap();
    let words = format!("{}{}", told["id"].as_str().unwrap(), told["realm"].as_str().unwrap());
    let prescribed = Mpp.prescribe(challenge, offer);
    assert_eq!(prescribed.nonce, Some(keccak256(words).0));
    let terms = BASE64.decode(told["request"].as_str().unwrap()).unwrap();
    let terms: Value = serde_json::from_slice(&terms).unwrap();
    assert_eq!(terms["amount"], offer.amount.to_string());
    assert_eq!(
        (&terms["currency"], &terms["recipient"]),
        (&offer.asset.as_str().into(), &offer.pay_to.as_str().into())
    );
    assert_eq!(terms["methodDetails"]["chainId"].as_u64(), offer.network.chain_id());
}

fn told_safely(error: &WireError) {
    let told = error.to_string();
    assert!(told.len() < 300 && !told.chars().any(char::is_control), "{told:?}");
}
