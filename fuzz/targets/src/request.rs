//! Payment Requests: what is read keeps the rules of the profile and reads back as itself, with the same hash.

use groat_wire::want_pay::request::PaymentRequest;
use serde_json::Value;

/// The body of a 402.
pub fn target(data: &[u8]) {
    let Ok(request) = PaymentRequest::read(data) else { return };
    ruled(&request);
    request.more.alternatives.iter().for_each(ruled);
    assert!(request.more.alternatives.len() <= 8);
    let written = request.write();
    // With all members the other spelling may be larger than what is read.
    if written.len() <= 64 * 1024 {
        assert_eq!(PaymentRequest::read(written.as_bytes()).as_ref(), Ok(&request));
    }
    // No one of the ten members can be changed without the hash.
    let mut members: Value = serde_json::from_str(&written).unwrap();
    members["amount"] = Value::from(format!("{}1", members["amount"].as_str().unwrap()));
    members["decimals"] = Value::Null;
    assert!(PaymentRequest::from_value(&members).is_err());
}

fn ruled(request: &PaymentRequest) {
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    assert!((1..=64).contains(&request.id.len()) && request.id.bytes().all(is_id));
    assert!(!request.amount.is_zero() && request.network().is_some());
    let host = request.facilitator.parse::<http::Uri>().unwrap();
    assert!(host.scheme_str() == Some("https") || host.scheme_str() == Some("http"));
    assert!(request.seller.starts_with("0x") && request.seller.len() == 42);
    assert!(request.description.as_ref().is_none_or(|text| text.chars().count() <= 256));
    assert!(!request.shown_description().chars().any(char::is_control));
    assert!((16..=64).contains(&request.nonce.len()));
}
