//! Rows of the threat table: what is refused, and how.

use groat_core::{Amount, Challenge, Network, Offer, Payment, Reason};
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::{challenge, dialects, echo, field, json_field, offer, proof, v1_payment, v2_echo, v2_payment};
use crate::facilitator::write_request;
use crate::{Dialect, WireError, header, json as strict, x402_v1, x402_v2};

const FIELDS: [&str; 2] = [x402_v2::PAYMENT_HEADER, x402_v1::PAYMENT_HEADER];

fn assert_malformed(headers: &HeaderMap, what: &str) {
    let read = dialects().read_payment(headers);
    assert!(matches!(read, Err(WireError::Malformed { .. })), "{what}: {read:?}");
}

fn good() -> Value {
    json!({"x402Version": 2, "payload": proof("10000"), "accepted": echo()})
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut message = good();
    *message.pointer_mut(pointer).unwrap() = value;
    message
}

fn without(key: &str) -> Value {
    let mut message = good();
    message.as_object_mut().unwrap().remove(key);
    message
}

#[test]
fn h01_twenty_malformed_shapes_are_not_payments() {
    let raw: [(&str, &[u8]); 6] = [
        ("nothing", b""),
        ("not base64", b"!!!"),
        ("one character", b"e"),
        ("not JSON", b"AAAA"),
        ("JSON of half a message", b"eyJ4NDAyVmVyc2lvbiI6Mg=="),
        ("not UTF-8", b"//79"),
    ];
    for (what, bytes) in raw {
        FIELDS.iter().for_each(|name| assert_malformed(&field(name, bytes), what));
    }
    let shapes = [
        ("null", Value::Null),
        ("a list", json!([good()])),
        ("a text", json!("paid")),
        ("a number", json!(402)),
        ("an empty object", json!({})),
        ("an unknown version", changed("/x402Version", json!(3))),
        ("a version in words", changed("/x402Version", json!("2"))),
        ("a fractional version", changed("/x402Version", json!(2.5))),
        ("no payload", without("payload")),
        ("a payload in text", changed("/payload", json!("0x12"))),
        ("no offer", without("accepted")),
        ("an offer in text", changed("/accepted", json!("exact"))),
        ("an offer without a network", changed("/accepted", json!({"scheme": "exact"}))),
        ("a network of no kind", changed("/accepted/network", json!("moon"))),
        ("a scheme that is empty", changed("/accepted/scheme", json!(""))),
        ("extensions in a list", {
            let mut message = good();
            message["extensions"] = json!([]);
            message
        }),
        ("a resource without a URL", {
            let mut message = good();
            message["resource"] = json!({"description": "x"});
            message
        }),
    ];
    for (what, shape) in shapes {
        FIELDS.iter().for_each(|name| assert_malformed(&json_field(name, &shape), what));
    }
    assert!(dialects().read_payment(&json_field(x402_v2::PAYMENT_HEADER, &good())).unwrap().is_some());
}

