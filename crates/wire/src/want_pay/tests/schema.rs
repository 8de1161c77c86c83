//! The schema says what the reader does.

use serde_json::{Map, Value, json};

use crate::want_pay::request::PaymentRequest;

const SCHEMA: &str = include_str!("../../../../../docs/spec/payment-request.schema.json");
const SAMPLE: &str = include_str!("../../../../../docs/spec/payment-request.sample.json");

fn schema() -> jsonschema::Validator {
    jsonschema::draft202012::new(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
}

fn sample() -> Map<String, Value> {
    serde_json::from_str(SAMPLE).unwrap()
}

#[test]
fn the_schema_is_one() {
    assert!(jsonschema::draft202012::meta::is_valid(&serde_json::from_str(SCHEMA).unwrap()));
}

#[test]
fn our_samples_are_valid() {
    let mut bare = sample();
    for key in [
        "version",
        "resource",
        "method",
        "token",
        "decimals",
        "contract",
        "requestHash",
        "alternatives",
        "error",
    ] {
        bare.remove(key);
    }
    for request in [Value::Object(sample()), Value::Object(bare)] {
        let read = PaymentRequest::from_value(&request).unwrap();
        for text in [request.to_string(), read.write()] {
            let errors: Vec<_> =
                schema().iter_errors(&serde_json::from_str(&text).unwrap()).map(|e| e.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new());
        }
    }
}

#[test]
fn schema_and_reader_refuse_the_same() {
    let schema = schema();
    let zero = format!("0x{}", "0".repeat(40));
    for (key, value, good) in [
        ("id", json!("a"), true),
        ("id", json!("pay 1"), false),
        ("id", json!("x".repeat(65)), false),
        ("amount", json!("10"), true),
        ("amount", json!("0"), false),
        ("amount", json!("0.00"), false),
        ("amount", json!("01"), false),
        ("amount", json!("1."), false),
        ("amount", json!("1e3"), false),
        ("amount", json!(1), false),
        ("currency", json!("USDC.E"), true),
        ("currency", json!("usdc"), false),
        ("chain", json!("eip155:1"), true),
        ("chain", json!("eip155:1:2"), false),
        ("chain", json!(""), false),
        ("facilitator", json!("https://a.example"), true),
        ("facilitator", json!("http://127.0.0.1:80/v"), true),
        ("facilitator", json!("http://[::1]:80"), true),
        ("facilitator", json!("http://localhost"), true),
        ("facilitator", json!("http://localhost.evil.example"), false),
        ("facilitator", json!("http://a.example"), false),
        ("facilitator", json!("https://u@a.example"), false),
        ("facilitator", json!("https://a.example?q"), false),
        ("facilitator", json!("https://"), false),
        ("seller", json!(zero), false),
        ("seller", json!("0x12"), false),
        ("expires", json!(-1), false),
        ("expires", json!("1"), false),
        ("expires", json!(1.5), false),
        ("description", json!("ü".repeat(256)), true),
        ("description", json!("ü".repeat(257)), false),
        ("metadata", json!([]), false),
        ("nonce", json!("x".repeat(16)), true),
        ("nonce", json!("x".repeat(15)), false),
        ("nonce", json!("with a space in it"), false),
        ("version", json!("2"), false),
        ("method", json!("PURGE"), true),
        ("method", json!("GE T"), false),
        ("decimals", json!(37), false),
        ("decimals", json!(2), true),
        ("error", json!("x".repeat(257)), false),
        ("alternatives", json!([]), true),
        ("alternatives", json!([{}]), false),
        ("alternatives", json!([Value::Object(sample())]), false),
        ("stranger", json!(1), true),
    ] {
        let mut request = sample();
        request.remove("requestHash");
        request.insert(key.into(), value.clone());
        let request = Value::Object(request);
        assert_eq!(PaymentRequest::from_value(&request).is_ok(), good, "reader: {key} {value}");
        assert_eq!(schema.is_valid(&request), good, "schema: {key} {value}");
    }
    for key in ["id", "amount", "currency", "chain", "facilitator", "seller", "expires", "nonce"] {
        let mut request = sample();
        request.remove("requestHash");
        request.remove(key);
        let request = Value::Object(request);
        assert!(PaymentRequest::from_value(&request).is_err() && !schema.is_valid(&request), "{key}");
    }
}
