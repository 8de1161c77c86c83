//! What a payment that was changed, made up or aimed elsewhere buys: nothing.

use groat_core::offer::Moment;
use groat_core::{Amount, Challenge, Network, Offer, Reason, Resource};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Mpp, PAYMENT_HEADER, RECEIPT_HEADER};
use super::{asked, field, fields, moment, offer, opened, payment_of, sealed, told, values};
use crate::{Dialect, WireError};

fn refused(change: impl FnOnce(&mut Value)) -> Result<Result<(), Reason>, WireError> {
    let challenge = asked(vec![offer()]);
    let mut json = opened(&fields(&payment_of(&challenge)), PAYMENT_HEADER);
    change(&mut json);
    let payment = Mpp.read_payment(&sealed(PAYMENT_HEADER, &json))?.unwrap();
    Ok(Mpp.choose(&payment, &challenge).map(|_| ()))
}

fn request(change: impl FnOnce(&mut Value)) -> Value {
    let challenge = asked(vec![offer()]);
    let json = opened(&fields(&payment_of(&challenge)), PAYMENT_HEADER);
    let text = json["challenge"]["request"].as_str().unwrap().to_owned();
    let mut terms: Value =
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()).unwrap();
    change(&mut terms);
    data_encoding::BASE64URL_NOPAD.encode(terms.to_string().as_bytes()).into()
}

#[test]
fn b05_an_echo_of_other_terms_accepts_no_offer() {
    assert_eq!(refused(|_| {}), Ok(Ok(())));
    for (place, value) in [
        ("/amount", json!("1")),
        ("/currency", json!("0x70997970C51812dc3A010C7d01b50e0d17dc79C9")),
        ("/recipient", json!("0x70997970C51812dc3A010C7d01b50e0d17dc79C9")),
        ("/methodDetails/chainId", json!(8453)),
        ("/methodDetails/decimals", json!(18)),
        ("/methodDetails/credentialTypes", json!(["hash"])),
    ] {
        let other = request(|terms| *terms.pointer_mut(place).unwrap() = value);
        let problem = refused(|json| {
            json["challenge"]["request"] = other;
            if place == "/methodDetails/chainId" {
                json["source"] = json["source"].as_str().unwrap().replace("84532", "8453").into();
            }
        });
        assert_eq!(problem, Ok(Err(Reason::NoMatchingRequirements)), "{place}");
    }
    let more = request(|terms| terms["splits"] = json!([]));
    assert_eq!(refused(|json| json["challenge"]["request"] = more), Ok(Err(Reason::NoMatchingRequirements)));
}

#[test]
fn b01_a_payment_is_for_the_challenge_that_it_repeats_and_no_other() {
    let invalid = Ok(Err(Reason::from_code("invalid_challenge")));
    let later = "2099-01-01T00:00:00Z";
    for (place, value) in [
        ("/challenge/id", json!("made-up")),
        ("/challenge/id", json!("A".repeat(43))),
        ("/challenge/realm", json!("other.example")),
        ("/challenge/realm", json!("")),
        ("/challenge/expires", json!(later)),
        ("/challenge/expires", json!("soon")),
        ("/payload/nonce", json!(format!("0x{}", "01".repeat(32)))),
        ("/payload/nonce", json!("0x")),
        // The authorization must have ended when the challenge has.
        ("/payload/validBefore", json!("1893456301")),
        ("/payload/validBefore", json!("-1")),
        ("/payload/validBefore", json!("9".repeat(200))),
    ] {
        assert_eq!(
            refused(|json| *json.pointer_mut(place).unwrap() = value.clone()),
            invalid,
            "{place} {value}"
        );
    }
    for key in ["digest", "opaque"] {
        assert_eq!(refused(|json| json["challenge"][key] = "e30".into()), invalid, "{key}");
    }
    assert_eq!(refused(|json| drop(json["challenge"].as_object_mut().unwrap().remove("expires"))), invalid);
    // What is for people binds nobody, and an earlier end harms nobody.
    assert_eq!(refused(|json| json["challenge"]["description"] = "x".into()), Ok(Ok(())));
    assert_eq!(refused(|json| json["payload"]["validBefore"] = "1893456000".into()), Ok(Ok(())));
    assert_eq!(refused(|json| json["challenge"]["unknown"] = json!([1])), Ok(Ok(())));
}