#[test]
fn h01_the_message_never_repeats_the_input() {
    for bytes in ["c2VjcmV0", "eyJzZWNyZXQiOiJzZWNyZXQifQ==", "secret", "eyJzZWNyZXQi"] {
        let error = dialects().read_payment(&field(x402_v2::PAYMENT_HEADER, bytes.as_bytes())).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn h02_one_value_has_one_encoding() {
    let good = header::encode(good().to_string().as_bytes());
    assert!(good.contains('='), "the padding matters here");
    let other = [
        good.trim_end_matches('=').to_owned(),
        format!("{good}="),
        format!(" {good}"),
        format!("{good} "),
        format!("{},{}", good, good),
        good.replacen("eyJ", "ey J", 1),
        good.replacen("eyJ", "ey\tJ", 1),
    ];
    for text in other {
        assert_malformed(&field(x402_v2::PAYMENT_HEADER, text.as_bytes()), &text);
    }
    assert_eq!(header::decode(b"--__", "test", 64).ok(), None, "the alphabet of URLs");
    assert!(header::decode(b"++//", "test", 64).is_ok());
    assert_eq!(header::decode(b"QQ==", "test", 64).unwrap(), b"A");
    assert_eq!(header::decode(b"QR==", "test", 64).ok(), None, "spare bits");
}

#[test]
fn h03_json_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let parse = |text: &str| strict::parse(text.as_bytes(), "test", 1 << 20);
    assert!(parse(&nested(16)).is_ok());
    for bad in [
        nested(17),
        nested(10_000),
        r#"{"a":1,"a":1}"#.into(),
        r#"[{"b":{"a":1,"\u0061":2}}]"#.into(),
        "1e999".into(),
        "18446744073709551616".into(),
        format!("-{}", "9".repeat(300)),
        r#""\u0000""#.into(),
        r#"{"\u0000":1}"#.into(),
        r#""\ud800""#.into(),
        r#""\udc00\ud800""#.into(),
        "{} {}".into(),
        "{}x".into(),
        "NaN".into(),
        "01".into(),
        "'a'".into(),
        "[1,]".into(),
        "// a\n1".into(),
        "\u{feff}{}".into(),
    ] {
        let read = parse(&bad);
        assert!(
            matches!(read, Err(WireError::Malformed { .. })),
            "{}: {read:?}",
            bad.get(..20).unwrap_or(&bad)
        );
    }
    assert_eq!(parse(" [18446744073709551615, -9223372036854775808, 1.5e3] ").unwrap()[0], json!(u64::MAX));
    assert!(matches!(strict::parse(b"  ", "test", 1), Err(WireError::TooLarge { .. })));
}

#[test]
fn h04_unknown_members_are_ignored_and_not_forwarded() {
    let mut message = good();
    message["__proto__"] = json!({"polluted": true});
    message["constructor"] = json!(1);
    message["resource"] = json!({"url": "https://api.example.com/weather", "__proto__": 1});
    message["accepted"]["extra"]["__proto__"] = json!({"polluted": true});
    let headers = json_field(x402_v2::PAYMENT_HEADER, &message);
    let payment = dialects().read_payment(&headers).unwrap().unwrap();
    let challenge = challenge(vec![offer()]);
    let offer = dialects().choose(&payment, &challenge).unwrap();
    let forwarded = write_request(&payment, offer);
    assert!(!forwarded.contains("__proto__") && !forwarded.contains("constructor"), "{forwarded}");
}

#[test]
fn h05_a_payment_field_is_at_most_16_kib() {
    let big = "A".repeat(64 * 1024);
    for name in FIELDS {
        let read = dialects().read_payment(&field(name, big.as_bytes()));
        assert_eq!(read, Err(WireError::TooLarge { place: name, size_bytes_max: 16 * 1024 }));
    }
    let mut message = good();
    message["extensions"] = json!({"x": "y".repeat(11 * 1024)});
    let headers = json_field(x402_v2::PAYMENT_HEADER, &message);
    let payment = dialects().read_payment(&headers).unwrap().unwrap();
    let fat = super::object(json!({"x": "y".repeat(12 * 1024)}));
    let fat = Payment { extensions: fat, ..payment };
    let written = dialects().write_payment(&fat, &mut HeaderMap::new());
    assert!(matches!(written, Err(WireError::TooLarge { .. })));
}

#[test]
fn h07_more_than_one_payment_is_ambiguous() {
    let v2 = json_field(x402_v2::PAYMENT_HEADER, &good());
    let v1 = json_field(x402_v1::PAYMENT_HEADER, &x402_v1::payment::write(&v1_payment("10000")));
    for name in FIELDS {
        let value = if name == x402_v2::PAYMENT_HEADER { &v2[name] } else { &v1[name] };
        let mut twice = HeaderMap::new();
        twice.append(name, value.clone());
        twice.append(name, value.clone());
        assert_eq!(dialects().read_payment(&twice), Err(WireError::Ambiguous));
        let dialect_alone = dialects().by_id(&x402_v2::ID).unwrap().read_payment(&twice);
        assert_eq!(dialect_alone.is_err(), name == x402_v2::PAYMENT_HEADER);
    }
    let mut both = v2;
    both.extend(v1);
    assert_eq!(dialects().read_payment(&both), Err(WireError::Ambiguous));
}

#[test]
fn b04_an_altered_echo_matches_no_offer() {
    let changes: [(&str, Value); 12] = [
        ("scheme", json!("upto")),
        ("network", json!("eip155:8453")),
        ("network", json!("base-sepolia")),
        ("amount", json!("9999")),
        ("amount", json!(10000)),
        ("amount", json!("010000")),
        ("asset", json!("0x0000000000000000000000000000000000000001")),
        ("payTo", json!("0x0000000000000000000000000000000000000001")),
        ("payTo", json!(super::PAY_TO.to_lowercase())),
        ("maxTimeoutSeconds", json!(61)),
        ("maxTimeoutSeconds", json!("60")),
        ("extra", json!({"name": "USDC", "version": 2})),
    ];
    let challenge = challenge(vec![offer()]);
    let choose = |echo: &Value| x402_v2::V2.choose(&v2_echo(echo), &challenge);
    for (key, value) in changes {
        let mut echo = echo();
        echo[key] = value;
        assert_eq!(choose(&echo), Err(Reason::NoMatchingRequirements), "{key} {}", echo[key]);
    }
    for key in ["scheme", "network", "amount", "asset", "payTo", "maxTimeoutSeconds", "extra"] {
        let mut echo = echo();
        echo.as_object_mut().unwrap().remove(key);
        assert_eq!(choose(&echo), Err(Reason::NoMatchingRequirements), "without {key}");
    }
    let mut larger = echo();
    larger["discount"] = json!("100%");
    assert_eq!(choose(&larger), Err(Reason::NoMatchingRequirements));

    let mut fine = echo();
    fine["maxTimeoutSeconds"] = json!(60.0);
    fine["extra"]["note"] = json!("mine");
    assert_eq!(choose(&fine), Ok(&challenge.offers[0]));
}

#[test]
fn b05_what_a_buyer_adds_to_the_offer_reaches_no_facilitator() {
    let challenge = challenge(vec![offer()]);
    for key in ["assetTransferMethod", "paymentFlow"] {
        let mut steering = echo();
        steering["extra"][key] = json!("permit2");
        assert_eq!(
            x402_v2::V2.choose(&v2_echo(&steering), &challenge),
            Err(Reason::NoMatchingRequirements),
            "{key}"
        );
    }
    let mut smuggling = echo();
    smuggling["extra"]["verifyingContract"] = json!("0xevil");
    let payment = v2_echo(&smuggling);
    let offer = x402_v2::V2.choose(&payment, &challenge).unwrap();
    assert!(!write_request(&payment, offer).contains("0xevil"));
}

#[test]
fn b06_a_version_1_payment_is_matched_by_what_it_signed() {
    let cheap = Offer { amount: Amount::from_units(5_000), ..offer() };
    let other_payee = Offer { pay_to: "0x0000000000000000000000000000000000000001".into(), ..offer() };
    let elsewhere = Offer { network: Network::eip155(8453), ..offer() };
    let challenge = challenge(vec![elsewhere, other_payee, offer(), cheap]);
    let choose = |payment: &Payment| x402_v1::V1::default().choose(payment, &challenge);
    assert_eq!(choose(&v1_payment("10000")), Ok(&challenge.offers[2]));
    assert_eq!(choose(&v1_payment("5000")), Ok(&challenge.offers[3]));
    // Fits no offer: the first of its scheme and network is named, and verification says what is wrong.
    for value in ["4999", "9999", "010000", ""] {
        assert_eq!(choose(&v1_payment(value)), Ok(&challenge.offers[1]), "{value}");
    }
    let stranger = Payment { network: Network::eip155(1), ..v1_payment("10000") };
    assert_eq!(choose(&stranger), Err(Reason::NoMatchingRequirements));
    let other_scheme = Payment { scheme: "upto".into(), ..v1_payment("10000") };
    assert_eq!(choose(&other_scheme), Err(Reason::NoMatchingRequirements));
}

#[test]
fn b06_a_version_1_payment_is_not_chosen_by_the_rules_of_version_2() {
    let challenge = challenge(vec![offer()]);
    let payment = v1_payment("1");
    assert_eq!(x402_v2::V2.choose(&payment, &challenge), Err(Reason::NoMatchingRequirements));
}

#[test]
fn the_fingerprint_of_a_payment_does_not_hang_on_the_order_of_its_echo() {
    let challenge = challenge(vec![offer()]);
    let ours = v2_payment(&challenge, &offer());
    let sorted = v2_echo(&echo());
    assert_ne!(ours.accepted, sorted.accepted);
    assert_eq!(ours.fingerprint(), sorted.fingerprint());
    let empty = Challenge { extensions: Map::new(), ..challenge };
    assert_ne!(ours.fingerprint(), Payment { resource: None, ..v2_payment(&empty, &offer()) }.fingerprint());
}

/// An offer that one dialect tells is paid in that one: the others would leave out what it binds a proof to.
#[test]
fn b15_t07_what_one_dialect_offers_is_paid_in_no_other() {
    let own = |scheme: &str, dialect: groat_core::payment::DialectId| Offer {
        scheme: scheme.into(),
        dialect: Some(dialect),
        ..offer()
    };
    let offers = [
        own(crate::agentxpay::SCHEME, crate::agentxpay::ID),
        own(crate::want_pay::SCHEME, crate::want_pay::ID),
        own("exact", crate::want_pay::ID),
    ];
    for theirs in offers {
        let mixed = challenge(vec![theirs.clone(), Offer { amount: Amount::from_units(20_000), ..offer() }]);
        let payment = |dialect| Payment { dialect, scheme: theirs.scheme.clone(), ..v1_payment("10000") };
        let echo = x402_v2::accept(payment(x402_v1::ID), &mixed, &theirs);
        for payment in [payment(x402_v1::ID), echo, payment(crate::token::ID)] {
            let chosen = dialects().choose(&payment, &mixed);
            assert!(
                chosen.as_ref().is_err() || chosen == Ok(&mixed.offers[1]),
                "{:?}: {chosen:?}",
                payment.dialect
            );
            assert!(dialects().choose(&payment, &challenge(vec![theirs.clone()])).is_err());
        }
    }
}
