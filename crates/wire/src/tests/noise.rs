//! No bytes from outside make a reader panic.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;

use super::dialects;
use crate::facilitator::{SettleResponse, VerifyResponse, read_request, read_supported, write_request};
use crate::{PAYMENT_HEADERS, RESPONSE_HEADERS, header, json};

const SEEDS: [&str; 3] = [
    include_str!("../../../../vectors/x402/01-exact-eip3009-v2.json"),
    include_str!("../../../../vectors/x402/02-exact-eip3009-v1.json"),
    include_str!("../../../../vectors/x402/26-extensions-end-to-end.json"),
];

/// Feeds bytes to everything that reads bytes, and what is read to everything that writes.
fn feed(bytes: &[u8]) {
    let _ = json::parse(bytes, "test", 1 << 20);
    let _ = dialects().read_challenge(&HeaderMap::new(), bytes);
    let _ = VerifyResponse::read(bytes);
    let _ = SettleResponse::read(bytes);
    let _ = read_supported(bytes);
    if let Ok(request) = read_request(bytes) {
        let again = write_request(&request.payment, &request.offer);
        assert!(read_request(again.as_bytes()).is_ok());
    }
    for name in PAYMENT_HEADERS.iter().chain(RESPONSE_HEADERS.iter()) {
        for value in [bytes.to_vec(), header::encode(bytes).into_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
            if let Ok(Some((_, challenge))) = dialects().read_challenge(&headers, b"") {
                let _ = dialects().write_challenge(&challenge);
            }
            if let Ok(Some(payment)) = dialects().read_payment(&headers) {
                let mut written = HeaderMap::new();
                dialects().write_payment(&payment, &mut written).unwrap();
                assert_eq!(dialects().read_payment(&written), Ok(Some(payment)));
            }
            let _ = dialects().read_receipt(&headers);
        }
    }
}

/// The messages inside a vector, as texts.
fn messages(vector: &str) -> Vec<String> {
    let vector: serde_json::Value = serde_json::from_str(vector).unwrap();
    let members = vector.as_object().unwrap().values();
    members.filter(|value| value.is_object()).map(ToString::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_are_harmless(bytes in vec(any::<u8>(), 0..200)) {
        feed(&bytes);
    }

    #[test]
    fn text_that_looks_like_json_is_harmless(
        text in r#"(\{|\}|\[|\]|"|:|,|x402Version|accepts|1|2|null|\\u0000|payload| ){0,40}"#,
    ) {
        feed(text.as_bytes());
    }

    #[test]
    fn changed_messages_are_harmless(
        seed in 0..SEEDS.len(),
        message in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let messages = messages(SEEDS[seed]);
        let mut bytes = message.get(&messages).clone().into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if !whole {
            bytes.truncate(end.index(bytes.len()));
        }
        feed(&bytes);
    }
}
