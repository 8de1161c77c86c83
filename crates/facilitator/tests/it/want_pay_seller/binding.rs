//! What a request is bound to, and what a proof has to say.

use alloy_primitives::B256;
use groat_core::Terms;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::bazaar::*;
use crate::agentxpay::market::{Seen, Shop};

#[tokio::test]
async fn b17_t14_a_request_is_good_for_its_url_method_price_chain_seller_and_gate_alone() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let token = bazaar.proof(&request, bazaar.settle(&request));
    for target in ["/news", "/forecast?day=2", "/forecast?"] {
        shop.prove(target, &token).await.is_refused("unknown_request");
    }
    for method in [Method::POST, Method::PUT, Method::OPTIONS] {
        shop.prove_by(method, "/forecast", &token, "").await.is_refused("unknown_request");
    }
    let other = |change: &dyn Fn(&mut Terms), key: u8| -> Shop {
        let setup = Setup { key, ..Setup::default() };
        let pay = bazaar.pay_with(setup, bazaar.store.clone());
        let mut terms = bazaar.terms("$0.01");
        change(&mut terms);
        bazaar.serve([("/forecast", pay.route().ask(terms).build().unwrap())])
    };
    let price = |text: &str| groat_core::offer::Ask::Price(groat_core::Price::parse(text).unwrap());
    let shops = [
        other(&|terms| terms.price = price("$0.009999"), 7),
        other(&|terms| terms.price = price("$0.02"), 7),
        other(&|terms| terms.network = groat_core::Network::eip155(8453), 7),
        other(&|terms| terms.pay_to = bazaar.eve.address.to_string(), 7),
        other(&|_| (), 8),
    ];
    for shop in &shops {
        shop.prove("/forecast", &token).await.is_refused("unknown_request");
    }
    // Ids that nobody gave out.
    let id = text(&request, "id");
    let last = if id.ends_with('0') { '1' } else { '0' };
    for id in ["pay_1".into(), id.to_lowercase(), format!("{}{last}", &id[..id.len() - 1])] {
        let claims = but(&bazaar.claims(&request, B256::ZERO), "sub", json!(id));
        let token = bazaar.token("ES256K", &claims, &bazaar.ada);
        shop.prove("/forecast", &token).await.is_refused("unknown_request");
    }
    assert_eq!(bazaar.runs(), 0);
    shop.prove("/forecast", &token).await.is_served();
    assert_eq!(bazaar.runs(), 1);
}

#[tokio::test]
async fn head_is_asked_and_paid_as_get() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let token = bazaar.proof(&request, bazaar.settle(&request));
    let seen = shop.prove_by(Method::HEAD, "/forecast", &token, "").await;
    assert_eq!((seen.status, seen.body.as_str()), (StatusCode::OK, ""), "{seen:?}");
}

async fn shown(shop: &Shop, bazaar: &Bazaar, claims: &Value) -> Seen {
    shop.prove("/forecast", &bazaar.token("ES256K", claims, &bazaar.ada)).await
}