#[test]
fn b01_the_same_price_at_another_url_or_by_another_method_is_not_paid() {
    let payment = payment_of(&asked(vec![offer()]));
    let at = |url: &str, method: &str, offers: Vec<Offer>| Challenge {
        resource: Resource { url: url.into(), ..Resource::default() },
        moment: Some(Moment { method: method.into(), random: [1; 16], ..moment() }),
        ..asked(offers)
    };
    let here = "https://shop.example/weather";
    assert!(Mpp.choose(&payment, &at(here, "GET", vec![offer()])).is_ok(), "the moment of the 402 is over");
    let invalid = || Err(Reason::from_code("invalid_challenge"));
    assert_eq!(Mpp.choose(&payment, &at("https://shop.example/gold", "GET", vec![offer()])), invalid());
    assert_eq!(Mpp.choose(&payment, &at("https://other.example/weather", "GET", vec![offer()])), invalid());
    assert_eq!(Mpp.choose(&payment, &at(here, "POST", vec![offer()])), invalid());
    assert_eq!(Mpp.choose(&payment, &Challenge { moment: None, ..asked(vec![offer()]) }), invalid());
    let dear = Offer { amount: Amount::from_units(10_001), ..offer() };
    let none = Err(Reason::NoMatchingRequirements);
    assert_eq!(Mpp.choose(&payment, &at(here, "GET", vec![dear])), none);
    assert_eq!(Mpp.choose(&payment, &at(here, "GET", vec![])), none);
}

#[test]
fn h03_what_is_no_credential_of_ours_is_told_so_and_not_repeated() {
    let malformed = |change: &dyn Fn(&mut Value)| match refused(|json| change(json)) {
        Err(WireError::Malformed { place, problem }) => {
            assert!(!problem.contains("secret"), "{place}: {problem}");
        }
        other => panic!("{other:?}"),
    };
    for (place, value) in [
        ("/challenge/method", json!("tempo")),
        ("/challenge/intent", json!("session")),
        ("/challenge/header", json!("X-Other")),
        ("/challenge/header", json!("Authorization")),
        ("/challenge/id", json!(7)),
        ("/challenge/id", json!("")),
        ("/challenge/request", json!("secret!")),
        ("/challenge/request", json!("c2VjcmV0")),
        ("/challenge", json!("secret")),
        ("/payload", json!(null)),
        ("/payload/type", json!("permit2")),
        ("/payload/type", json!("secret")),
        ("/payload/from", json!(1)),
        ("/payload/signature", json!("")),
        ("/payload/value", json!(10_000)),
        ("/source", json!("did:pkh:eip155:84532:0x70997970C51812dc3A010C7d01b50e0d17dc79C9")),
        ("/source", json!("did:pkh:eip155:1:0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")),
    ] {
        malformed(&|json| *json.pointer_mut(place).unwrap() = value.clone());
    }
    for key in ["challenge", "payload"] {
        malformed(&|json| drop(json.as_object_mut().unwrap().remove(key)));
    }
    let without = refused(|json| drop(json.as_object_mut().unwrap().remove("source")));
    assert_eq!(without, Ok(Ok(())), "who pays stands in the authorization");
}

#[test]
fn h02_h04_one_text_stands_for_one_payment_and_is_bounded() {
    let good = fields(&payment_of(&asked(vec![offer()])));
    let token = good[PAYMENT_HEADER].to_str().unwrap().strip_prefix("Payment ").unwrap().to_owned();
    assert!(
        Mpp.read_payment(&field(PAYMENT_HEADER, &format!("payment  {token}"))).is_ok(),
        "schemes have no case"
    );
    for text in [
        token.clone(),
        "Payment".into(),
        "Payment ".into(),
        format!("Payment {token}="),
        format!("Payment {token}, Bearer x"),
        format!("Bearer x, Payment {token}"),
        format!("Bearer {token}"),
        format!("Payment {}+/", &token[2..]),
        "Payment e30".into(),
        "Payment W10".into(),
        "Payment eyJhIjoxLCJhIjoyfQ".into(),
    ] {
        assert!(Mpp.read_payment(&field(PAYMENT_HEADER, &text)).is_err(), "{text}");
    }
    let large = field(PAYMENT_HEADER, &format!("Payment {}", "A".repeat(17_000)));
    assert!(matches!(Mpp.read_payment(&large), Err(WireError::TooLarge { .. })));
}

