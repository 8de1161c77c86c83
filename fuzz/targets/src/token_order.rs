//! Orders of tokens and the answers to them: what is read is what stands there, and it reads back as itself.

use groat_core::Payment;
use groat_wire::Dialects;
use groat_wire::token::ID;
use serde_json::Value;

/// The body of `POST /token`, and the same bytes as an answer.
pub fn target(data: &[u8]) {
    let dialects = Dialects::standard();
    match dialects.read_order(data) {
        Ok(Some(payment)) => judged(&dialects, &payment, data),
        Ok(None) => panic!("an order is of the one dialect that has them"),
        Err(error) => assert!(error.to_string().len() < 300, "{error}"),
    }
    if let Ok(Some(given)) = dialects.read_given(&ID, data) {
        assert!(!given.token.is_empty() && given.token.bytes().all(|byte| byte.is_ascii_graphic()));
        let shown = format!("{given:?}");
        assert!(given.token.len() < 24 || !shown.contains(&given.token), "{shown}");
    }
}

fn judged(dialects: &Dialects, payment: &Payment, data: &[u8]) {
    let written = dialects.write_order(payment).unwrap().unwrap();
    let again = dialects.read_order(&written).unwrap().unwrap();
    assert_eq!((&again.proof, &again.network), (&payment.proof, &payment.network));
    let permit = serde_json::from_slice::<Value>(data).unwrap()["permit"].clone();
    match permit["permit_type"].as_str() {
        Some("ERC3009") => {
            let authorization = &payment.proof["authorization"];
            signed(payment, &permit);
            for key in ["value", "validAfter", "validBefore"] {
                assert_eq!(authorization[key], told(&permit[key]));
            }
        }
        Some(kind @ ("Permit2" | "EIP2612")) => {
            let read = &payment.proof["permit"];
            signed(payment, &permit);
            let amount = if kind == "Permit2" { "amount" } else { "value" };
            assert_eq!(
                (&payment.proof["permitType"], &read["amount"]),
                (&kind.into(), &told(&permit[amount]))
            );
            for key in ["nonce", "deadline"] {
                assert_eq!(read[key], told(&permit[key]));
            }
            for key in ["owner", "spender", "token"] {
                assert_eq!(read[key], permit[key]);
            }
        }
        // What a mechanism of another kind is shown is the permit itself.
        _ => assert_eq!(payment.proof, permit),
    }
}

/// Both halves of the signature by value, whatever their length and case.
fn signed(payment: &Payment, permit: &Value) {
    let number = |text: &str| {
        let digits = text.trim_start_matches("0x").trim_start_matches("0X").to_ascii_lowercase();
        format!("{digits:0>64}")
    };
    let half = |key: &str| number(permit["signature"][key].as_str().unwrap());
    let signature = payment.proof["signature"].as_str().unwrap();
    assert_eq!(&signature[2..130], half("r") + &half("s"));
    assert!(["1b", "1c"].contains(&&signature[130..]));
}

/// A number, which may be a text.
fn told(number: &Value) -> Value {
    match number {
        Value::String(text) => text.clone().into(),
        other => other.to_string().into(),
    }
}
