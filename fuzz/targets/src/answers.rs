//! What a facilitator answers to a seller, and the receipts that sellers give to buyers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groat_core::payment::{DialectId, ReceiptOutcome};
use groat_core::{Reason, Receipt};
use groat_wire::facilitator::{SettleResponse, VerifyResponse, read_supported, write_supported};
use groat_wire::{Dialects, Version, WireError, x402_v1, x402_v2};
use http::{HeaderMap, HeaderName};
use serde_json::Value;

/// The bytes as the body of every answer, and as every receipt field.
pub fn target(data: &[u8]) {
    verify(data);
    settle(data);
    supported(data);
    receipts(data);
}

fn told_safely(error: &WireError) {
    let told = error.to_string();
    assert!(told.len() < 300 && !told.chars().any(char::is_control), "{told:?}");
}

fn bounded(reason: &Reason) {
    assert!(reason.code().chars().count() <= 96 && !reason.code().chars().any(char::is_control));
}

fn member(data: &[u8], name: &str) -> Value {
    serde_json::from_slice::<Value>(data).expect("what was read is JSON")[name].clone()
}

fn verify(data: &[u8]) {
    let answer = match VerifyResponse::read(data) {
        Ok(answer) => answer,
        Err(error) => return told_safely(&error),
    };
    // Yes only where it says so in the one word that means it.
    let valid = matches!(answer, VerifyResponse::Valid { .. });
    assert_eq!(member(data, "isValid"), Value::Bool(valid));
    if let VerifyResponse::Refused(refusal) = &answer {
        bounded(&refusal.reason);
    }
    for version in [Version::One, Version::Two] {
        let written = answer.write(version).to_string();
        assert_eq!(VerifyResponse::read(written.as_bytes()).as_ref(), Ok(&answer), "{written}");
    }
}

fn settle(data: &[u8]) {
    let answer = match SettleResponse::read(data) {
        Ok(answer) => answer,
        Err(error) => return told_safely(&error),
    };
    believed(data, &answer.receipt);
    for version in [Version::One, Version::Two] {
        let written = answer.write(version).to_string();
        assert_eq!(SettleResponse::read(written.as_bytes()).as_ref(), Ok(&answer), "{written}");
    }
}

/// Settled only where success is said, failed never where pending is.
fn believed(data: &[u8], receipt: &Receipt) {
    let (success, reason) = (member(data, "success"), member(data, "errorReason"));
    assert_eq!(success, Value::Bool(receipt.is_settled()));
    if !receipt.is_settled() {
        assert_eq!(reason == "settlement_pending", receipt.outcome == ReceiptOutcome::Pending);
    }
    if let ReceiptOutcome::Failed(reason) = &receipt.outcome {
        bounded(reason);
    }
}

fn supported(data: &[u8]) {
    let supported = match read_supported(data) {
        Ok(supported) => supported,
        Err(error) => return told_safely(&error),
    };
    assert!(supported.kinds.iter().all(|kind| [1, 2].contains(&kind.version) && !kind.scheme.is_empty()));
    let written = write_supported(&supported).to_string();
    assert_eq!(read_supported(written.as_bytes()).as_ref(), Ok(&supported), "{written}");
}

fn receipts(data: &[u8]) {
    for name in [x402_v1::RECEIPT_HEADER, x402_v2::RECEIPT_HEADER] {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), STANDARD.encode(data).parse().unwrap());
        let receipt = match Dialects::standard().read_receipt(&headers) {
            Ok(receipt) => receipt.expect("there is a receipt"),
            Err(error) => {
                told_safely(&error);
                continue;
            }
        };
        assert!(headers.values().all(|value| value.len() <= 64 * 1024), "a receipt above the limit was read");
        believed(data, &receipt);
        for dialect in ["x402-v1", "x402-v2"] {
            let mut again = HeaderMap::new();
            Dialects::standard().write_receipt(&DialectId::new(dialect), &receipt, &mut again);
            if again.values().all(|value| value.len() <= 64 * 1024) {
                assert_eq!(Dialects::standard().read_receipt(&again).as_ref(), Ok(&Some(receipt.clone())));
            }
        }
    }
}
