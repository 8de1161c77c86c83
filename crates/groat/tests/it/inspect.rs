//! `groat inspect`: what people and programs are told of a 402, and how it ends.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::processes::{dev, groat, text};

/// A server in a thread of this process that always says this.
fn saying(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

fn payment_required(fields: &str, body: &str) -> String {
    let length = body.len();
    saying(format!(
        "HTTP/1.1 402 Payment Required\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

/// Exit code, what it printed, and what it said of failures.
fn inspect(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = groat(data).arg("inspect").args(arguments).output().unwrap();
    let (stdout, stderr) = text(&output);
    (output.status.code().unwrap(), stdout, stderr)
}

#[test]
fn every_dialect_and_offer_of_one_route_is_shown() {
    let data = tempfile::tempdir().unwrap();
    let universe = dev(data.path());
    let url = format!("{}/forecast", universe.said("api"));
    let (code, told, _) = inspect(data.path(), &[&url]);
    assert_eq!(code, 0, "{told}");
    assert!(told.ends_with("\nnothing is wrong\n"), "{told}");
    for dialect in ["x402-v2", "x402-v1", "token", "agentxpay", "want-pay", "mpp"] {
        assert!(told.lines().any(|line| line == dialect), "{dialect} in {told}");
    }
    for part in [
        "exact       0.01 USDC on eip155:84532 to 0x402402402402402402402402402402402402402A",
        "transaction 0.000004 coin on",
        "pass        sold at /token/GET/forecast",
        "to be paid within ",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let (code, told, _) = inspect(data.path(), &["--json", &url]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["status"], &told["findings"]), (0, &json!(402), &json!([])));
    for dialect in told["dialects"].as_array().unwrap() {
        assert!(dialect["readable"] == true && dialect["offers"][0]["amount"].is_string(), "{dialect}");
    }
    let free = format!("{}/free", universe.said("api"));
    let (code, told, _) = inspect(data.path(), &[&free]);
    assert_eq!((code, told.lines().last()), (0, Some("it costs nothing")));
}

#[test]
fn what_is_wrong_is_said_and_ends_with_10() {
    let data = tempfile::tempdir().unwrap();
    let url = payment_required("x-payment-address: 0x1\r\n", "{}");
    let (code, told, _) = inspect(data.path(), &[&url]);
    assert_eq!(code, 10, "{told}");
    let rule = "error: agentxpay: 4 of its five fields are missing: x-payment-amount, x-payment-token, \
                x-payment-serviceid, x-payment-chainid";
    assert!(told.lines().any(|line| line == rule), "{told}");
    // A warning alone is none: somebody can pay.
    let body = json!({ "x402Version": 1, "error": "pay", "accepts": [{
        "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "10000", "resource": "https://a.example/",
        "description": "", "mimeType": "", "payTo": "0x402402402402402402402402402402402402402A",
        "maxTimeoutSeconds": 60, "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "extra": { "name": "USDC", "version": "2" },
    }] });
    let (code, told, _) = inspect(data.path(), &[&payment_required("", &body.to_string())]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("\nwarning: a cache may keep this 402"), "{told}");
}

/// What a stranger says is shown, and obeyed by no terminal.
#[test]
fn text_of_a_stranger_is_made_harmless() {
    let data = tempfile::tempdir().unwrap();
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}";
    let body = json!({ "x402Version": 1, "error": evil, "accepts": [{
        "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "10000", "resource": "https://a.example/",
        "description": evil, "mimeType": evil, "payTo": evil, "maxTimeoutSeconds": 60, "asset": evil, "extra": {},
    }] });
    let url = payment_required("", &body.to_string());
    let (code, told, stderr) = inspect(data.path(), &[&url]);
    assert_eq!(code, 10, "{told}");
    let is_plain =
        |text: &str| !text.chars().any(|one| (one.is_control() && one != '\n') || one == '\u{202e}');
    assert!(is_plain(&told) && is_plain(&stderr), "{told:?} {stderr:?}");
    let (_, told, _) = inspect(data.path(), &["--json", &url]);
    assert!(is_plain(&told.replace('\u{202e}', "")), "{told:?}");
}

#[test]
fn what_cannot_be_asked_ends_with_20_and_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let huge = payment_required("", &"a".repeat(300 * 1024));
    for (url, part) in [
        ("nonsense", "write https://host/path of something that runs"),
        ("http://127.0.0.1:9/", "write https://host/path of something that runs"),
        (huge.as_str(), "the body is larger than 262144 bytes"),
    ] {
        let (code, told, stderr) = inspect(data.path(), &[url]);
        assert_eq!((code, told.as_str()), (20, ""), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
}
