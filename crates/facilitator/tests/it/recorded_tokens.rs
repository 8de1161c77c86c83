//! What the real package of the token dialect said (`vectors/token`), from bytes to the account that signed.

use alloy_primitives::U256;
use groat_chain_evm::account;
use groat_chain_evm::permit::Permit;
use groat_chain_evm::proof::Proof;
use groat_chain_evm::typed_data::Domain;
use groat_core::{Network, Payment};
use groat_wire::Dialects;
use groat_wire::token::ID;
use http::HeaderMap;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};
use serde_json::Value;

use crate::permits::recorded::signer;

macro_rules! vector {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../../vectors/token/", $name))).unwrap()
    };
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// Every request and answer of the two recorded purchases.
fn exchanges() -> Vec<Value> {
    let all = [vector!("01-erc3009.json"), vector!("02-permit2.json")];
    let purchases = all.iter().flat_map(|file| file["purchases"].as_array().unwrap());
    purchases.flat_map(|purchase| purchase["exchanges"].as_array().unwrap().clone()).collect()
}

fn order(body: &str) -> Result<Payment, String> {
    let read = Dialects::standard().read_order(body.as_bytes());
    read.map_err(|error| error.to_string())?.ok_or_else(|| "no order".to_owned())
}

/// The signature is good for exactly the authorizer that the permit names.
fn is_signed(body: &str) {
    let payment = order(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let permit = serde_json::from_str::<Value>(body).unwrap()["permit"].clone();
    assert_eq!(payment.network, Network::eip155(84532));
    let proof = Proof::read(&payment.proof).unwrap();
    let asset = account::parse(text(&permit, "token")).unwrap();
    let domain = Domain { name: "USDC".into(), version: "2".into(), chain_id: 84532, asset };
    let bytes = alloy_primitives::hex::decode(text(&payment.proof, "signature")).unwrap();
    assert_eq!(bytes.len(), 65, "{body}");
    let id = RecoveryId::try_from(i32::from(bytes[64]) - 27).unwrap();
    let signature = RecoverableSignature::from_compact(&bytes[..64], id).unwrap();
    let digest = Message::from_digest(domain.digest(&proof.authorization).0);
    let key = SECP256K1.recover_ecdsa(digest, &signature).unwrap().serialize_uncompressed();
    let signer = alloy_primitives::Address::from_raw_public_key(&key[1..]);
    assert_eq!(Some(signer), account::parse(text(&permit, "authorizer")), "{body}");
}

#[test]
fn every_recorded_402_reads_as_the_offer_it_makes() {
    let mut answers: Vec<Value> = exchanges().iter().map(|exchange| exchange["response"].clone()).collect();
    answers.extend(
        vector!("05-access.json")["cases"].as_array().unwrap().iter().map(|case| case["response"].clone()),
    );
    let mut count = 0;
    for answer in answers.iter().filter(|answer| answer["status"] == 402) {
        let (dialect, challenge) = Dialects::standard()
            .read_challenge(&HeaderMap::new(), text(answer, "body").as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!((dialect, challenge.pass_at.as_deref()), (ID, Some("/token")));
        let [offer] = &challenge.offers[..] else { panic!("{challenge:?}") };
        assert_eq!((offer.network.as_str(), offer.amount.to_string().as_str()), ("eip155:84532", "10000"));
        assert_eq!(offer.pay_to, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
        assert_eq!((&offer.extra["name"], &offer.extra["version"]), (&"USDC".into(), &"2".into()));
        assert!(!challenge.error.is_empty());
        count += 1;
    }
    assert!(count >= 9, "{count}");
}

#[test]
fn every_recorded_permit_is_its_authorizers_also_without_leading_zeros() {
    let orders =
        exchanges().into_iter().filter(|exchange| text(&exchange["request"], "url").ends_with("/token"));
    let bodies: Vec<String> = orders
        .map(|exchange| text(&exchange["request"], "body").to_owned())
        .chain(
            vector!("03-short-signatures.json")["erc3009"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| text(one, "body").to_owned()),
        )
        .filter(|body| !body.contains("Permit2"))
        .collect();
    assert_eq!(bodies.len(), 7);
    bodies.iter().for_each(|body| is_signed(body));
}

#[test]
fn f086_every_recorded_permit2_is_its_owners() {
    let orders = exchanges()
        .into_iter()
        .map(|exchange| exchange["request"]["body"].as_str().unwrap_or_default().to_owned());
    let short = vector!("03-short-signatures.json")["permit2"].clone();
    let bodies: Vec<String> = orders
        .filter(|body| body.contains("\"Permit2\""))
        .chain(short.as_array().unwrap().iter().map(|one| text(one, "body").to_owned()))
        .collect();
    assert_eq!(bodies.len(), 3);
    for body in bodies {
        let permit = Permit::read(&order(&body).unwrap().proof).unwrap();
        // Above 2^53, where floating point numbers lose digits.
        assert!(permit.nonce > U256::from(1_u64 << 53));
        assert_eq!(signer(&permit), permit.owner, "{body}");
    }
}

#[test]
fn of_the_odd_requests_those_that_the_package_takes_are_read_and_the_others_never_break_us() {
    let file = vector!("04-token-answers.json");
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 34);
    for case in cases {
        let name = text(case, "name");
        let body = case["request"]["body"].as_str().unwrap_or_default();
        let read = order(body);
        match case["response"]["status"].as_u64() {
            // No client writes a float there.
            Some(200) if name.contains("float") => assert!(read.is_err(), "{name}"),
            Some(200) => is_signed(body),
            _ => {
                if let Err(error) = read {
                    assert!(!error.is_empty() && !error.contains("0x"), "{name}: {error}");
                }
            }
        }
    }
}

#[test]
fn every_recorded_token_reads_and_is_shown_to_nobody() {
    let mut answers: Vec<Value> = exchanges().iter().map(|exchange| exchange["response"].clone()).collect();
    answers.extend(
        vector!("04-token-answers.json")["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|case| case["response"].clone()),
    );
    let mut count = 0;
    for answer in answers.iter().filter(|answer| answer["status"].is_u64()) {
        let body = answer["body"].as_str().unwrap_or_default();
        let read = Dialects::standard().read_given(&ID, body.as_bytes());
        if !body.contains("access_token\"") {
            assert!(!matches!(read, Ok(Some(_))), "{body}");
            continue;
        }
        let given = read.unwrap().unwrap();
        assert_eq!((given.expires_in_s, given.token.split('.').count()), (Some(3_600), 2));
        // T10.
        assert!(!format!("{given:?}").contains(&given.token[..8]));
        count += 1;
    }
    assert!(count >= 14, "{count}");
}
