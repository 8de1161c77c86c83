//! What the official SDKs signed and hashed (`vectors/x402`), done again by us.
#![allow(clippy::unwrap_used, missing_docs)]

use alloy_primitives::{Address, Bytes, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolStruct};
use groat_chain_evm::abi::{Eip3009, Erc1271};
use groat_chain_evm::proof::{Proof, Signature};
use groat_chain_evm::typed_data::{Domain, TransferWithAuthorization};
use groat_chain_evm::{GasKey, account};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};

fn vector(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn vectors_01_and_02_the_same_authorization_gets_the_same_signature() {
    for file in [
        include_str!("../../../vectors/x402/01-exact-eip3009-v2.json"),
        include_str!("../../../vectors/x402/02-exact-eip3009-v1.json"),
    ] {
        let vector = vector(file);
        let proof = &vector["paymentPayload"]["payload"];
        let authorization = Proof::read(proof).unwrap().authorization;
        let signed = &vector["typedDataSigned"][0];
        let domain = Domain {
            name: text(&signed["domain"]["name"]).to_owned(),
            version: text(&signed["domain"]["version"]).to_owned(),
            chain_id: 84532,
            asset: account::parse(text(&signed["domain"]["verifyingContract"])).unwrap(),
        };
        let key: [u8; 32] =
            alloy_primitives::hex::decode(text(&vector["payerPrivateKey"])).unwrap().try_into().unwrap();
        assert_eq!(GasKey::from_bytes(key).unwrap().address(), authorization.from);
        assert_eq!(domain.separator().to_string(), text(&signed["domainSeparator"]));
        assert_eq!(domain.digest(&authorization).to_string(), text(&signed["digest"]));
        // RFC 6979: one digest and one key make one signature.
        let message = Message::from_digest(domain.digest(&authorization).0);
        let secret = SecretKey::from_byte_array(key).unwrap();
        let (recovery, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &secret).serialize_compact();
        let v = 27 + u8::try_from(i32::from(recovery)).unwrap();
        let signature = Bytes::from([&bytes[..], &[v]].concat());
        assert_eq!(signature.to_string(), text(&proof["signature"]));
        // And what is written is what they wrote.
        assert_eq!(Proof::write(&authorization, &signature), *proof);
    }
}

#[test]
fn vector_19_types_selectors_and_topics_are_those_of_the_standards() {
    let vector = vector(include_str!("../../../vectors/x402/19-hashes-and-create2.json"));
    let find = |list: &str, name: &str, signature: &str, hash: &str| {
        let rows = vector[list].as_array().unwrap();
        let row = rows.iter().find(|row| row[name] == signature);
        text(&row.unwrap_or_else(|| panic!("{signature}"))[hash]).to_owned()
    };
    let transfer = TransferWithAuthorization::eip712_encode_type();
    assert_eq!(find("typeHashes", "type", &transfer, "hash"), keccak256(transfer.as_bytes()).to_string());
    for (signature, selector) in [
        (
            Eip3009::transferWithAuthorization_0Call::SIGNATURE,
            Eip3009::transferWithAuthorization_0Call::SELECTOR,
        ),
        (
            Eip3009::transferWithAuthorization_1Call::SIGNATURE,
            Eip3009::transferWithAuthorization_1Call::SELECTOR,
        ),
        (Eip3009::authorizationStateCall::SIGNATURE, Eip3009::authorizationStateCall::SELECTOR),
        (Eip3009::balanceOfCall::SIGNATURE, Eip3009::balanceOfCall::SELECTOR),
        (Eip3009::nameCall::SIGNATURE, Eip3009::nameCall::SELECTOR),
        (Eip3009::versionCall::SIGNATURE, Eip3009::versionCall::SELECTOR),
        (Erc1271::isValidSignatureCall::SIGNATURE, Erc1271::isValidSignatureCall::SELECTOR),
    ] {
        assert_eq!(find("selectors", "signature", signature, "selector"), Bytes::from(selector).to_string());
    }
    for (signature, topic) in [
        (Eip3009::Transfer::SIGNATURE, Eip3009::Transfer::SIGNATURE_HASH),
        (Eip3009::AuthorizationUsed::SIGNATURE, Eip3009::AuthorizationUsed::SIGNATURE_HASH),
    ] {
        assert_eq!(find("events", "signature", signature, "topic0"), topic.to_string());
    }
}

#[test]
fn vector_19_an_erc6492_signature_is_taken_apart() {
    let vector = vector(include_str!("../../../vectors/x402/19-hashes-and-create2.json"));
    let example = &vector["erc6492Example"];
    let zero = account::text(Address::ZERO);
    let proof = json!({
        "authorization": {
            "from": zero, "to": zero, "value": "1", "validAfter": "0", "validBefore": "1",
            "nonce": format!("0x{}", "01".repeat(32)),
        },
        "signature": example["wrapped"],
    });
    let Signature::Counterfactual { factory, calldata, inner } = Proof::read(&proof).unwrap().signature
    else {
        panic!("a wrapped signature is expected")
    };
    assert_eq!(factory.to_string(), text(&example["factory"]));
    assert_eq!(calldata.to_string(), text(&example["factoryCalldata"]));
    assert_eq!(inner.to_string(), text(&example["innerSignature"]));
}
