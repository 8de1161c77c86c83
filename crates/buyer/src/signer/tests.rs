use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use alloy_primitives::hex;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use serde_json::json;

use super::*;

const TEXT: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

fn intent(kind: &str) -> TypedIntent {
    TypedIntent {
        sentence: "pay 0.01 USDC".to_owned(),
        typed_data: json!({ "primaryType": kind }),
        digest: *keccak256("digest"),
    }
}

/// A local signer never waits.
fn sign(signer: &LocalSigner, intent: &TypedIntent) -> Result<Vec<u8>, SignError> {
    match pin!(signer.sign(intent)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a local signer never waits"),
    }
}

#[test]
fn a_signature_recovers_to_the_account_has_low_s_and_is_the_same_every_time() {
    let half_order = hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");
    for _ in 0..20 {
        let signer = LocalSigner::random().unwrap();
        let intent = intent("TransferWithAuthorization");
        let signature = sign(&signer, &intent).unwrap();
        assert_eq!(signature, sign(&signer, &intent).unwrap());
        assert_eq!(signature.len(), 65);
        assert!(signature[32..64] <= half_order[..]);
        let id = RecoveryId::try_from(i32::from(signature[64]) - 27).unwrap();
        let recoverable = RecoverableSignature::from_compact(&signature[..64], id).unwrap();
        let public = SECP256K1.recover_ecdsa(Message::from_digest(intent.digest), &recoverable).unwrap();
        let hash = keccak256(&public.serialize_uncompressed()[1..]);
        assert_eq!(Address::from_slice(&hash[12..]), signer.address());
    }
}

#[test]
fn y19_typed_data_of_an_unknown_kind_is_not_signed() {
    let signer = LocalSigner::random().unwrap();
    for kind in ["Permit", "PermitBatch", "transferwithauthorization", ""] {
        assert!(matches!(sign(&signer, &intent(kind)), Err(SignError::Refused(_))), "{kind}");
    }
}

#[test]
fn y18_a_permit_without_a_sum_or_an_end_is_not_signed() {
    let signer = LocalSigner::random().unwrap();
    let everything = format!("{}", alloy_primitives::U256::MAX);
    let ask = |kind: &str, sum: &str, deadline: &str| {
        let message = json!({ "permitted": { "amount": sum }, "value": sum, "deadline": deadline });
        let typed_data = json!({ "primaryType": kind, "message": message });
        sign(&signer, &TypedIntent { typed_data, ..intent(kind) })
    };
    let much = (1_u128 << 127).to_string();
    for kind in ["Permit", "PermitTransferFrom"] {
        assert!(ask(kind, "10000", "1800000060").is_ok());
        assert!(ask(kind, &much, "1800000060").is_ok(), "the price is the policy's matter");
        for (sum, deadline) in [
            (everything.as_str(), "1800000060"),
            ("10000", everything.as_str()),
            ("10000", "18446744073709551615"),
            ("", "1800000060"),
            ("10000", ""),
            ("-1", "1800000060"),
        ] {
            assert!(
                matches!(ask(kind, sum, deadline), Err(SignError::Refused(_))),
                "{kind} {sum} {deadline}"
            );
        }
    }
    assert!(ask("PermitSingle", "10000", "1800000060").is_err());
}

#[test]
fn k08_neither_debug_nor_an_error_shows_the_key() {
    let signer = LocalSigner::from_hex(TEXT).unwrap();
    assert_eq!(format!("{signer:?}"), "LocalSigner(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266)");
    assert_eq!(signer.account(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    for broken in [&TEXT[..60], "", "0x", &format!("{TEXT}00"), &TEXT.replace('a', "z"), &"0".repeat(64)] {
        let error = LocalSigner::from_hex(broken).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("0974bec3"), "{error}");
    }
}

#[test]
fn k12_the_keys_of_development_chains_are_known() {
    assert!(is_published(LocalSigner::from_hex(TEXT).unwrap().address()));
    assert!(!is_published(LocalSigner::random().unwrap().address()));
}