#[tokio::test]
async fn t05_t06_a_claim_that_says_something_else_is_refused_and_costs_nothing() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let good = bazaar.claims(&request, bazaar.settle(&request));
    let expires = request["expires"].as_u64().unwrap();
    for (key, value, code) in [
        ("amount", json!("0.02"), "claims_mismatch"),
        ("amount", json!("0.0100001"), "claims_mismatch"),
        ("amount", json!("10000"), "claims_mismatch"),
        ("currency", json!("USDT"), "claims_mismatch"),
        ("chain", json!("base"), "claims_mismatch"),
        ("chain", json!("eip155:1"), "claims_mismatch"),
        ("iss", json!(format!("eip155:8453:{}", bazaar.ada.address)), "claims_mismatch"),
        ("iss", json!(format!("did:pkh:eip155:1:{}", bazaar.ada.address)), "claims_mismatch"),
        ("iss", json!(bazaar.eve.address.to_string()), "bad_signature"),
        ("iat", json!(START + 61), "claims_mismatch"),
        ("iat", json!(expires - 3_601), "claims_mismatch"),
        ("exp", json!(START), "expired"),
        ("exp", json!(expires + 301), "claims_mismatch"),
        ("exp", json!(u64::MAX), "claims_mismatch"),
        ("nonce", json!("0123456789abcdef0123456789abcdef"), "claims_mismatch"),
        ("aud", json!("https://other.example.com"), "claims_mismatch"),
        ("aud", json!(["https://other.example.com"]), "claims_mismatch"),
        ("aud", json!("https://api.example.com:444"), "claims_mismatch"),
        ("htm", json!("POST"), "claims_mismatch"),
        ("htu", json!("https://api.example.com/news"), "claims_mismatch"),
        ("tx", json!(format!("0x{}", "0".repeat(63) + "1")), "pending"),
    ] {
        let seen = shown(&shop, &bazaar, &but(&good, key, value.clone())).await;
        match code {
            "pending" => assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE, "{seen:?}"),
            code => {
                assert_eq!(seen.error(), code, "{key} {value}");
                seen.is_refused(code);
            }
        }
    }
    for (key, value) in [
        ("iss", Value::Null),
        ("sub", Value::Null),
        ("amount", Value::Null),
        ("amount", json!(0.01)),
        ("amount", json!("1e-2")),
        ("amount", json!("-0.01")),
        ("currency", Value::Null),
        ("chain", json!("atlantis")),
        ("tx", json!("0x12")),
        ("tx", Value::Null),
        ("iat", json!(1.5)),
        ("iat", json!("1800000000")),
        ("exp", Value::Null),
        ("exp", json!(-1)),
        ("exp", json!(1e30)),
        ("nonce", json!("")),
        ("aud", json!("")),
        ("aud", json!([])),
        ("aud", json!(7)),
        ("htm", json!("")),
        ("htu", json!("")),
        ("jti", json!("")),
    ] {
        let seen = shown(&shop, &bazaar, &but(&good, key, value.clone())).await;
        assert_eq!((seen.status.as_u16(), &*seen.error()), (400, "invalid_proof"), "{key} {value}: {seen:?}");
    }
    assert_eq!(bazaar.runs(), 0);
    // Each of these is another way to say the same.
    let same = json!({
        "iss": format!("did:pkh:eip155:84532:{}", bazaar.ada.address),
        "sub": good["sub"],
        "amount": "0.0100",
        "currency": "usdc",
        "chain": "eip155:84532",
        "tx": good["tx"].as_str().unwrap().to_uppercase().replacen("0X", "0x", 1),
        "iat": START + 60,
        "exp": expires + 300,
        "nonce": request["nonce"],
        "aud": ["https://other.example.com", ORIGIN],
        "htm": "GET",
        "htu": format!("{ORIGIN}/forecast"),
        "jti": "1",
        "stranger": { "a": 1 },
    });
    shown(&shop, &bazaar, &same).await.is_served();
    assert_eq!(bazaar.runs(), 1);
}

#[tokio::test]
async fn t06_the_times_of_proof_and_request_end() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let tx = bazaar.settle(&request);
    let expires = request["expires"].as_u64().unwrap();
    let at_the_end = but(&bazaar.claims(&request, tx), "exp", json!(expires + 300));
    bazaar.chain.set_time(expires);
    shown(&shop, &bazaar, &bazaar.claims(&request, tx)).await.is_refused("expired");
    bazaar.chain.set_time(expires + 300);
    shown(&shop, &bazaar, &at_the_end).await.is_refused("expired");
    assert_eq!(bazaar.runs(), 0);
    bazaar.chain.set_time(expires + 299);
    shown(&shop, &bazaar, &at_the_end).await.is_served();
}

#[tokio::test]
async fn a_pay_field_that_cannot_be_read_is_invalid_proof_and_two_payments_are_multiple_credentials() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let token = bazaar.proof(&request, bazaar.settle(&request));
    let good = format!("proof={token}");
    let large = format!("proof={token}; x={}", "a".repeat(4_096));
    let bads: Vec<Vec<(&str, &str)>> = vec![
        vec![("Pay", &good), ("Pay", &good)],
        vec![("Pay", "")],
        vec![("Pay", "proof=")],
        vec![("Pay", &token)],
        vec![("Pay", &large)],
    ];
    let twice = [
        format!("{good}, {good}"),
        format!("{good};proof={token}"),
        format!("x=1, {good}"),
        format!("{good}x.y"),
    ];
    let bads = bads.into_iter().chain(twice.iter().map(|text| vec![("Pay", text.as_str())]));
    for fields in bads {
        let seen = shop.send(Method::GET, "/forecast", &fields, "").await;
        assert_eq!((seen.status.as_u16(), &*seen.error()), (400, "invalid_proof"), "{fields:?}");
    }
    for field in ["X-PAYMENT", "PAYMENT-SIGNATURE", "X-Payment-TxHash"] {
        let seen = shop.send(Method::GET, "/forecast", &[("Pay", &good), (field, "eyJ9")], "").await;
        assert_eq!((seen.status.as_u16(), &*seen.error()), (400, "multiple_credentials"), "{field}");
    }
    assert_eq!(bazaar.runs(), 0);
    let members = format!("proof=\"{token}\" ; a=1 , b=\"x,y;z\"");
    shop.send(Method::GET, "/forecast", &[("pay", &members)], "").await.is_served();
}
