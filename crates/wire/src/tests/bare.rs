//! Version 1 and the bare profile: what goes into the one body, and what comes back.

use groat_core::{Amount, Network, Offer, Resource};
use http::HeaderMap;
use serde_json::{Value, json};

use super::{ASSET, PAY_TO, challenge, dialects, field_json, json_field, object, offer, proof, v1_payment};
use crate::{ChallengeParts, Dialect, RESPONSE_HEADERS, WireError, x402_v1, x402_v2};

fn body(offers: Vec<Offer>) -> Value {
    Value::Object(dialects().write_challenge(&challenge(offers)).body)
}

#[test]
fn rule_v_only_portable_offers_are_in_the_version_1_body() {
    let celo = Offer { network: Network::eip155(42220), ..offer() };
    let upto = Offer { scheme: "upto".into(), ..offer() };
    let written = body(vec![celo.clone(), upto, offer()]);
    let expected = json!({
        "x402Version": 1,
        "error": "Payment required",
        "accepts": [{
            "scheme": "exact",
            "network": "base-sepolia",
            "maxAmountRequired": "10000",
            "resource": "https://api.example.com/weather",
            "description": "Weather",
            "mimeType": "application/json",
            "payTo": PAY_TO,
            "maxTimeoutSeconds": 60,
            "asset": ASSET,
            "extra": {"name": "USDC", "version": "2"},
            "price": "$0.01",
        }],
        "description": "Weather",
        "mimeType": "application/json",
    });
    assert_eq!(written, expected);
    let mut wide = ChallengeParts::default();
    x402_v1::V1::new([Network::eip155(42220)]).write_challenge(&challenge(vec![celo]), &mut wide);
    assert_eq!(wide.body["accepts"][0]["network"], "celo");
}

#[test]
fn rule_v_without_a_portable_offer_there_is_no_version() {
    let arbitrum = Offer { network: Network::eip155(42161), ..offer() };
    let written = body(vec![arbitrum.clone()]);
    assert_eq!(written.get("x402Version"), None);
    assert_eq!(written["accepts"][0]["network"], "eip155:42161");
    assert_eq!(written["error"], "Payment required");
    let relative = Resource { url: "/weather".into(), ..Resource::default() };
    let relative = groat_core::Challenge { resource: relative, ..challenge(vec![offer()]) };
    assert_eq!(dialects().write_challenge(&relative).body.get("x402Version"), None);

    let read = x402_v1::V1::default().read_challenge(&HeaderMap::new(), written.to_string().as_bytes());
    let read = read.unwrap().unwrap();
    assert_eq!(Offer { currency: None, verbatim: None, ..read.offers[0].clone() }, arbitrum);
}

