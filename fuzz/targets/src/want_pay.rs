//! The field `Want-Pay`: bounded, written as it is read, and a choice that the weights explain.

use groat_core::Network;
use groat_wire::want_pay::negotiation::{Method, WantPay};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Lines are fields.
pub fn target(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(8) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(HeaderName::from_static("want-pay"), value);
        }
    }
    let Ok(Some(list)) = WantPay::read(&headers) else { return };
    assert!(list.wishes.len() <= 32 && list.wishes.iter().all(|wish| wish.weight <= 1000));
    let written = WantPay::parse(&list.to_string()).unwrap();
    let known: Vec<_> = list.wishes.iter().filter(|wish| wish.method.is_some()).collect();
    assert_eq!(written.wishes.iter().collect::<Vec<_>>(), known, "{list}");
    let offered: Vec<Method> = [("USDC", 8453), ("USDC", 84532), ("DAI", 1), ("USDC", 56)]
        .map(|(currency, chain)| Method::new(currency, Network::eip155(chain)).unwrap())
        .into();
    let weight = |method: &Method| {
        let wish = list.wishes.iter().find(|wish| wish.method.as_ref() == Some(method));
        wish.map_or(0, |wish| wish.weight)
    };
    let best = offered.iter().map(weight).max().unwrap();
    let expected = match list.wishes.is_empty() {
        true => Some(0),
        false => offered.iter().position(|method| weight(method) == best).filter(|_| best > 0),
    };
    assert_eq!(list.choose(&offered), expected);
}
