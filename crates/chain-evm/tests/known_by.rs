//! What a payment is known by when only parts of it were kept, and who has signed a text.
#![allow(clippy::unwrap_used, missing_docs)]

use alloy_primitives::{Address, B256, U256, eip191_hash_message, hex};
use groat_chain_evm::ExactEvm;
use groat_chain_evm::proof::{Authorization, Proof};
use groat_core::offer::Ask;
use groat_core::payment::DialectId;
use groat_core::ports::Mechanism;
use groat_core::{Network, Payment, Price, Terms};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::Map;

const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

fn network() -> Network {
    Network::parse("eip155:84532").unwrap()
}

#[test]
fn f079_r06_token_payer_and_nonce_name_the_payment_that_the_whole_of_it_is() {
    let exact = ExactEvm::offline();
    let terms = Terms {
        scheme: "exact".into(),
        network: network(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        price: Ask::Price(Price::parse("$0.01").unwrap()),
        timeout_s: 60,
    };
    let offer = exact.offer(&terms).unwrap().unwrap();
    let authorization = Authorization {
        from: PAYER.parse().unwrap(),
        to: Address::repeat_byte(2),
        value: U256::from(10_000),
        valid_after: U256::ZERO,
        valid_before: U256::from(1_893_456_000),
        nonce: B256::repeat_byte(0xab),
    };
    let payment = Payment {
        dialect: DialectId::new("token"),
        scheme: "exact".into(),
        network: network(),
        proof: Proof::write(&authorization, &[7; 65]),
        accepted: None,
        resource: None,
        extensions: Map::new(),
    };
    let (key, _) = exact.key(&payment, &offer).unwrap();
    let nonce = format!("0x{}", "ab".repeat(32));
    let find = |asset: &str, payer: &str, nonce: &str| exact.key_of(&network(), asset, payer, nonce);
    for nonce in [&nonce, &format!("0x{}", "AB".repeat(32))] {
        for payer in [PAYER, &PAYER.to_lowercase(), &format!("0x{}", PAYER[2..].to_uppercase())] {
            assert_eq!(find(&offer.asset, payer, nonce), Ok(Some(key)), "{payer} {nonce}");
            assert_eq!(find(&offer.asset.to_lowercase(), payer, nonce), Ok(Some(key)));
        }
    }
    // Another of the three is another payment, and what cannot be read is none.
    assert_ne!(find(PAYER, PAYER, &nonce), Ok(Some(key)));
    assert_ne!(find(&offer.asset, &offer.asset, &nonce), Ok(Some(key)));
    assert_ne!(find(&offer.asset, PAYER, &format!("0x{}", "ac".repeat(32))), Ok(Some(key)));
    let mistyped = PAYER.replace('C', "c");
    for (payer, nonce) in [
        (mistyped.as_str(), nonce.as_str()),
        ("", &nonce),
        (&PAYER[2..], &nonce),
        (PAYER, &nonce[2..]),
        (PAYER, &nonce[..64]),
        (PAYER, &format!("{nonce}00")),
        (PAYER, "0x"),
        (PAYER, &nonce.replace('b', "g")),
    ] {
        assert!(find(&offer.asset, payer, nonce).is_err(), "{payer} {nonce}");
    }
    assert_eq!(exact.key_of(&Network::parse("ledger:main").unwrap(), "USD", PAYER, &nonce), Ok(None));
}

#[test]
fn a_text_is_signed_by_the_account_whose_wallet_did_and_in_one_form() {
    // The first account of every development chain, and what its wallet signs for `hello`.
    let secret = hex!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d");
    let key = SecretKey::from_byte_array(secret).unwrap();
    let message = Message::from_digest(eip191_hash_message("hello").0);
    let (id, compact) = SECP256K1.sign_ecdsa_recoverable(message, &key).serialize_compact();
    let signature = |v: u8| format!("0x{}{v:02x}", hex::encode(compact));
    let (exact, good) = (ExactEvm::offline(), signature(27 + i32::from(id) as u8));
    assert!(exact.has_signed(PAYER, "hello", &good));
    assert!(exact.has_signed(&PAYER.to_lowercase(), "hello", &good.to_uppercase().replace("0X", "0x")));
    assert!(!exact.has_signed(PAYER, "hello!", &good));
    assert!(!exact.has_signed("0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "hello", &good));
    for bad in
        ["", "0x", &good[2..], &good[..130], &format!("{good}00"), &signature(28 - i32::from(id) as u8)]
    {
        assert!(!exact.has_signed(PAYER, "hello", bad), "{bad}");
    }
    for nobody in ["", "0x", "0x0000000000000000000000000000000000000000"] {
        assert!(!exact.has_signed(nobody, "hello", &good), "{nobody}");
        assert!(!exact.has_signed(nobody, "hello", ""), "{nobody}");
    }
}
