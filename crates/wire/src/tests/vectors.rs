//! What the official SDKs sent, read and written by us (`vectors/x402`).

use groat_core::payment::ReceiptOutcome;
use groat_core::{Challenge, Payment, Reason};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{dialects, field, field_json, parsed};
use crate::facilitator::{SettleResponse, VerifyResponse, read_request, read_supported, write_request};
use crate::{Dialect, Version, WireError, header, x402_v1, x402_v2};

macro_rules! vector {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../../vectors/x402/", $name))).unwrap()
    };
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn header_map(fields: &Value) -> HeaderMap {
    let fields = fields.as_object().unwrap().iter();
    fields
        .map(|(name, value)| {
            (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(text(value)).unwrap())
        })
        .collect()
}

fn without_output_schema(mut entry: Value) -> Value {
    entry.as_object_mut().unwrap().remove("outputSchema");
    entry
}

#[test]
fn vector_01_version_2_from_challenge_to_facilitator() {
    let vector = vector!("01-exact-eip3009-v2.json");
    let headers = field(x402_v2::CHALLENGE_HEADER, text(&vector["paymentRequiredHeader"]).as_bytes());
    let (dialect, challenge) = dialects().read_challenge(&headers, b"{}").unwrap().unwrap();
    assert_eq!(dialect, x402_v2::ID);
    let parts = dialects().write_challenge(&challenge);
    assert_eq!(field_json(&parts.headers, x402_v2::CHALLENGE_HEADER), vector["paymentRequired"]);

    let headers = header_map(&vector["requestHeaders"]);
    let payment = dialects().read_payment(&headers).unwrap().unwrap();
    let offer = dialects().choose(&payment, &challenge).unwrap();
    assert_eq!(offer, &challenge.offers[0]);
    let bare = Payment { accepted: None, resource: None, ..payment.clone() };
    assert_eq!(dialects().accept(bare, &challenge, offer), payment);
    let mut written = HeaderMap::new();
    dialects().write_payment(&payment, &mut written).unwrap();
    assert_eq!(field_json(&written, x402_v2::PAYMENT_HEADER), vector["paymentPayload"]);

    assert_eq!(parsed(&write_request(&payment, offer)), vector["facilitatorRequestBody"]);
    let request = read_request(&bytes(&vector["facilitatorRequestBody"])).unwrap();
    assert_eq!(request.version, Version::Two);
    assert_eq!(parsed(&write_request(&request.payment, &request.offer)), vector["facilitatorRequestBody"]);
}

#[test]
fn vector_02_version_1_from_challenge_to_facilitator() {
    let vector = vector!("02-exact-eip3009-v1.json");
    let body = bytes(&vector["paymentRequired"]);
    let (dialect, challenge) = dialects().read_challenge(&HeaderMap::new(), &body).unwrap().unwrap();
    assert_eq!(dialect, x402_v1::ID);
    let written = dialects().write_challenge(&challenge).body;
    assert_eq!(written["x402Version"], json!(1));
    assert_eq!(written["error"], vector["paymentRequired"]["error"]);
    let theirs = without_output_schema(vector["paymentRequired"]["accepts"][0].clone());
    assert_eq!(written["accepts"], json!([theirs]));

    let payment = dialects().read_payment(&header_map(&vector["requestHeaders"])).unwrap().unwrap();
    assert_eq!(payment.dialect, x402_v1::ID);
    let offer = dialects().choose(&payment, &challenge).unwrap();
    let mut written = HeaderMap::new();
    dialects().write_payment(&payment, &mut written).unwrap();
    assert_eq!(field_json(&written, x402_v1::PAYMENT_HEADER), vector["paymentPayload"]);

    let request = read_request(&bytes(&vector["facilitatorRequestBody"])).unwrap();
    assert_eq!(request.version, Version::One);
    assert_eq!(&request.offer, offer);
    let mut body = vector["facilitatorRequestBody"].clone();
    body["paymentRequirements"] = without_output_schema(body["paymentRequirements"].take());
    assert_eq!(parsed(&write_request(&request.payment, &request.offer)), body);
    let payment = Payment { resource: Some(x402_v2::offer::resource(&challenge.resource)), ..payment };
    assert_eq!(parsed(&write_request(&payment, offer)), body);
}

