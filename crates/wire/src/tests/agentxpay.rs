//! AgentXPay, from its specification.

use groat_core::{Amount, Challenge, Network, Offer, Payment, Reason};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{challenge, dialects, object};
use crate::agentxpay::{AgentXPay, ID, SCHEME, lines};
use crate::{
    Asked, COMPANION_HEADERS, ChallengeParts, Dialect, PAYMENT_HEADERS, RESPONSE_HEADERS, WireError,
};

const MANAGER: &str = "0xa9E4700000000000000000000000000000000002";
const PROVIDER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const HASH: &str = "0x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const FIELDS: [&str; 5] =
    ["x-payment-address", "x-payment-amount", "x-payment-token", "x-payment-serviceid", "x-payment-chainid"];

fn service() -> Offer {
    Offer {
        scheme: SCHEME.into(),
        network: Network::eip155(84532),
        asset: "native".into(),
        amount: Amount::from_units(10_000_000_000_000_000),
        pay_to: MANAGER.into(),
        timeout_s: 900,
        extra: object(json!({"serviceId": "1", "provider": PROVIDER})),
        price: None,
        dialect: Some(ID),
        currency: None,
        verbatim: None,
    }
}

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn told(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let said = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
    FIELDS.into_iter().filter_map(|name| Some((name, said(name)?))).collect()
}

fn read(headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
    dialects().read_payment(headers)
}

fn shown(hash: &str) -> Payment {
    read(&fields(&[("x-payment-txhash", hash)])).unwrap().unwrap()
}

#[test]
fn f042_the_five_fields_are_those_of_the_recorded_trace() {
    let parts = dialects().write_challenge(&challenge(vec![super::offer(), service()]));
    let expected = [MANAGER, "10000000000000000", "native", "1", "84532"];
    let expected: Vec<_> = FIELDS.into_iter().zip(expected.map(str::to_owned)).collect();
    assert_eq!(told(&parts.headers), expected);
    let body = Value::Object(parts.body);
    assert_eq!(
        body["payment"],
        json!({
            "address": MANAGER,
            "amount": "10000000000000000",
            "token": "native",
            "serviceId": 1,
            "chainId": 84532,
        })
    );
    assert!(body["error"].is_string() && body["message"].is_string(), "{body}");
}

#[test]
fn rule_a_all_five_fields_or_none() {
    let broken = [
        vec![],
        vec![super::offer()],
        vec![Offer {
            network: Network::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap(),
            ..service()
        }],
        vec![Offer { pay_to: "0x1\r\nx: y".into(), ..service() }],
        vec![Offer { asset: "native\n".into(), ..service() }],
        vec![Offer { extra: object(json!({"serviceId": "1\u{7f}", "provider": PROVIDER})), ..service() }],
    ];
    for offers in broken {
        let mut parts = ChallengeParts::default();
        AgentXPay.write_challenge(&challenge(offers.clone()), &mut parts);
        assert!(told(&parts.headers).is_empty() && parts.body.is_empty(), "{offers:?}");
    }
    // A payment straight to the provider is for no service, and the fields are five all the same.
    for asset in ["native", super::ASSET] {
        let direct =
            Offer { asset: asset.into(), pay_to: PROVIDER.into(), extra: object(json!({})), ..service() };
        let parts = dialects().write_challenge(&challenge(vec![direct]));
        let said: Vec<_> = told(&parts.headers).into_iter().map(|(_, value)| value).collect();
        assert_eq!(said, [PROVIDER, "10000000000000000", asset, "0", "84532"]);
    }
}

#[test]
fn an_offer_of_this_dialect_is_told_in_no_other() {
    let parts = dialects().write_challenge(&challenge(vec![super::offer(), service()]));
    let x402 = super::field_json(&parts.headers, "payment-required");
    assert_eq!(x402["accepts"].as_array().unwrap().len(), 1);
    assert!(!x402.to_string().contains(SCHEME) && !json!(parts.body["accepts"]).to_string().contains(SCHEME));
}

#[test]
fn a_challenge_reads_back_as_its_offer() {
    let parts = dialects().write_challenge(&challenge(vec![service()]));
    let read = AgentXPay.read_challenge(&parts.headers, b"").unwrap().unwrap();
    // Who provides it is not on the wire: a buyer asks the registry.
    assert_eq!(read.offers, [Offer { extra: object(json!({"serviceId": "1"})), ..service() }]);
    let huge =
        Offer { extra: object(json!({"serviceId": "1".repeat(60), "provider": PROVIDER})), ..service() };
    let parts = dialects().write_challenge(&challenge(vec![huge.clone()]));
    assert_eq!(parts.body["payment"]["serviceId"], huge.extra["serviceId"]);
    let read = AgentXPay.read_challenge(&parts.headers, b"").unwrap().unwrap();
    assert_eq!(read.offers[0].extra["serviceId"], huge.extra["serviceId"]);
}

