//! The field `Pay` and the proof in it: one reading, the algorithms of the profile alone, and a payer who is looked for
//! without a panic.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use groat_chain_evm::pay_proof::{PayProof, digest, verify};
use groat_wire::want_pay::pay_header;
use groat_wire::want_pay::proof::{Proof, token};
use groat_wire::{Dialects, WireError};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// The value of the field.
pub fn target(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("pay"), value);
    match Dialects::standard().read_payment(&headers) {
        Ok(Some(payment)) => {
            let shown = payment.proof["token"].as_str().unwrap();
            assert_eq!(pay_header::read(&headers).unwrap(), Some(shown));
            judged(shown);
            // It reads back as itself.
            let mut again = HeaderMap::new();
            Dialects::standard().write_payment(&payment, &mut again).unwrap();
            assert_eq!(Dialects::standard().read_payment(&again).unwrap().unwrap().proof, payment.proof);
        }
        Ok(None) => panic!("the field is there"),
        Err(error) => {
            assert_eq!(error.code(), "invalid_proof", "{error:?}");
            assert!(matches!(error, WireError::Malformed { .. }));
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }
}

fn judged(shown: &str) {
    let proof = Proof::read(shown).unwrap();
    let parts: Vec<&str> = shown.split('.').collect();
    assert_eq!((parts.len(), proof.signing_input.as_str()), (3, shown.rsplit_once('.').unwrap().0));
    let part = |at: usize| serde_json::from_slice::<Value>(&BASE64.decode(parts[at]).unwrap()).unwrap();
    let (header, payload) = (part(0), part(1));
    assert!(["ES256K", "ES256K-R", "EIP191", "EIP712", "ERC1271"].contains(&header["alg"].as_str().unwrap()));
    for name in ["crit", "b64", "zip", "jku", "jwk", "x5u", "x5c", "x5t"] {
        assert!(header.get(name).is_none(), "{name}");
    }
    assert_eq!(payload["sub"], proof.claims.sub);
    assert_eq!(payload["exp"].as_u64(), Some(proof.claims.exp));
    if let Ok(token) = token(proof.algorithm, &proof.claims, &proof.signature) {
        assert_eq!(Proof::read(&token).unwrap().claims, proof.claims);
    }
    let claims = digest::Claims { iss: &proof.claims.iss, sub: &proof.claims.sub, ..Default::default() };
    let (algorithm, signing_input) = (proof.algorithm.as_str(), proof.signing_input.as_str());
    let _ =
        verify(&PayProof { algorithm, signing_input, signature: &proof.signature, claims, chain_id: 8453 });
}