#[test]
fn vector_12_receipts() {
    let vector = vector!("12-payment-response-headers.json");
    for case in vector["cases"].as_array().unwrap() {
        let headers = field(x402_v2::RECEIPT_HEADER, text(&case["header"]).as_bytes());
        let receipt = dialects().read_receipt(&headers).unwrap().unwrap();
        let answer = SettleResponse::read(&bytes(&case["settleResponse"])).unwrap();
        assert_eq!(receipt, answer.receipt);
        assert_eq!(answer.write(Version::Two), case["decoded"]);
        let mut written = HeaderMap::new();
        dialects().write_receipt(&x402_v2::ID, &receipt, &mut written);
        let mut decoded = case["decoded"].clone();
        decoded.as_object_mut().unwrap().remove("errorMessage");
        assert_eq!(field_json(&written, x402_v2::RECEIPT_HEADER), decoded);
    }
}

/// What a server would say to a payment: the name of the scenario tells.
fn expected(scenario: &str) -> Option<Reason> {
    match scenario {
        "no-matching-requirements" => Some(Reason::NoMatchingRequirements),
        "extension-echo-mismatch" => Some(Reason::ExtensionEchoMismatch),
        _ => None,
    }
}

#[test]
fn vector_20_every_header_field_of_every_exchange() {
    let vector = vector!("20-http-exchanges.json");
    let mut seen = [0; 5];
    for scenario in vector["scenarios"].as_array().unwrap() {
        let name = text(&scenario["name"]);
        let mut challenge: Option<Challenge> = None;
        for exchange in scenario["clientExchange"].as_array().unwrap() {
            let request = header_map(&exchange["request"]["headers"]);
            match (name, dialects().read_payment(&request)) {
                ("malformed-signature-header" | "v1-header-ignored", read) => {
                    assert!(matches!(read, Err(WireError::Malformed { .. })), "{name}");
                    seen[0] += 1;
                }
                (_, Ok(Some(payment))) => {
                    let chosen = dialects().choose(&payment, challenge.as_ref().unwrap());
                    assert_eq!(chosen.err(), expected(name), "{name}");
                    seen[1] += 1;
                }
                (_, read) => assert_eq!(read, Ok(None), "{name}"),
            }
            let response = header_map(&exchange["response"]["headers"]);
            let body = exchange["response"]["body"].as_str().unwrap_or_default();
            if [json!(402), json!(412)].contains(&exchange["response"]["status"])
                && let Some((dialect, read)) = dialects().read_challenge(&response, body.as_bytes()).unwrap()
            {
                let entries = &exchange["decoded"]["response"]["payment-required"]["accepts"];
                let texts = read.offers.iter().map(|offer| offer.verbatim.as_ref()?.value());
                if dialect == x402_v2::ID {
                    assert_eq!(
                        &texts.map(|text| text.cloned()).collect::<Option<Value>>().unwrap(),
                        entries,
                        "{name}"
                    );
                }
                assert_eq!(read.offers.len(), entries.as_array().map_or(1, Vec::len), "{name}");
                challenge = Some(read);
                seen[2] += 1;
            }
            if let Some(receipt) = dialects().read_receipt(&response).unwrap() {
                assert_eq!(receipt.is_settled(), name != "settle-failed", "{name}");
                seen[3] += 1;
            }
        }
        for exchange in scenario["facilitatorExchange"].as_array().unwrap() {
            facilitator_exchange(exchange);
            seen[4] += 1;
        }
    }
    assert_eq!(seen, SEEN);
}

/// Malformed payments, payments, challenges, receipts and facilitator exchanges in vector 20.
const SEEN: [usize; 5] = [2, 12, 20, 6, 13];

fn facilitator_exchange(exchange: &Value) {
    let answer = &exchange["responseBody"];
    if answer.is_string() {
        assert!(VerifyResponse::read(text(answer).as_bytes()).is_err());
        return;
    }
    match text(&exchange["path"]) {
        "/supported" => {
            let supported = read_supported(&bytes(answer)).unwrap();
            assert_eq!(crate::facilitator::write_supported(&supported), *answer);
            return;
        }
        "/verify" => {
            let verdict = VerifyResponse::read(&bytes(answer)).unwrap();
            assert_eq!(verdict.write(Version::Two), *answer);
        }
        _ => {
            let settled = SettleResponse::read(&bytes(answer)).unwrap();
            assert_eq!(settled.write(Version::Two), *answer);
        }
    }
    let request = read_request(&bytes(&exchange["requestBody"])).unwrap();
    assert_eq!(parsed(&write_request(&request.payment, &request.offer)), exchange["requestBody"]);
}