#[test]
fn a_challenge_without_token_and_chain_means_the_coin_of_monads_test_network() {
    let said = fields(&[(FIELDS[0], MANAGER), (FIELDS[1], "5"), (FIELDS[3], "7")]);
    let offer = &AgentXPay.read_challenge(&said, b"").unwrap().unwrap().offers[0];
    assert_eq!((offer.asset.as_str(), offer.network.chain_id()), ("native", Some(10_143)));
    for missing in [0, 1, 3] {
        let mut said = said.clone();
        said.remove(FIELDS[missing]);
        assert_eq!(AgentXPay.read_challenge(&said, b""), Ok(None));
    }
    for (field, value) in [(1, "-1"), (1, "0.5"), (1, "1e18"), (1, "010"), (3, "one"), (4, "base"), (4, "-1")]
    {
        let mut said = said.clone();
        said.insert(FIELDS[field], value.parse().unwrap());
        assert!(AgentXPay.read_challenge(&said, b"").is_err(), "{}: {value}", FIELDS[field]);
    }
}

#[test]
fn f043_the_two_fields_of_a_retry_are_read() {
    let payment =
        read(&fields(&[("x-payment-txhash", HASH), ("x-payment-chainid", "84532")])).unwrap().unwrap();
    assert_eq!((&payment.dialect, payment.scheme.as_str()), (&ID, SCHEME));
    assert_eq!((payment.network.chain_id(), &payment.proof["hash"]), (Some(84532), &json!(HASH)));
    let challenge = challenge(vec![super::offer(), service()]);
    assert_eq!(dialects().choose(&payment, &challenge), Ok(&service()));
    // The number of the chain may be left out.
    assert_eq!(dialects().choose(&shown(HASH), &challenge), Ok(&service()));
}

#[test]
fn b17_another_chain_is_no_other_payment_but_a_mistake() {
    let challenge = challenge(vec![super::offer(), service()]);
    for chain in ["1", "10143", "18446744073709551615"] {
        let payment =
            read(&fields(&[("x-payment-txhash", HASH), ("x-payment-chainid", chain)])).unwrap().unwrap();
        assert_eq!(dialects().choose(&payment, &challenge), Err(Reason::InvalidPayload), "{chain}");
    }
    for chain in [
        "base-sepolia",
        "eip155:84532",
        "-1",
        "84532.0",
        "0x14a34",
        "18446744073709551616",
        "+84532",
        "084532",
    ] {
        let read = read(&fields(&[("x-payment-txhash", HASH), ("x-payment-chainid", chain)]));
        assert!(matches!(read, Err(WireError::Malformed { .. })), "{chain}: {read:?}");
    }
}

#[test]
fn r21_a_hash_is_its_bytes_and_what_is_none_is_malformed() {
    for spelling in [HASH.to_uppercase(), HASH.replace("abc", "aBC"), format!(" \t{HASH} ")] {
        assert_eq!(shown(&spelling).proof["hash"], json!(HASH), "{spelling}");
    }
    let digits = &HASH[2..];
    for wrong in [
        digits.to_owned(),
        format!("0x{}", &digits[1..]),
        format!("{HASH}0"),
        format!("0x0x{}", &digits[2..]),
        format!("0x{}g", &digits[1..]),
        format!("0x {}", &digits[1..]),
        format!("0x+{}", &digits[1..]),
        format!("{HASH},{HASH}"),
        format!("\"{HASH}\""),
        "0x".into(),
        "x".repeat(5_000),
    ] {
        assert!(read(&fields(&[("x-payment-txhash", &wrong)])).is_err(), "{wrong}");
    }
    assert!(read(&fields(&[("x-payment-txhash", "0x\u{e9}")])).is_err());
    // What is said with nothing in it is not said.
    assert_eq!(read(&fields(&[("x-payment-txhash", "")])), Ok(None));
}

/// What a hash has bought is told again to whoever spells it in the same way only.
#[test]
fn another_spelling_is_another_fingerprint() {
    assert_eq!(shown(HASH).fingerprint(), shown(&format!(" {HASH}")).fingerprint());
    assert_ne!(shown(HASH).fingerprint(), shown(&HASH.replace('a', "A")).fingerprint());
}