#[test]
fn y14_a_sellers_402_is_bounded_and_what_cannot_be_paid_is_left_out() {
    let good = told(&asked(vec![offer()]));
    let good = values(&good)[0];
    let read = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Mpp.read_challenge(&headers, b"not JSON").map(|read| read.map_or(0, |read| read.offers.len()))
    };
    assert_eq!(read(&[]), Ok(0));
    assert_eq!(read(&["Bearer realm=\"a\"", "Basic"]), Ok(0));
    assert_eq!(read(&["Bearer realm=\"Payment x\"", good]), Ok(1));
    // Some join challenges by commas, in any order.
    assert_eq!(read(&[&format!("Bearer realm=\"a, b\", {good}, Basic abc==, {good}")]), Ok(2));
    assert_eq!(read(&[&good.replace("method=\"evm\"", "METHOD = evm")]), Ok(1));
    for (from, to) in [
        ("method=\"evm\"", "method=\"tempo\""),
        ("intent=\"charge\"", "intent=\"session\""),
        ("header=\"Payment-Authorization\"", "header=\"X-Other\""),
    ] {
        assert_eq!(read(&[&good.replace(from, to)]), Ok(0), "{to}");
        assert_eq!(read(&[&good.replace(from, to), good]), Ok(1), "{to}");
    }
    for broken in [
        good.replace("id=", "it="),
        good.replace("realm=", "id="),
        good.replace("request=\"", "request=\"!"),
        good[..good.len() - 1].to_owned(),
        format!("{}\\", &good[..good.len() - 1]),
        "Payment method=evm, intent=charge".to_owned(),
    ] {
        assert!(read(&[&broken]).is_err(), "{broken}");
        assert_eq!(read(&[&broken, good]), Ok(1), "one that cannot be read spoils no other");
    }
    let many = [good; 40].join(", ");
    assert!(read(&[&many]).is_err());
    assert!(matches!(
        read(&[&format!("Payment a=\"{}\"", "x".repeat(70_000))]),
        Err(WireError::TooLarge { .. })
    ));
    let split = |splits: Value| {
        let other = request(|terms| terms["methodDetails"]["splits"] = splits);
        let at = good.find("request=\"").unwrap() + 9;
        let end = at + good[at..].find('"').unwrap();
        read(&[&format!("{}{}{}", &good[..at], other.as_str().unwrap(), &good[end..])])
    };
    assert_eq!((split(json!([])), split(json!([{"amount": "1"}])), split(json!("x"))), (Ok(1), Ok(0), Ok(0)));
}

#[test]
fn another_chain_is_another_account() {
    let elsewhere = Offer { network: Network::eip155(8453), ..offer() };
    let payment = payment_of(&asked(vec![elsewhere.clone()]));
    assert_eq!(payment.network, elsewhere.network);
    let both = asked(vec![offer(), elsewhere]);
    assert_eq!(Mpp.choose(&payment, &both).map(|offer| &offer.network), Ok(&Network::eip155(8453)));
}

/// Feeds bytes to everything that reads, and what is read to everything that writes.
fn feed(bytes: &[u8]) {
    let sealed = data_encoding::BASE64URL_NOPAD.encode(bytes);
    let quoted =
        format!("Payment id=\"{sealed}\", request=\"{sealed}\", method=evm, intent=charge, realm=\"\"");
    let texts = [
        bytes.to_vec(),
        [b"Payment ", bytes].concat(),
        format!("Payment {sealed}").into(),
        sealed.into(),
        quoted.into(),
    ];
    for text in texts {
        let Ok(value) = HeaderValue::from_bytes(&text) else { continue };
        for name in [PAYMENT_HEADER, "authorization", "www-authenticate", RECEIPT_HEADER] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value.clone())]);
            if let Ok(Some(payment)) = Mpp.read_payment(&headers) {
                assert_eq!(Mpp.read_payment(&fields(&payment)), Ok(Some(payment.clone())));
                let _ = Mpp.choose(&payment, &asked(vec![offer()]));
            }
            if let Ok(Some(challenge)) = Mpp.read_challenge(&headers, bytes) {
                for offer in &challenge.offers {
                    let _ = Mpp.prescribe(&challenge, offer);
                }
                let _ = told(&Challenge { moment: Some(moment()), ..challenge });
            }
            let _ = Mpp.read_receipt(&headers);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..300)) {
        feed(&bytes);
    }

    #[test]
    fn no_text_that_looks_like_a_challenge_makes_a_reader_panic(
        text in r#"(Payment |Bearer |id|realm|request|method|evm|intent|charge|expires|=|"|\\|\\u00|,| |e30|é){0,40}"#,
    ) {
        feed(text.as_bytes());
    }

    #[test]
    fn no_change_of_a_payment_buys_anything_else(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let challenge = asked(vec![offer()]);
        let payment = payment_of(&challenge);
        let mut json = opened(&fields(&payment), PAYMENT_HEADER).to_string().into_bytes();
        let at = at.index(json.len());
        json[at] = byte;
        feed(&json);
        let text = data_encoding::BASE64URL_NOPAD.encode(&json);
        if let Ok(Some(changed)) = Mpp.read_payment(&field(PAYMENT_HEADER, &format!("Payment {text}")))
            && Mpp.choose(&changed, &challenge).is_ok()
        {
            // Only what the signature covers, and what is for people, can differ.
            let nonce = |payment: &groat_core::Payment| payment.proof["authorization"]["nonce"].as_str().unwrap().to_lowercase();
            prop_assert_eq!(nonce(&changed), nonce(&payment));
        }
    }
}