#[test]
fn vector_22_every_facilitator_request_is_read() {
    let vector = vector!("22-facilitator-verdicts.json");
    for case in vector["cases"].as_array().unwrap() {
        let request = read_request(&bytes(&case["request"])).unwrap();
        let verdict = VerifyResponse::read(&bytes(&case["verifyResponse"])).unwrap();
        assert_eq!(verdict.write(request.version), case["verifyResponse"], "{}", case["name"]);
    }
}

#[test]
fn vector_23_base64_and_equality() {
    let vector = vector!("23-money-routes-utils.json");
    for case in vector["base64"].as_array().unwrap() {
        assert_eq!(header::encode(text(&case["text"]).as_bytes()), text(&case["encoded"]));
        let decoded = header::decode(text(&case["encoded"]).as_bytes(), "test", 64).unwrap();
        assert_eq!(decoded, text(&case["text"]).as_bytes());
    }
    for case in vector["deepEqual"].as_array().unwrap() {
        assert_eq!(json!(x402_v2::same(&case["x"], &case["y"])), case["equal"]);
    }
}

#[test]
fn vector_26_extensions_are_merged_as_the_official_client_does() {
    let vector = vector!("26-extensions-end-to-end.json");
    let headers = field(x402_v2::CHALLENGE_HEADER, text(&vector["paymentRequiredHeader"]).as_bytes());
    let challenge = x402_v2::V2.read_challenge(&headers, b"").unwrap().unwrap();
    let payment = dialects().read_payment(&header_map(&vector["requestHeaders"])).unwrap().unwrap();
    assert!(dialects().choose(&payment, &challenge).is_ok());
    let additions = json!({
        "builder-code": {"info": {"s": ["sdk_cli"], "a": "not_yours"}},
        "payment-identifier": {"info": {"id": "pay_0123456789abcdef0123456789abcdef", "required": false}},
    });
    let ours = Payment { extensions: super::object(additions), ..payment.clone() };
    assert_eq!(dialects().accept(ours, &challenge, &challenge.offers[0]), payment);
    let receipt = SettleResponse::read(&bytes(&vector["settleResponse"])).unwrap().receipt;
    assert_eq!(receipt.outcome, ReceiptOutcome::Settled);
}

#[test]
fn vector_26_changed_echoes_are_judged_as_the_official_server_does() {
    let vector = vector!("26-extensions-end-to-end.json");
    let headers = field(x402_v2::CHALLENGE_HEADER, text(&vector["paymentRequiredHeader"]).as_bytes());
    let challenge = x402_v2::V2.read_challenge(&headers, b"").unwrap().unwrap();
    let payment = dialects().read_payment(&header_map(&vector["requestHeaders"])).unwrap().unwrap();
    let codes: Vec<_> = (0..11).map(|n| format!("code_{n}")).collect();
    let codes: Vec<_> = codes.iter().map(String::as_str).chain(["svc_srv"]).take(11).collect();
    let changes: [(&str, &str, Value); 8] = [
        ("siwxNonceChanged", "/sign-in-with-x/info/nonce", json!("0")),
        ("siwxDomainChanged", "/sign-in-with-x/info/domain", json!("evil.example")),
        ("offersDropped", "/offer-receipt/info/offers", json!([])),
        ("builderAppChanged", "/builder-code/info/a", json!("other")),
        ("builderServerCodeDropped", "/builder-code/info/s", json!(["sdk_cli"])),
        ("builder11codes", "/builder-code/info/s", json!(codes)),
        ("schemaChanged", "/payment-identifier/schema", json!({})),
        ("requiredFlagChanged", "/payment-identifier/info/required", json!(false)),
    ];
    for (name, place, value) in changes {
        let mut echo = Value::Object(payment.extensions.clone());
        *echo.pointer_mut(place).unwrap() = value;
        let changed = Payment { extensions: super::object(echo), ..payment.clone() };
        let verdict = dialects().choose(&changed, &challenge);
        assert_eq!(json!(verdict.is_ok()), vector["echoValidation"][name]["valid"], "{name}");
    }
    let mut fewer = payment.clone();
    fewer.extensions.remove("payment-identifier");
    fewer.extensions.insert("unknown".into(), json!({"info": 1}));
    assert!(dialects().choose(&fewer, &challenge).is_ok());
    let smuggled = super::object(json!({"builder-code": {"info": {"a": "mine"}}}));
    let stranger = Payment { extensions: smuggled, ..payment };
    let plain = Challenge { extensions: serde_json::Map::new(), ..challenge };
    assert_eq!(dialects().choose(&stranger, &plain), Err(Reason::ExtensionEchoMismatch));
}