#[test]
fn a_402_that_is_not_ours_is_nobodys() {
    let html = format!("<html>{}</html>", "x".repeat(100_000));
    for body in ["", "null", "{}", "[]", r#"{"error":"x"}"#, r#"{"x402Version":2,"accepts":[]}"#, &html] {
        assert_eq!(dialects().read_challenge(&HeaderMap::new(), body.as_bytes()), Ok(None), "{body:.20}");
    }
    let broken = dialects().read_challenge(&HeaderMap::new(), br#"{"x402Version":1"#);
    assert!(matches!(broken, Err(WireError::Malformed { .. })));
    let large = format!("{{{}", " ".repeat(100_000));
    let large = dialects().read_challenge(&HeaderMap::new(), large.as_bytes());
    assert!(matches!(large, Err(WireError::TooLarge { .. })));
}

#[test]
fn the_bare_profile_is_read_with_its_token_and_answered_in_its_own_shape() {
    let body = json!({
        "accepts": [
            {"scheme": "exact", "price": "$0.01", "network": "eip155:84532", "payTo": PAY_TO},
            {"scheme": "exact", "price": "$0.01", "network": "eip155:1", "payTo": PAY_TO},
            {"scheme": "exact", "price": "0,01", "network": "eip155:8453", "payTo": PAY_TO},
        ],
        "description": "Weather",
        "mimeType": "application/json",
    });
    let (dialect, read) =
        dialects().read_challenge(&HeaderMap::new(), body.to_string().as_bytes()).unwrap().unwrap();
    assert_eq!(dialect, x402_v1::ID);
    assert_eq!(read.offers.len(), 1, "no token is known on the second, no price in the third");
    assert_eq!(read.resource.description, "Weather");
    let chosen = &read.offers[0];
    assert_eq!((chosen.asset.as_str(), chosen.amount), (ASSET, Amount::from_units(10_000)));
    assert_eq!(chosen.extra, object(json!({"name": "USDC", "version": "2"})));

    let payment = dialects().accept(v1_payment("10000"), &read, chosen);
    let mut headers = HeaderMap::new();
    dialects().write_payment(&payment, &mut headers).unwrap();
    let written = field_json(&headers, x402_v1::PAYMENT_HEADER);
    assert_eq!(written["network"], "eip155:84532");
    assert_eq!(written["payload"]["authorization"]["network"], "eip155:84532");
}

#[test]
fn a_bare_payment_needs_all_that_settling_takes() {
    let mut bare = json!({"payload": proof("10000")});
    bare["payload"]["authorization"]["network"] = json!("eip155:84532");
    let read = |value: &Value| dialects().read_payment(&json_field(x402_v1::PAYMENT_HEADER, value));
    assert_eq!(read(&bare), Ok(Some(v1_payment("10000"))));
    for key in ["from", "to", "value", "validAfter", "validBefore", "nonce", "network"] {
        let mut less = bare.clone();
        less["payload"]["authorization"].as_object_mut().unwrap().remove(key);
        assert!(matches!(read(&less), Err(WireError::Malformed { .. })), "without {key}");
    }
    bare["payload"].as_object_mut().unwrap().remove("signature");
    assert!(matches!(read(&bare), Err(WireError::Malformed { .. })));
}

#[test]
fn networks_are_read_by_either_name() {
    for network in ["base-sepolia", "eip155:84532"] {
        let message =
            json!({"x402Version": 1, "scheme": "exact", "network": network, "payload": proof("10000")});
        let read = dialects().read_payment(&json_field(x402_v1::PAYMENT_HEADER, &message));
        assert_eq!(read, Ok(Some(v1_payment("10000"))), "{network}");
    }
}

#[test]
fn a_version_2_payment_in_the_old_field_is_a_version_2_payment() {
    let challenge = challenge(vec![offer()]);
    let payment = super::v2_payment(&challenge, &offer());
    let mut headers = HeaderMap::new();
    dialects().write_payment(&payment, &mut headers).unwrap();
    let message = field_json(&headers, x402_v2::PAYMENT_HEADER);
    let read = dialects().read_payment(&json_field(x402_v1::PAYMENT_HEADER, &message)).unwrap().unwrap();
    assert_eq!(read.dialect, x402_v2::ID);
    assert_eq!(dialects().choose(&read, &challenge), Ok(&challenge.offers[0]));
}

#[test]
fn receipts_go_out_in_version_2_and_in_the_language_of_the_payment() {
    let receipt = groat_core::Receipt {
        outcome: groat_core::payment::ReceiptOutcome::Settled,
        network: Network::eip155(84532),
        transaction: Some("0xab".into()),
        payer: None,
        amount: None,
        settled_at: None,
    };
    let mut headers = HeaderMap::new();
    dialects().write_receipt(&x402_v2::ID, &receipt, &mut headers);
    assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["payment-response"]);
    dialects().write_receipt(&x402_v1::ID, &receipt, &mut headers);
    assert_eq!(headers.len(), 2);
    assert_eq!(field_json(&headers, x402_v1::RECEIPT_HEADER)["network"], "base-sepolia");
    assert_eq!(field_json(&headers, x402_v2::RECEIPT_HEADER)["network"], "eip155:84532");
    assert!(!RESPONSE_HEADERS.contains(&"x-payment"), "Python x402 2.x takes it for a receipt");
}

#[test]
fn b05_a_network_inside_the_proof_does_not_rename_the_payment() {
    let mut signed = v1_payment("10000");
    for (named, written) in
        [("eip155:84532", "eip155:84532"), ("base", "base-sepolia"), ("moon", "base-sepolia")]
    {
        signed.proof["authorization"]["network"] = json!(named);
        let body = super::parsed(&crate::facilitator::write_request(&signed, &offer()));
        assert_eq!(body["paymentPayload"]["network"], written, "{named}");
        let mut headers = HeaderMap::new();
        dialects().write_payment(&signed, &mut headers).unwrap();
        assert_eq!(dialects().read_payment(&headers), Ok(Some(signed.clone())), "{named}");
    }
}
