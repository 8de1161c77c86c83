//! The token endpoint: what its 402 says, and what an order may look like.

use groat_core::offer::Currency;
use groat_core::{Amount, Challenge, Offer};
use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{challenge, dialects, offer, parsed};
use crate::Dialect;
use crate::token::{ID, Token};

fn usdc() -> Offer {
    Offer { currency: Some(Currency { symbol: "USDC".into(), decimals: 6 }), ..offer() }
}

fn selling(offers: Vec<Offer>) -> Challenge {
    Challenge { pass_at: Some("/token/GET/weather".into()), ..challenge(offers) }
}

fn permit() -> Value {
    json!({
        "permit_type": "ERC3009",
        "signature": {
            "signature_type": "ERC3009", "created_at": "2026-01-01T00:00:00", "v": 27,
            "r": "0xabc", "s": format!("0x{}", "7".repeat(64)),
        },
        "token": super::ASSET,
        "chain_id": 84532,
        "authorizer": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "recipient": super::PAY_TO,
        "value": 10_000,
        "validAfter": 0,
        "validBefore": 1_893_456_060_u64,
        "nonce": format!("0x{}", "01".repeat(32)),
    })
}

fn order(permit: &Value) -> Vec<u8> {
    json!({ "version": "Version 0.1", "permit": permit }).to_string().into_bytes()
}

fn changed(key: &str, value: Value) -> Vec<u8> {
    let mut permit = permit();
    permit[key] = value;
    order(&permit)
}

#[test]
fn the_402_says_where_a_token_is_sold_in_header_fields_and_the_price_in_the_body() {
    let parts = dialects().write_challenge(&selling(vec![usdc()]));
    assert_eq!(
        parts.headers["www-authenticate"],
        r#"Bearer realm="api.example.com", token_type="access_token""#
    );
    assert_eq!(parts.headers["payment-endpoint"], "/token/GET/weather");
    assert_eq!(parts.headers["payment-scheme"], "https://api.example.com/x402/schemes/evm");
    let body = Value::Object(parts.body);
    assert_eq!(body["access_token_endpoint"], "/token/GET/weather");
    assert_eq!(
        body["payment_scheme"],
        json!({ "protocol_version": "Version 0.1", "payment_components": [{
            "payment_type": "evm", "amount": 0.01, "currency": "USDC", "metadata": {}, "caip2": "eip155:84532",
            "pay_to": super::PAY_TO, "token": super::ASSET, "token_name": "USDC", "token_decimals": 6,
            "token_version": "2",
        }] })
    );
    // Version 1 stands beside it, untouched.
    assert_eq!((&body["x402Version"], body["accepts"].as_array().map(Vec::len)), (&json!(1), Some(1)));
}

#[test]
fn rule_m_what_the_strict_client_cannot_read_stays_out() {
    // No pass to be bought, no known currency, no domain: nothing of this dialect.
    for challenge in [
        challenge(vec![usdc()]),
        selling(vec![offer()]),
        selling(vec![Offer { extra: Default::default(), ..usdc() }]),
        selling(vec![Offer { scheme: "upto".into(), ..usdc() }]),
    ] {
        let mut parts = crate::ChallengeParts::default();
        Token.write_challenge(&challenge, &mut parts);
        assert!(parts.body.is_empty() && parts.headers.is_empty(), "{parts:?}");
    }
}

#[test]
fn a_402_reads_back_as_the_offers_it_was_made_of() {
    for units in [1, 10, 9_999, 10_000, 123_456_789_123_456_789, u128::MAX] {
        let offer = Offer { amount: Amount::from_units(units), ..usdc() };
        let mut parts = crate::ChallengeParts::default();
        Token.write_challenge(&selling(vec![offer.clone()]), &mut parts);
        let body = Value::Object(parts.body).to_string();
        let read = Token.read_challenge(&HeaderMap::new(), body.as_bytes()).unwrap().unwrap();
        assert_eq!(read.pass_at.as_deref(), Some("/token/GET/weather"));
        assert_eq!(read.offers, [Offer { timeout_s: 600, price: None, ..offer }], "{body}");
    }
}

