//! What is found in a 402: nothing in a good one, and each mistake by the rule that it breaks.

use std::sync::Arc;

use groat_core::offer::{Currency, Moment};
use groat_core::payment::DialectId;
use groat_core::{Amount, Challenge, Offer, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{ASSET, PAY_TO, challenge, dialects, object, offer};
use crate::inspect::{Report, Severity, report};
use crate::want_pay::WantPay;
use crate::want_pay::id::RequestKey;
use crate::{agentxpay, header, mpp, token, want_pay, x402_v1, x402_v2};

const NOW: Timestamp = Timestamp(1_735_919_700);

/// A 402 that says everything.
struct Answer {
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn good() -> Self {
        let usdc = Offer { currency: Some(Currency { symbol: "USDC".into(), decimals: 6 }), ..offer() };
        let request = Offer {
            scheme: want_pay::SCHEME.into(),
            dialect: Some(want_pay::ID),
            extra: object(json!({ "contract": "0x7834303200000000000000000000000000000001" })),
            ..usdc.clone()
        };
        let service = Offer {
            scheme: agentxpay::SCHEME.into(),
            asset: "native".into(),
            amount: Amount::from_units(4_000_000_000_000),
            extra: object(json!({ "serviceId": "1", "provider": PAY_TO })),
            price: None,
            dialect: Some(agentxpay::ID),
            ..offer()
        };
        Self::of(Challenge {
            pass_at: Some("/token/GET/weather".into()),
            moment: Some(Moment { now: NOW, random: [3; 16], method: "GET".into(), preferred: 0 }),
            ..challenge(vec![usdc, service, request])
        })
    }

    fn of(challenge: Challenge) -> Self {
        let seller = WantPay::selling(RequestKey::new(&[1; 32]).unwrap(), "https://pay.example.com").unwrap();
        let parts = dialects().with(Arc::new(seller)).write_challenge(&challenge);
        let mut headers = parts.headers;
        headers.insert("cache-control", HeaderValue::from_static("no-store"));
        Self { headers, body: Value::Object(parts.body) }
    }

    fn report(&self) -> Report {
        report(&dialects(), &self.headers, self.body.to_string().as_bytes(), NOW)
    }

    fn says(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    fn lacks(mut self, name: &str) -> Self {
        self.headers.remove(name).unwrap_or_else(|| panic!("{name} was not there"));
        self
    }

    /// The same with something else at a place of the body.
    fn at(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        self.body.pointer_mut(parent).unwrap_or_else(|| panic!("{parent} was not there"))[name] = value;
        self
    }
}

/// `severity dialect: text` of each finding.
fn lines(report: &Report) -> Vec<String> {
    let line = |one: &crate::inspect::Finding| {
        let dialect = one.dialect.as_ref().map_or("-", DialectId::as_str);
        format!("{} {dialect}: {}", one.severity.as_str(), one.text)
    };
    report.findings.iter().map(line).collect()
}

#[test]
fn in_a_402_that_we_write_every_dialect_is_read_and_nothing_is_wrong() {
    let good = Answer::good();
    let report = good.report();
    assert_eq!(lines(&report), [""; 0]);
    let spoken: Vec<_> =
        report.spoken.iter().map(|one| (one.dialect.as_str(), one.challenge.as_ref().unwrap())).collect();
    let offered = |(name, challenge): &(_, &Challenge)| (*name, challenge.offers.len());
    assert_eq!(
        spoken.iter().map(offered).collect::<Vec<_>>(),
        [
            (x402_v2::ID.as_str(), 1),
            (x402_v1::ID.as_str(), 1),
            (token::ID.as_str(), 1),
            (agentxpay::ID.as_str(), 1),
            (want_pay::ID.as_str(), 1),
            (mpp::ID.as_str(), 1)
        ]
    );
    assert_eq!(report.body_bytes, good.body.to_string().len());
    assert!(report.header_bytes > 500 && report.header_bytes < 4_096, "{}", report.header_bytes);
}

#[test]
fn each_mistake_is_found_by_its_rule() {
    let v1 = "error x402-v1: ";
    let mock = "error token: ";
    let component = "/payment_scheme/payment_components/0";
    let cases: Vec<(Answer, String)> = vec![
        // V
        (Answer::good().at("/error", json!(7)), format!("{v1}`error` is not a text")),
        (Answer::good().at("/accepts", json!({})), format!("{v1}`accepts` is not a list")),
        (
            Answer::good().at("/accepts/0/network", json!("eip155:84532")),
            format!("{v1}`accepts[0]`: the network is a CAIP-2 name"),
        ),
        (
            Answer::good().at("/accepts/0/network", json!("polygon")),
            "warning x402-v1: `accepts[0]`: not every client knows the network".into(),
        ),
        (Answer::good().at("/accepts/0/network", json!(1)), format!("{v1}`accepts[0]`: there is no network")),
        (
            Answer::good().at("/accepts/0/scheme", json!("upto")),
            format!("{v1}`accepts[0]`: the scheme is not `exact`"),
        ),
        (
            Answer::good().at("/accepts/0/resource", json!("/weather")),
            format!("{v1}`accepts[0]`: `resource` is not an absolute URL"),
        ),
        (
            Answer::good().at("/accepts/0/maxAmountRequired", json!(10_000)),
            format!("{v1}`accepts[0]`: `maxAmountRequired` is not a whole number"),
        ),
        (
            Answer::good().at("/accepts/0/maxAmountRequired", json!("")),
            format!("{v1}`accepts[0]`: `maxAmountRequired` is not a whole number"),
        ),
        (
            Answer::good().at("/accepts/0/mimeType", Value::Null),
            format!("{v1}`accepts[0]`: `mimeType` is not a text"),
        ),
        (
            Answer::good().at("/accepts/0/maxTimeoutSeconds", json!("60")),
            format!("{v1}`accepts[0]`: `maxTimeoutSeconds` is not a whole number"),
        ),
        (
            Answer::good().at("/accepts/0/outputSchema", Value::Null),
            format!("{v1}`accepts[0]`: `outputSchema` is null"),
        ),
        // M
        (
            Answer::good().at(&format!("{component}/payment_type"), json!("balance")),
            format!("{mock}`payment_components[0]`: `payment_type` is not `evm`"),
        ),
        (
            Answer::good().at(&format!("{component}/currency"), Value::Null),
            format!("{mock}`payment_components[0]`: `currency` is missing or null"),
        ),
        (
            Answer::good().at(&format!("{component}/token_name"), Value::Null),
            "warning token: `payment_components[0]`: `token_name` is missing or null".into(),
        ),
        // A
        (
            Answer::good().lacks("x-payment-chainid").lacks("x-payment-token"),
            "error agentxpay: 2 of its five fields are missing: x-payment-token, x-payment-chainid".into(),
        ),
        // What holds for all.
        (Answer::good().says("x-payment", "e30="), format!("{v1}there is a response field called X-PAYMENT")),
        (
            Answer::good().says("www-authenticate", "Bearer realm=\"a\", Payment id=\"b\""),
            "warning -: one WWW-Authenticate field has several challenges".into(),
        ),
        (Answer::good().says("x-long", &"a".repeat(4_096)), "warning -: the header fields have ".into()),
        (Answer::good().lacks("cache-control"), "warning -: a cache may keep this 402".into()),
        (
            Answer::good().at("/expires", json!(NOW.0)),
            "error want-pay: cannot be read: payment request: `requestHash` is not the hash".into(),
        ),
        (
            Answer::good().at("/accepts/0/maxAmountRequired", json!("20000")),
            "warning x402-v1: it asks for another amount of the same token".into(),
        ),
        (
            Answer::good().at("/accepts/0/payTo", json!(ASSET)),
            "warning x402-v1: it pays another account in the same token".into(),
        ),
        (
            Answer::good().at("/accepts/0/payTo", json!("0x12")),
            format!("{v1}the payee of an offer is not an account"),
        ),
        (
            Answer::good().at("/accepts/0/maxAmountRequired", json!("0")),
            format!("{v1}an offer asks for nothing"),
        ),
        (
            Answer::good().at("/accepts/0/extra", json!({})),
            "warning x402-v1: an offer does not say the token's EIP-712 name".into(),
        ),
        (
            Answer::good().lacks("payment-required").says("payment-required", "e"),
            "error x402-v2: cannot be read: ".into(),
        ),
    ];
    for (answer, expected) in cases {
        let lines = lines(&answer.report());
        assert!(lines.iter().any(|line| line.starts_with(&expected)), "{expected}\n{lines:#?}");
    }
}

#[test]
fn an_old_request_is_found_by_the_clock() {
    let (good, later) = (Answer::good(), NOW.plus(want_pay::request::LIFETIME_S));
    let report = report(&dialects(), &good.headers, good.body.to_string().as_bytes(), later);
    let lines = lines(&report);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("error want-pay: the request has expired already"), "{lines:?}");
}

#[test]
fn the_worst_comes_first_and_says_so_once() {
    let twice = Answer::good()
        .lacks("cache-control")
        .at("/accepts/0/scheme", json!("upto"))
        .at("/accepts/0/resource", json!(""));
    let report = twice.report();
    let severities: Vec<Severity> = report.findings.iter().map(|one| one.severity).collect();
    let mut sorted = severities.clone();
    sorted.sort();
    assert_eq!(severities, sorted);
    assert_eq!((severities.first(), severities.last()), (Some(&Severity::Error), Some(&Severity::Warning)));
    let mut once = lines(&report);
    once.dedup();
    assert_eq!(once.len(), report.findings.len());
}

#[test]
fn an_answer_without_a_dialect_tells_nobody_what_to_pay() {
    for body in ["", "{}", "<html>pay me</html>", "{\"error\": \"pay\"}", "[[[["] {
        let mut headers = HeaderMap::new();
        headers.insert("cache-control", HeaderValue::from_static("no-store"));
        let report = report(&dialects(), &headers, body.as_bytes(), NOW);
        let lines = lines(&report);
        assert!(report.spoken.is_empty(), "{body}");
        assert!(lines.iter().any(|line| line.starts_with("error -: no dialect that is known")), "{lines:?}");
    }
}

/// A field of x402 version 2 is enough: its body may be a page for people.
#[test]
fn a_version_2_402_with_a_page_in_its_body_is_good() {
    let told = Answer::of(challenge(vec![offer()])).headers;
    let kept = ["payment-required", "cache-control"].map(HeaderName::from_static);
    let headers: HeaderMap = kept.into_iter().map(|name| (name.clone(), told[&name].clone())).collect();
    let report = report(&dialects(), &headers, b"<html>", NOW);
    assert_eq!(lines(&report), [""; 0]);
    assert_eq!(report.spoken.len(), 1);
}

/// What a stranger wrote may hold commands for a terminal; a finding goes to one.
#[test]
fn findings_repeat_nothing_of_what_was_said() {
    let evil = "\u{1b}[2J<script>evil";
    let coded = header::encode(evil.as_bytes());
    let answers = [
        Answer::good().at("/accepts/0/network", json!(evil)),
        Answer::good().at("/accepts/0/scheme", json!(evil)).at("/error", json!({ evil: evil })),
        Answer::good().at("/payment_scheme/payment_components/0/payment_type", json!(evil)),
        Answer::good().at("/expires", json!(evil)).at("/seller", json!(evil)),
        Answer::good().lacks("payment-required").says("payment-required", &coded),
        Answer::good().lacks("x-payment-chainid").says("x-payment-chainid", "evil"),
    ];
    for answer in answers {
        let lines = lines(&answer.report()).join("\n");
        assert!(!lines.is_empty() && !lines.contains("evil") && !lines.contains('\u{1b}'), "{lines}");
    }
}
