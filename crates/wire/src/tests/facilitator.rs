//! The facilitator's bodies where they are not what they should be.

use groat_core::payment::ReceiptOutcome;
use groat_core::{Network, Payment, Reason, Refusal};
use serde_json::{Value, json};

use super::{challenge, offer, parsed, v1_payment, v2_payment};
use crate::facilitator::{
    RequestError, SettleResponse, VerifyResponse, read_request, read_supported, write_request,
};
use crate::{Version, WireError};

fn request() -> Value {
    parsed(&write_request(&v2_payment(&challenge(vec![offer()]), &offer()), &offer()))
}

fn refused(body: &Value) -> Option<Reason> {
    match read_request(body.to_string().as_bytes()) {
        Err(RequestError::Refused { reason, .. }) => Some(reason),
        _ => None,
    }
}

#[test]
fn a_body_that_is_no_request_is_undecodable() {
    for body in ["", "null", "[]", "{}", "<<>>", r#"{"x402Version":2,"paymentPayload":{}}"#] {
        let read = read_request(body.as_bytes());
        assert!(matches!(read, Err(RequestError::Undecodable(WireError::Malformed { .. }))), "{body}");
    }
    let large = vec![b' '; 300 * 1024];
    let read = read_request(&large);
    assert!(matches!(read, Err(RequestError::Undecodable(WireError::TooLarge { .. }))));
}

#[test]
fn a_request_with_a_wrong_part_gets_a_reason() {
    let changes = [
        ("/x402Version", json!(3), Reason::InvalidVersion),
        ("/x402Version", json!(1), Reason::InvalidVersion),
        ("/paymentPayload/x402Version", json!("2"), Reason::InvalidVersion),
        ("/paymentRequirements/network", json!("moon"), Reason::InvalidNetwork),
        ("/paymentRequirements/network", json!(84532), Reason::InvalidRequirements),
        ("/paymentRequirements/amount", json!("1.5"), Reason::InvalidRequirements),
        ("/paymentRequirements/payTo", json!(""), Reason::InvalidRequirements),
        ("/paymentRequirements/maxTimeoutSeconds", json!(0), Reason::InvalidRequirements),
        ("/paymentPayload/payload", json!([]), Reason::InvalidPayload),
        ("/paymentPayload/accepted", Value::Null, Reason::InvalidPayload),
    ];
    for (pointer, value, reason) in changes {
        let mut body = request();
        *body.pointer_mut(pointer).unwrap() = value;
        assert_eq!(refused(&body), Some(reason), "{pointer}");
    }
    assert_eq!(refused(&request()), None);
}

#[test]
fn even_a_wrong_request_is_answered_with_all_members_that_clients_insist_on() {
    let mut body = request();
    body["paymentRequirements"]["amount"] = json!("");
    let error = read_request(body.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        error.verify_body(),
        json!({"isValid": false, "invalidReason": "invalid_payment_requirements", "payer": ""})
    );
    let settle = error.settle_body();
    assert_eq!(settle["transaction"], "");
    assert_eq!(settle["network"], "eip155:84532");
    assert!(SettleResponse::read(settle.to_string().as_bytes()).is_ok());
}

#[test]
fn version_1_has_its_own_names() {
    let refusal = Refusal { payer: Some("0x1".into()), ..Refusal::from(Reason::AmountMismatch) };
    let verdict = VerifyResponse::Refused(refusal.clone());
    let code = "invalid_exact_evm_authorization_value";
    assert_eq!(verdict.write(Version::One), json!({"isValid": false, "invalidReason": code, "payer": "0x1"}));
    assert_eq!(VerifyResponse::read(verdict.write(Version::One).to_string().as_bytes()), Ok(verdict));
    let settled = SettleResponse::refused(refusal, Network::eip155(84532));
    let body = settled.write(Version::One);
    assert_eq!(body["network"], "base-sepolia");
    assert_eq!(body["errorReason"], code);
    assert_eq!(body["transaction"], "");
    assert_eq!(SettleResponse::read(body.to_string().as_bytes()), Ok(settled));
    let body = parsed(&write_request(&v1_payment("10000"), &offer()));
    assert_eq!(body["paymentRequirements"]["maxAmountRequired"], "10000");
    assert_eq!(body["paymentRequirements"]["network"], "base-sepolia");
    let read = read_request(body.to_string().as_bytes()).unwrap();
    assert_eq!(read.payment, Payment { resource: read.payment.resource.clone(), ..v1_payment("10000") });
}

#[test]
fn pending_is_never_failed() {
    let pending = json!({
        "success": false, "errorReason": "settlement_pending", "transaction": "0xab",
        "network": "eip155:84532", "payer": null, "errorMessage": null, "amount": null, "extra": null,
    });
    let read = SettleResponse::read(pending.to_string().as_bytes()).unwrap();
    assert_eq!(read.receipt.outcome, ReceiptOutcome::Pending);
    assert_eq!(read.receipt.transaction.as_deref(), Some("0xab"));
    assert_eq!(read.write(Version::Two)["errorReason"], "settlement_pending");
}

#[test]
fn an_answer_without_its_members_is_garbage() {
    let good = json!({"success": true, "transaction": "0xab", "network": "eip155:84532"});
    assert!(SettleResponse::read(good.to_string().as_bytes()).is_ok());
    for key in ["success", "transaction", "network"] {
        let mut less = good.clone();
        less.as_object_mut().unwrap().remove(key);
        assert!(SettleResponse::read(less.to_string().as_bytes()).is_err(), "without {key}");
    }
    for (key, value) in [
        ("success", json!("true")),
        ("transaction", Value::Null),
        ("network", json!("moon")),
        ("amount", json!(5)),
        ("payer", json!({})),
        ("errorReason", json!(1)),
    ] {
        let mut wrong = good.clone();
        wrong[key] = value;
        assert!(SettleResponse::read(wrong.to_string().as_bytes()).is_err(), "{key}");
    }
    for body in ["{}", r#"{"isValid":"yes"}"#, r#"{"isValid":true,"payer":1}"#, "", "null"] {
        assert!(VerifyResponse::read(body.as_bytes()).is_err(), "{body}");
    }
    let unnamed = VerifyResponse::read(br#"{"isValid":false,"invalidReason":null}"#).unwrap();
    assert_eq!(unnamed, VerifyResponse::Refused(Reason::from_code("unexpected_verify_error").into()));
}

#[test]
fn kinds_of_other_worlds_are_left_out() {
    let body = json!({"kinds": [
        {"x402Version": 2, "scheme": "exact", "network": "eip155:84532", "extra": null},
        {"x402Version": 1, "scheme": "exact", "network": "base"},
        {"x402Version": 3, "scheme": "exact", "network": "eip155:1"},
        {"x402Version": 1, "scheme": "exact", "network": "moon"},
        {"x402Version": 2, "scheme": "", "network": "eip155:1"},
        "nonsense",
    ]});
    let supported = read_supported(body.to_string().as_bytes()).unwrap();
    let kinds: Vec<_> = supported.kinds.iter().map(|kind| (kind.version, kind.network.as_str())).collect();
    assert_eq!(kinds, [(2, "eip155:84532"), (1, "eip155:8453")]);
    assert!(read_supported(b"{}").is_err());
}