#[test]
fn t13_an_endpoint_that_leads_to_another_host_is_refused() {
    for path in [
        "https://thief.example/token",
        "//thief.example/token",
        "token",
        "",
        "/\\thief.example",
        "/a b",
        "/a#b",
    ] {
        let body = json!({
            "access_token_endpoint": path,
            "payment_scheme": { "payment_components": [], "protocol_version": "Version 0.1" },
        });
        assert!(Token.read_challenge(&HeaderMap::new(), body.to_string().as_bytes()).is_err(), "{path}");
    }
}

#[test]
fn a_price_is_read_from_its_letters_and_never_rounded() {
    let read = |amount: &str, decimals: &str| {
        let body = format!(
            r#"{{"access_token_endpoint":"/token","payment_scheme":{{"protocol_version":"x","payment_components":[{{
                "payment_type":"evm","amount":{amount},"currency":"USDC","caip2":"eip155-84532","pay_to":"0x01",
                "token":"0x02","token_name":"USDC","token_decimals":{decimals},"token_version":2}}]}}}}"#
        );
        let challenge = Token.read_challenge(&HeaderMap::new(), body.as_bytes()).unwrap().unwrap();
        challenge.offers.first().map(|offer| offer.amount.to_string())
    };
    assert_eq!(read("0.5", "6").as_deref(), Some("500000"));
    assert_eq!(read("\"0.5\"", "\"6\"").as_deref(), Some("500000"));
    assert_eq!(read("1e-05", "6").as_deref(), Some("10"));
    assert_eq!(read("0.1", "18").as_deref(), Some("100000000000000000"));
    assert_eq!(read("9007199254740993.0", "0").as_deref(), Some("9007199254740993"));
    for finer in ["0.0000001", "1e-7", "-1", "\"one\"", "null", "\"1e99\""] {
        assert_eq!(read(finer, "6"), None, "{finer}");
    }
}

#[test]
fn an_order_reads_as_the_payment_that_it_is_however_it_is_spelled() {
    let payment = Token.read_order(&order(&permit())).unwrap().unwrap();
    assert_eq!(
        (payment.dialect.clone(), payment.scheme.as_str(), payment.network.as_str()),
        (ID, "exact", "eip155:84532")
    );
    let signature = payment.proof["signature"].as_str().unwrap();
    assert_eq!(signature, format!("0x{:0>64}{}1b", "abc", "7".repeat(64)));
    assert_eq!(payment.proof["authorization"]["value"], "10000");
    let mut other = permit();
    for key in ["chain_id", "value", "validAfter", "validBefore"] {
        other[key] = json!(other[key].to_string());
    }
    other["signature"]["r"] = json!("0x0ABC");
    other["signature"]["v"] = json!("0");
    other["created_at"] = json!("2026-01-01T00:00:00");
    let again = Token.read_order(&order(&other)).unwrap().unwrap();
    assert_eq!(again.fingerprint(), payment.fingerprint());
    // What we write reads back too.
    let written = Token.write_order(&payment).unwrap().unwrap();
    assert_eq!(Token.read_order(&written).unwrap().unwrap(), payment);
}

