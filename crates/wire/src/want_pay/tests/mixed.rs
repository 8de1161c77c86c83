//! A 402 of several dialects is still one that a buyer of this one can read and check.

use groat_core::offer::{Currency, Moment};
use groat_core::{Amount, Challenge, Network, Offer, Resource};
use http::HeaderMap;
use serde_json::{Map, Value};

use super::NOW;
use crate::want_pay::id::RequestKey;
use crate::want_pay::{ID, SCHEME, WantPay};
use crate::{Dialect, Dialects};

fn challenge(description: &str) -> Challenge {
    let offer = |scheme: &str| Offer {
        scheme: scheme.into(),
        network: Network::eip155(84532),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        amount: Amount::from_units(10_000),
        pay_to: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".into(),
        timeout_s: 60,
        extra: Map::new(),
        price: None,
        dialect: (scheme == SCHEME).then_some(ID),
        currency: Some(Currency { symbol: "USDC".into(), decimals: 6 }),
        verbatim: None,
    };
    Challenge {
        resource: Resource {
            url: "https://api.example.com/weather".into(),
            description: description.into(),
            mime_type: String::new(),
        },
        offers: vec![offer("exact"), offer(SCHEME)],
        pass_at: None,
        moment: Some(Moment { now: NOW, random: [3; 16], method: "GET".into(), preferred: 0 }),
        error: "Payment required".into(),
        extensions: Map::new(),
    }
}

#[test]
fn the_hash_of_a_request_holds_beside_other_dialects_whatever_the_description_is() {
    let seller = WantPay::selling(RequestKey::new(&[1; 32]).unwrap(), "https://pay.example.com/").unwrap();
    let dialects = Dialects::standard().with(std::sync::Arc::new(seller));
    for description in ["", "the weather", &"long ".repeat(100)] {
        let parts = dialects.write_challenge(&challenge(description));
        let body = Value::Object(parts.body).to_string();
        let read = WantPay::default().read_challenge(&HeaderMap::new(), body.as_bytes());
        let read = read.unwrap_or_else(|error| panic!("{description}: {error}")).unwrap();
        assert_eq!(read.offers.len(), 1);
        let by_v1 = crate::x402_v1::V1::default().read_challenge(&HeaderMap::new(), body.as_bytes());
        assert_eq!(by_v1.unwrap().unwrap().resource.description, description);
    }
}