#[test]
fn h07_fields_that_are_there_twice_are_refused() {
    for name in ["x-payment-chainid", "x-payment-payer", "x-payment-signature"] {
        let twice = fields(&[("x-payment-txhash", HASH), (name, "1"), (name, "1")]);
        assert!(matches!(read(&twice), Err(WireError::Malformed { .. })), "{name}");
    }
    for name in PAYMENT_HEADERS.iter() {
        let two = fields(&[("x-payment-txhash", HASH), (name, HASH)]);
        assert_eq!(read(&two), Err(WireError::Ambiguous), "{name}");
    }
}

#[test]
fn everything_of_this_dialect_is_taken_off_what_goes_on() {
    let taken: Vec<_> =
        PAYMENT_HEADERS.iter().chain(COMPANION_HEADERS.iter()).chain(RESPONSE_HEADERS.iter()).collect();
    let ours = ["x-payment-txhash", "x-payment-payer", "x-payment-signature", "x-subscription-address"];
    for name in ours.iter().chain(&FIELDS) {
        assert!(taken.contains(&name), "{name}");
    }
    // No answer may carry a field called X-PAYMENT.
    assert!(!RESPONSE_HEADERS.contains(&"x-payment"));
}

#[test]
fn what_a_payer_signs_is_the_request_that_came() {
    let headers = fields(&[
        ("x-payment-txhash", &HASH.to_uppercase()),
        ("x-payment-chainid", "84532"),
        ("x-payment-signature", "0x12"),
    ]);
    let payment = read(&headers).unwrap().unwrap();
    let asked = Asked { method: "POST", url: "https://api.example.com/chat?a=1", body: b"hello" };
    let expected = "x402-axp/1\nPOST\nhttps://api.example.com/chat?a=1\n84532\n\
        0x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n\
        2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(lines(&payment, &asked), expected);
    let bound = dialects().bind(payment.clone(), &asked);
    assert_eq!(bound.proof["lines"], json!(expected));
    // Nothing is read of who does not sign.
    assert_eq!(dialects().bind(shown(HASH), &asked).proof.get("lines"), None);
}

#[test]
fn a_payment_that_is_written_reads_back() {
    let payment =
        Payment { proof: json!({"hash": HASH, "payer": PROVIDER, "signature": "0x12"}), ..shown(HASH) };
    let payment = Payment { network: Network::eip155(84532), ..payment };
    let mut headers = HeaderMap::new();
    dialects().write_payment(&payment, &mut headers).unwrap();
    let expected = [
        ("x-payment-txhash", HASH),
        ("x-payment-chainid", "84532"),
        ("x-payment-payer", PROVIDER),
        ("x-payment-signature", "0x12"),
    ];
    assert_eq!(headers, fields(&expected));
    let back = read(&headers).unwrap().unwrap();
    assert_eq!(back.network, payment.network);
    for key in ["hash", "payer", "signature"] {
        assert_eq!(back.proof[key], payment.proof[key]);
    }
    let nothing = Payment { proof: json!({}), ..payment };
    assert!(dialects().write_payment(&nothing, &mut HeaderMap::new()).is_err());
}

/// Text that looks like what a field has.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(HASH.to_owned()),
        "(0x|0X|)[0-9a-fA-F]{62,66}",
        "[+-]?[0-9]{0,80}",
        "0x[0-9a-fA-F]{40}",
        "[ -~\t\u{80}-\u{ff}]{0,40}",
    ]
}

proptest! {
    #[test]
    fn no_fields_make_it_panic(
        said in proptest::collection::vec((0..10usize, value()), 0..7),
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let more = ["x-payment-txhash", "x-payment-payer", "x-payment-signature", "x-subscription-address", "x-payment"];
        let names = [FIELDS, more].concat();
        let mut headers = HeaderMap::new();
        for (name, value) in &said {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.append(HeaderName::from_static(names[*name]), value);
            }
        }
        if let Ok(Some(offered)) = AgentXPay.read_challenge(&headers, &body) {
            let mut parts = ChallengeParts::default();
            AgentXPay.write_challenge(&Challenge { ..offered }, &mut parts);
            prop_assert!([0, 5].contains(&told(&parts.headers).len()));
        }
        if let Ok(Some(payment)) = AgentXPay.read_payment(&headers) {
            let hash = payment.proof["hash"].as_str().unwrap();
            prop_assert!(hash.len() == 66 && hash.to_lowercase() == hash);
            let asked = Asked { method: "GET", url: "https://x/", body: &body };
            let bound = dialects().bind(payment, &asked);
            let _ = dialects().choose(&bound, &challenge(vec![service()]));
            let mut written = HeaderMap::new();
            dialects().write_payment(&bound, &mut written).unwrap();
            let back = AgentXPay.read_payment(&written).unwrap().unwrap();
            prop_assert_eq!(&back.proof["hash"], &bound.proof["hash"]);
        }
    }
}
