//! `Want-Pay`: what is understood, what is chosen.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::want_pay::negotiation::{Method, SIZE_BYTES_MAX, WANT_PAY, WantPay};

fn offered(names: &[&str]) -> Vec<Method> {
    names.iter().map(|name| Method::parse(name).unwrap()).collect()
}

fn chosen(wishes: &str, names: &[&str]) -> Option<usize> {
    WantPay::parse(wishes).unwrap().choose(&offered(names))
}

#[test]
fn the_first_hyphen_ends_the_currency() {
    for (text, currency, id) in [
        ("usdc-base", "USDC", 8453),
        ("USDC-base-sepolia", "USDC", 84532),
        ("usdc-eip155:8453", "USDC", 8453),
        ("usdc.e-BSC", "USDC.E", 56),
    ] {
        let method = Method::parse(text).unwrap();
        assert_eq!((method.currency(), method.network()), (currency, &Network::eip155(id)), "{text}");
    }
    for bad in ["usdc", "-base", "us dc-base", "usdc-", "usdc-atlantis"] {
        assert_eq!(Method::parse(bad), None, "{bad}");
    }
}

#[test]
fn weights_choose_and_equals_follow_the_seller() {
    let shop = ["usdc-base", "usdt-ethereum", "usdc-bsc"];
    assert_eq!(chosen("usdt-ethereum, usdc-base", &shop), Some(0));
    assert_eq!(chosen("usdc-base;q=0.5,usdt-eip155:1;q=0.501", &shop), Some(1));
    assert_eq!(chosen("usdc-base;q=0, usdc-bnb;q=0.001", &shop), Some(2));
    assert_eq!(chosen("usdc-base;q=0", &shop), None);
    assert_eq!(chosen("usdc-polygon, usdc-atlantis", &shop), None);
    assert_eq!(chosen("usdc-base;q=0, usdc-base", &shop), None, "the first wish counts");
    // An empty field: "I can pay, tell me how".
    assert_eq!(chosen("", &shop), Some(0));
    assert_eq!(chosen("", &[]), None);
    assert_eq!(chosen(" , usdc-base ;q=1.000 ;future=1 ,", &shop), Some(0));
}

#[test]
fn what_breaks_the_grammar_is_refused() {
    for bad in [
        "usdc",
        "usdc-base;q=2",
        "usdc-base;q=0.0001",
        "usdc-base;q=-1",
        "usdc-base;q=1.001",
        "usdc-base;q=",
        "usdc-base;q=1;q=0",
        "usdc-ba se",
        "us/dc-base",
        "-base",
        "\"usdc-base\"",
    ] {
        assert!(WantPay::parse(bad).is_err(), "{bad}");
    }
    assert!(WantPay::parse(&"a".repeat(SIZE_BYTES_MAX + 1)).is_err());
    assert!(WantPay::parse(&"usdc-base,".repeat(33)).is_err());
}

#[test]
fn several_fields_are_one_list_and_none_is_no_wish() {
    let mut headers = HeaderMap::new();
    assert_eq!(WantPay::read(&headers), Ok(None));
    headers.append(WANT_PAY, HeaderValue::from_static(""));
    assert_eq!(WantPay::read(&headers), Ok(Some(WantPay::default())));
    headers.append(WANT_PAY, HeaderValue::from_static("usdc-base;q=0.25"));
    headers.append(WANT_PAY, HeaderValue::from_static("usdt-ethereum"));
    let list = WantPay::read(&headers).unwrap().unwrap();
    assert_eq!(list.to_string(), "usdc-base;q=0.25, usdt-ethereum");
    let mut written = HeaderMap::new();
    list.write(&mut written);
    assert_eq!(WantPay::read(&written), Ok(Some(list)));
    // Sixteen fields of half the allowed size are too large together.
    for _ in 0..16 {
        headers.append(WANT_PAY, HeaderValue::try_from(" ".repeat(SIZE_BYTES_MAX / 2)).unwrap());
    }
    assert!(WantPay::read(&headers).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,80}|([a-z]{1,5}-(base|bsc|eip155:[0-9]{1,3}|x)( ?;q=[01](\\.[0-9]{0,4})?)?,? ?){0,6}") {
        if let Ok(list) = WantPay::parse(&text) {
            prop_assert!(list.wishes.iter().all(|wish| wish.weight <= 1000));
            // What is written of it reads back as what was understood of it.
            let known: Vec<_> = list.wishes.iter().filter(|wish| wish.method.is_some()).cloned().collect();
            prop_assert_eq!(WantPay::parse(&list.to_string()).unwrap().wishes, known);
            let shop = offered(&["usdc-base", "a-bsc"]);
            if let Some(at) = list.choose(&shop) {
                prop_assert!(list.wishes.is_empty() || list.methods().any(|method| *method == shop[at]));
            }
        }
    }
}