#[test]
fn an_order_that_is_none_says_what_is_wrong_with_it() {
    let told = |body: &[u8]| Token.read_order(body).unwrap_err().to_string();
    assert!(told(b"permit").contains("not the JSON"), "{}", told(b"permit"));
    assert!(told(br#"{"version":"Version 9"}"#).contains("`version`"));
    assert!(told(br#"{"version":"Version 0.1"}"#).contains("`permit` is missing"));
    for kind in ["exact", "permit"] {
        assert!(told(&changed("permit_type", json!(kind))).contains("ERC3009"));
    }
    // Its members are those of its kind.
    assert!(told(&changed("permit_type", json!("EIP2612"))).contains("`owner` is missing"));
    for (key, value) in [
        ("chain_id", json!(-1)),
        ("chain_id", json!(1.5)),
        ("value", json!("1e4")),
        ("value", json!("0x10")),
        ("value", Value::Null),
        ("nonce", json!(7)),
        ("signature", json!("0x00")),
        ("signature", json!({ "v": 29, "r": "0x1", "s": "0x1" })),
        ("signature", json!({ "v": 27, "r": "0x", "s": "0x1" })),
        ("signature", json!({ "v": 27, "r": format!("0x{}", "1".repeat(65)), "s": "0x1" })),
        ("signature", json!({ "v": 27, "r": "0xzz", "s": "0x1" })),
    ] {
        assert!(Token.read_order(&changed(key, value.clone())).is_err(), "{key} {value}");
    }
}

#[test]
fn a_permit_pays_the_offer_of_its_chain_and_token_and_no_other() {
    let payment = Token.read_order(&order(&permit())).unwrap().unwrap();
    let dear = Offer { amount: Amount::from_units(20_000), ..usdc() };
    let other_token = Offer { asset: super::PAY_TO.into(), ..usdc() };
    let other_chain = Offer { network: groat_core::Network::eip155(8453), ..usdc() };
    let offers = challenge(vec![other_token.clone(), other_chain.clone(), dear.clone(), usdc()]);
    assert_eq!(Token.choose(&payment, &offers), Ok(&offers.offers[3]));
    // Verification names what is wrong with the amount.
    assert_eq!(Token.choose(&payment, &challenge(vec![dear.clone()])), Ok(&dear));
    assert!(Token.choose(&payment, &challenge(vec![other_token, other_chain])).is_err());
}

#[test]
fn a_token_is_read_from_the_answer_and_shown_in_no_log() {
    let given =
        Token.read_given(br#"{"access_token":"a.b","token_type":"Bearer","expires_in":300,"metadata":{}}"#);
    let given = given.unwrap().unwrap();
    assert_eq!((given.token.as_str(), given.expires_in_s), ("a.b", Some(300)));
    assert!(!format!("{given:?}").contains("a.b"));
    assert_eq!(parsed(&crate::token::write_given(&given, json!({})).to_string())["expires_in"], 300);
    for bad in [
        &br#"{"access_token":"a b","token_type":"Bearer"}"#[..],
        br#"{"access_token":"","token_type":"Bearer"}"#,
        br#"{"access_token":"a","token_type":"MAC"}"#,
        br#"{"token_type":"Bearer"}"#,
    ] {
        assert!(Token.read_given(bad).is_err());
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_codec_panic(body in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
        let _ = Token.read_order(&body);
        let _ = Token.read_order(text.as_bytes());
        let _ = Token.read_challenge(&HeaderMap::new(), &body);
        let _ = Amount::parse_decimal(&text, 6);
    }

    #[test]
    fn every_amount_reads_back_from_its_decimal(units in any::<u128>(), decimals in 0_u8..30) {
        let amount = Amount::from_units(units);
        prop_assert_eq!(Amount::parse_decimal(&amount.to_decimal(decimals), decimals), Some(amount));
    }
}

fn balance() -> Offer {
    let extra = json!({ "permitType": "BalanceDebit", "audience": "https://api.example.com/token" });
    Offer {
        scheme: "balance".into(),
        network: groat_core::Network::parse("ledger:main").unwrap(),
        asset: "USD".into(),
        amount: Amount::from_units(500_000),
        extra: extra.as_object().unwrap().clone(),
        price: None,
        dialect: Some(ID),
        currency: Some(Currency { symbol: "USD".into(), decimals: 6 }),
        ..offer()
    }
}

#[test]
fn ways_to_pay_without_a_chain_stand_beside_the_components_and_come_back_as_offers() {
    let parts = dialects().write_challenge(&selling(vec![usdc(), balance()]));
    assert_eq!(
        parts.headers["payment-scheme"],
        "https://api.example.com/x402/schemes/evm, https://api.example.com/x402/schemes/balance"
    );
    let body = Value::Object(parts.body);
    let scheme = &body["payment_scheme"];
    // The parser of the package gives up on the whole 402 where one of these is of another type.
    assert_eq!(scheme["payment_components"].as_array().unwrap().len(), 1);
    assert_eq!(scheme["payment_components"][0]["payment_type"], "evm");
    assert_eq!(scheme["offchain_components"][0]["amount"], "0.5");
    let read = Token.read_challenge(&HeaderMap::new(), body.to_string().as_bytes()).unwrap().unwrap();
    assert_eq!(read.offers[1], Offer { timeout_s: 600, ..balance() });
    // Where there is no other way the package still reads the 402, and finds nothing that it can pay.
    let parts = dialects().write_challenge(&selling(vec![balance()]));
    assert_eq!(parts.body["payment_scheme"]["payment_components"], json!([]));
}

#[test]
fn a_permit_of_another_kind_is_its_own_proof_and_pays_only_offers_of_its_kind() {
    let permit =
        json!({ "permit_type": "BalanceDebit", "account": "a", "amount": "0.50", "currency": "USD" });
    let payment = Token.read_order(&order(&permit)).unwrap().unwrap();
    assert_eq!((payment.scheme.as_str(), &payment.proof), ("balance", &permit));
    let written = Token.write_order(&payment).unwrap().unwrap();
    assert_eq!(Token.read_order(&written).unwrap().unwrap(), payment);
    let cheaper = Offer { amount: Amount::from_units(1), ..balance() };
    let offered = selling(vec![usdc(), cheaper, balance()]);
    assert_eq!(Token.choose(&payment, &offered), Ok(&offered.offers[2]));
    let euros = Offer { asset: "EUR".into(), ..balance() };
    for others in [vec![usdc()], vec![euros], vec![]] {
        assert!(Token.choose(&payment, &selling(others)).is_err());
    }
    let other = Token.read_order(&order(&json!({ "permit_type": "Voucher" }))).unwrap().unwrap();
    assert_eq!(other.scheme, "Voucher");
    assert!(Token.choose(&other, &offered).is_err());
    // Nothing says `exact` of itself that is not a token's authorization.
    for odd in [json!("exact"), json!(""), json!(1), json!("x".repeat(65)), json!("a b")] {
        assert!(Token.read_order(&order(&json!({ "permit_type": odd }))).is_err(), "{odd}");
    }
}

fn taken(kind: &str, symbol: &str) -> Offer {
    let extra = json!({ "name": "Wide Dollar", "version": "1", "permitType": kind, "payee": super::PAY_TO });
    Offer {
        scheme: "permit".into(),
        pay_to: "0x00000000000000000000000000000000000071ff".into(),
        extra: extra.as_object().unwrap().clone(),
        price: None,
        dialect: Some(ID),
        currency: Some(Currency { symbol: symbol.into(), decimals: 6 }),
        ..offer()
    }
}

/// As the package writes it: the nonce is above 2^53, and `r` has 63 digits.
fn permit2() -> Value {
    json!({
        "permit_type": "Permit2",
        "signature": {
            "signature_type": "Permit2", "created_at": "2026-01-01T00:00:00", "v": 28,
            "r": format!("0x{}", "6".repeat(63)), "s": format!("0x{}", "7".repeat(64)),
        },
        "created_at": "2026-01-01T00:00:00",
        "owner": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "spender": "0x00000000000000000000000000000000000071ff",
        "token": super::ASSET,
        "amount": 10_000,
        "nonce": 117_651_130_019_418_819_u64,
        "deadline": 1_893_456_060_u64,
        "chain_id": 84532,
        "permit2_address": "0x000000000022D473030F116dDEE9F6B43aC78BA3",
    })
}

fn eip2612() -> Value {
    let mut permit = permit2();
    let members = permit.as_object_mut().unwrap();
    members.remove("permit2_address");
    let amount = members.remove("amount").unwrap();
    members.insert("value".into(), amount);
    members.insert("nonce".into(), json!(0));
    members.insert("permit_type".into(), json!("EIP2612"));
    permit
}

#[test]
fn f086_permits_of_both_kinds_read_as_payments_and_write_back() {
    for (permit, nonce) in [(permit2(), "117651130019418819"), (eip2612(), "0")] {
        let payment = Token.read_order(&order(&permit)).unwrap().unwrap();
        assert_eq!((payment.scheme.as_str(), payment.network.as_str()), ("permit", "eip155:84532"));
        assert_eq!(payment.proof["permitType"], permit["permit_type"]);
        let signed = &payment.proof["permit"];
        assert_eq!((&signed["nonce"], &signed["amount"]), (&json!(nonce), &json!("10000")));
        assert_eq!(signed.get("permit2").is_some(), permit["permit_type"] == "Permit2");
        let signature = payment.proof["signature"].as_str().unwrap();
        assert_eq!(signature, format!("0x0{}{}1c", "6".repeat(63), "7".repeat(64)));
        let written = Token.write_order(&payment).unwrap().unwrap();
        assert_eq!(Token.read_order(&written).unwrap().unwrap(), payment);
        // Texts are as good as numbers, and go further.
        let mut other = permit.clone();
        other["nonce"] = json!(nonce);
        other["signature"]["v"] = json!(1);
        assert_eq!(Token.read_order(&order(&other)).unwrap().unwrap().fingerprint(), payment.fingerprint());
        other["nonce"] = json!("9".repeat(77));
        assert!(Token.read_order(&order(&other)).is_ok());
        let odd =
            [("nonce", json!(1e30)), ("nonce", json!(-1)), ("deadline", json!("soon")), ("owner", json!(""))];
        for (key, value) in odd {
            let mut bad = permit.clone();
            bad[key] = value.clone();
            assert!(Token.read_order(&order(&bad)).is_err(), "{key} {value}");
        }
    }
}

#[test]
fn rule_m_a_permit_that_the_package_would_sign_otherwise_stands_where_it_does_not_look() {
    let offers = vec![usdc(), taken("Permit2", "WIDE"), taken("Permit2", "USDC"), taken("EIP2612", "WIDE")];
    let parts = dialects().write_challenge(&selling(offers.clone()));
    assert_eq!(parts.headers["payment-scheme"], "https://api.example.com/x402/schemes/evm");
    let body = Value::Object(parts.body);
    let scheme = &body["payment_scheme"];
    let named = |list: &str| -> Vec<(Value, Value)> {
        let components = scheme[list].as_array().unwrap().iter();
        components.map(|one| (one["currency"].clone(), one["permit_type"].clone())).collect()
    };
    let pair = |currency: &str, kind: &str| (json!(currency), json!(kind));
    assert_eq!(named("payment_components"), [(json!("USDC"), Value::Null), pair("WIDE", "Permit2")]);
    assert_eq!(named("permit_components"), [pair("USDC", "Permit2"), pair("WIDE", "EIP2612")]);
    for component in scheme["payment_components"].as_array().unwrap() {
        assert_eq!(component["payment_type"], "evm");
        assert!(component.as_object().unwrap().values().all(|value| !value.is_null()), "{component}");
    }
    // Nobody else is told of them.
    assert_eq!(body["accepts"].as_array().map(Vec::len), Some(1));
    let read = Token.read_challenge(&HeaderMap::new(), body.to_string().as_bytes()).unwrap().unwrap();
    let told = |offer: Offer| Offer { timeout_s: 600, price: None, ..offer };
    assert_eq!(read.offers, offers.into_iter().map(told).collect::<Vec<_>>());
}

#[test]
fn a_permit_pays_the_offer_of_its_kind_token_and_taker() {
    let payment = Token.read_order(&order(&permit2())).unwrap().unwrap();
    let dear = Offer { amount: Amount::from_units(20_000), ..taken("Permit2", "WIDE") };
    let offered = selling(vec![usdc(), taken("EIP2612", "WIDE"), dear.clone(), taken("Permit2", "WIDE")]);
    assert_eq!(Token.choose(&payment, &offered), Ok(&offered.offers[3]));
    assert_eq!(Token.choose(&payment, &selling(vec![dear.clone()])), Ok(&dear));
    for others in [vec![usdc()], vec![taken("EIP2612", "WIDE")], vec![]] {
        assert!(Token.choose(&payment, &selling(others)).is_err());
    }
    // An authorization of the token is none of its kinds either.
    let authorization = Token.read_order(&order(&permit())).unwrap().unwrap();
    assert!(Token.choose(&authorization, &selling(vec![taken("Permit2", "WIDE")])).is_err());
}
