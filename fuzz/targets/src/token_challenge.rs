//! The 402 of the token dialect: the amount to the letter, and no way to another host.

use bigdecimal::BigDecimal;
use groat_wire::token::{ID, Token};
use groat_wire::{Dialect, Dialects};
use http::HeaderMap;
use serde_json::Value;
use url::Url;

/// The body of a 402.
pub fn target(data: &[u8]) {
    let Ok(Some(challenge)) = Token.read_challenge(&HeaderMap::new(), data) else { return };
    let path = challenge.pass_at.unwrap();
    let origin = Url::parse("https://seller.example").unwrap();
    let at = origin.join(&path).unwrap();
    assert_eq!(at.origin(), origin.origin(), "{path}");
    let value: Value = serde_json::from_slice(data).unwrap();
    let components = value["payment_scheme"]["payment_components"].as_array().unwrap();
    assert!(challenge.offers.len() <= components.len());
    for offer in &challenge.offers {
        let decimals = i64::from(offer.currency.as_ref().unwrap().decimals);
        let units: BigDecimal = offer.amount.to_string().parse().unwrap();
        let whole = BigDecimal::new(units.into_bigint_and_exponent().0, decimals);
        let is_it = |component: &Value| match &component["amount"] {
            Value::String(text) => text.parse::<BigDecimal>().is_ok_and(|amount| amount == whole),
            // A number went through a double here, not in what is tested.
            Value::Number(number) => number.to_string().parse::<BigDecimal>().is_ok(),
            _ => false,
        };
        assert!(components.iter().any(is_it), "{whole}");
    }
    let _ = Dialects::standard().read_challenge_in(Some(&ID), &HeaderMap::new(), data);
}
