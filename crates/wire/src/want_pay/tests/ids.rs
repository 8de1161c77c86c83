//! Ids that prove themselves.

use groat_core::Amount;
use proptest::prelude::*;

use super::*;
use crate::want_pay::Code;
use crate::want_pay::id::{RequestId, RequestIdError, RequestKey, RequestTerms};
use crate::want_pay::request::is_request_id;

const SELLER: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
const TOKEN: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

fn terms(network: &Network) -> RequestTerms<'_> {
    RequestTerms {
        resource: "https://api.example.com/weather",
        method: "GET",
        amount: Amount::from_units(10_000),
        asset: TOKEN,
        network,
        seller: SELLER,
    }
}

fn key(seed: u8) -> RequestKey {
    RequestKey::new(&[seed; 32]).unwrap()
}

#[test]
fn t14_an_id_is_ours_for_exactly_what_it_was_given_out_for() {
    let base = Network::eip155(8453);
    let other_chain = Network::eip155(1);
    let terms = terms(&base);
    let expires = NOW.plus(300);
    let id = key(1).issue(&terms, expires, [7; 16]);
    let text = id.to_string();
    assert!(is_request_id(&text) && text.len() == 64 && text.starts_with("pay_01"), "{text}");
    assert_eq!(key(1).check(&text, &terms, NOW), Ok(id.clone()));
    assert_eq!((id.expires(), id.nonce()), (expires, "07".repeat(16)));
    for other in [
        RequestTerms { resource: "https://api.example.com/forecast", ..terms },
        RequestTerms { method: "POST", ..terms },
        RequestTerms { amount: Amount::from_units(9_999), ..terms },
        RequestTerms { asset: SELLER, ..terms },
        RequestTerms { network: &other_chain, ..terms },
        RequestTerms { seller: TOKEN, ..terms },
        // Nothing moves from one field to the next.
        RequestTerms { resource: "https://api.example.com/weatherG", method: "ET", ..terms },
    ] {
        assert_eq!(key(1).check(&text, &other, NOW), Err(RequestIdError::NotOurs), "{other:?}");
    }
    assert_eq!(key(2).check(&text, &terms, NOW), Err(RequestIdError::NotOurs));
    assert_ne!(key(1).issue(&terms, expires, [8; 16]), id);
}

#[test]
fn an_id_is_good_until_the_proof_can_come_no_more() {
    let base = Network::eip155(8453);
    let text = key(1).issue(&terms(&base), NOW.plus(300), [7; 16]).to_string();
    assert!(key(1).check(&text, &terms(&base), NOW.plus(599)).is_ok());
    let late = key(1).check(&text, &terms(&base), NOW.plus(600)).unwrap_err();
    assert_eq!((late, late.code()), (RequestIdError::Expired, Code::Expired));
    assert_eq!(RequestIdError::NotOurs.code().as_str(), "unknown_request");
}

#[test]
fn t14_no_character_of_an_id_can_be_changed() {
    let base = Network::eip155(8453);
    let text = key(1).issue(&terms(&base), NOW.plus(300), [7; 16]).to_string();
    for at in 0..text.len() {
        for letter in ["0", "1", "7", "A", "Z", "a", "-"] {
            let mut forged = text.clone();
            forged.replace_range(at..=at, letter);
            if forged != text {
                let error = key(1).check(&forged, &terms(&base), NOW).unwrap_err();
                assert_eq!(error.code(), Code::UnknownRequest, "{forged}");
            }
        }
    }
    for bad in [&text[..63], &format!("{text}0"), &text.to_lowercase(), "", "pay_", &"é".repeat(32)] {
        assert_eq!(RequestId::parse(bad), Err(RequestIdError::Malformed), "{bad}");
    }
}

#[test]
fn k08_t11_a_key_is_long_enough_one_of_many_and_never_prints() {
    assert!(RequestKey::new(&[1; 31]).is_err() && RequestKey::derived(&[1; 31]).is_err());
    let base = Network::eip155(8453);
    let issued = |key: RequestKey| key.issue(&terms(&base), NOW, [1; 16]).to_string();
    assert_ne!(
        issued(key(1)),
        issued(RequestKey::derived(&[1; 32]).unwrap()),
        "a secret of passes marks no requests"
    );
    assert_eq!(format!("{:?}", key(1)), "RequestKey");
}

proptest! {
    #[test]
    fn every_id_reads_back_as_itself(random: [u8; 16], seconds in 0u64..281_474_976_710, seed: u8) {
        let base = Network::eip155(8453);
        let id = key(seed).issue(&terms(&base), Timestamp(seconds), random);
        prop_assert_eq!(RequestId::parse(&id.to_string()), Ok(id.clone()));
        prop_assert_eq!(id.expires(), Timestamp(seconds));
    }

    #[test]
    fn no_text_is_an_id_by_chance(text in "\\PC{0,70}|pay_[0-9A-Z]{60}|pay_[0-7]{60}") {
        let base = Network::eip155(8453);
        prop_assert!(key(1).check(&text, &terms(&base), NOW).is_err());
        if let Ok(id) = RequestId::parse(&text) {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}
