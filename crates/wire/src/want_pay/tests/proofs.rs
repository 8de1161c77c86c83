//! Proofs: the vector of the profile, what is no token, and what does not fit the request.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::want_pay::Code;
use crate::want_pay::proof::{Algorithm, Audience, Proof, ProofError, Strictness, signing_input, token};
use crate::want_pay::request::PaymentRequest;

const SIGNATURE: &str =
    "BQe30yoLIQlYaKeLiBhbv6tkuSeiPsHv8X9LNkNuw8lN49JyVMl-_b8pZcoQZ9JWdjmy0Sx48CDmxRQRUzgF_Q";

fn request() -> PaymentRequest {
    PaymentRequest::read(include_bytes!("../../../../../docs/spec/payment-request.sample.json")).unwrap()
}

fn vector() -> String {
    format!("{}.{SIGNATURE}", signing_input(Algorithm::Es256k, &claims()))
}

fn forged(header: Value, payload: &str, signature: usize) -> Result<Proof, ProofError> {
    let parts = [header.to_string().into_bytes(), payload.as_bytes().to_vec(), vec![1; signature]];
    Proof::read(&parts.map(|part| BASE64.encode(part)).join("."))
}

fn header() -> Value {
    json!({"typ": "JWT", "alg": "ES256K"})
}

fn payload() -> Map<String, Value> {
    serde_json::to_value(claims()).unwrap().as_object().unwrap().clone()
}

fn with(key: &str, value: Value) -> Result<Proof, ProofError> {
    let mut payload = payload();
    payload.insert(key.into(), value);
    forged(header(), &Value::Object(payload).to_string(), 64)
}

#[test]
fn the_vector_of_the_profile() {
    let token = vector();
    assert_eq!(token.len(), 457);
    let header = BASE64.decode(token.split('.').next().unwrap()).unwrap();
    assert_eq!(header, br#"{"typ":"JWT","alg":"ES256K"}"#);
    let digest = ring::digest::digest(&ring::digest::SHA256, token.rsplit_once('.').unwrap().0.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "38b122b3b585ef02bf74085549fa682c178f39ebcf53435435600e2f0bd64327");
    let proof = Proof::read(&token).unwrap();
    assert_eq!((proof.algorithm, &proof.claims, proof.signature.len()), (Algorithm::Es256k, &claims(), 64));
    assert_eq!(super::super::proof::token(Algorithm::Es256k, &claims(), &proof.signature).unwrap(), token);
    assert_eq!(proof.check(&request(), &HERE, Strictness::Profile, NOW), Ok(()));
}

#[test]
fn t01_t02_no_algorithm_but_ours_and_no_key_from_the_token() {
    let payload = Value::Object(payload()).to_string();
    for alg in
        [json!("none"), json!("None"), json!("HS256"), json!("ES256"), json!("es256k"), json!(null), json!(1)]
    {
        let error = forged(json!({"typ": "JWT", "alg": alg}), &payload, 64).unwrap_err();
        assert_eq!((&error, error.code()), (&ProofError::Algorithm, Code::InvalidProof), "{alg}");
    }
    assert_eq!(forged(json!({"typ": "JWT"}), &payload, 64).unwrap_err(), ProofError::Algorithm);
    for member in ["crit", "b64", "zip", "jku", "jwk", "x5u", "x5c"] {
        let mut header = header();
        header[member] = json!(["x"]);
        assert!(matches!(forged(header, &payload, 64), Err(ProofError::Malformed(_))), "{member}");
    }
    assert!(forged(json!({"typ": "at+jwt", "alg": "ES256K"}), &payload, 64).is_err());
    // A key id is a name that nobody looks up.
    assert!(forged(json!({"alg": "ES256K", "kid": "../../etc/passwd"}), &payload, 64).is_ok());
}

#[test]
fn t03_a_signature_has_the_length_of_its_algorithm() {
    let payload = Value::Object(payload()).to_string();
    let taken = |alg: &str, size| forged(json!({"typ": "JWT", "alg": alg}), &payload, size).is_ok();
    for size in [0, 1, 63, 64, 65, 66, 71, 500] {
        assert_eq!(taken("ES256K", size), size == 64 || size == 65, "{size}");
        for alg in ["ES256K-R", "EIP191", "EIP712"] {
            assert_eq!(taken(alg, size), size == 65, "{alg} {size}");
        }
        assert_eq!(taken("ERC1271", size), size > 0, "{size}");
    }
}

#[test]
fn t09_duplicates_and_tricks_of_encoding_are_refused() {
    let payload = Value::Object(payload()).to_string();
    let twice = payload.replacen("\"sub\":", "\"sub\":\"pay_x\",\"sub\":", 1);
    assert!(matches!(forged(header(), &twice, 64), Err(ProofError::Malformed(_))));
    let escaped = payload.replacen("\"sub\":", "\"s\\u0075b\":\"pay_x\",\"sub\":", 1);
    assert!(forged(header(), &escaped, 64).is_err());
    let parts: Vec<String> = vector().split('.').map(str::to_owned).collect();
    let (header, payload, signature) = (&parts[0], &parts[1], &parts[2]);
    for bad in [
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{}", signature.replacen('-', "+", 1)),
        format!("{header}=.{payload}.{signature}"),
        // The same bytes by other bits at the end.
        format!("{header}.{payload}.{}", signature.replacen("F_Q", "F_R", 1)),
        format!("{header}.{}.{signature}", BASE64.encode("[]")),
        format!("{header}.{}.{signature}", BASE64.encode(format!("{} {{}}", Value::Object(self::payload())))),
        format!("{header}.{payload}. {signature}"),
        String::new(),
        "..".to_owned(),
        "a".repeat(4_097),
    ] {
        assert_eq!(Proof::read(&bad).unwrap_err().code(), Code::InvalidProof, "{bad}");
    }
    assert!(Proof::read(&parts.join(".")).is_ok());
}

#[test]
fn t06_times_are_whole_seconds_that_are_there() {
    for key in ["iat", "exp"] {
        for bad in [json!(1.5), json!(1e9), json!("1735919000"), json!(-1), json!(null), json!(true)] {
            assert!(matches!(with(key, bad.clone()), Err(ProofError::Malformed(_))), "{key} {bad}");
        }
    }
    for key in ["iss", "sub", "amount", "currency", "chain", "tx", "iat", "exp"] {
        let mut payload = payload();
        payload.remove(key);
        assert!(forged(header(), &Value::Object(payload).to_string(), 64).is_err(), "{key}");
    }
    for (key, bad) in [
        ("iss", json!("vitalik.eth")),
        ("iss", json!("did:key:z6Mk")),
        (
            "iss",
            json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJpyyigGzodYwHtCxZyUQe9JiBMHyRWXArAaKv"),
        ),
        ("amount", json!(0.01)),
        ("amount", json!("1e-2")),
        ("tx", json!("0xabc")),
        ("tx", json!("ab".repeat(32))),
        ("chain", json!("atlantis")),
        ("nonce", json!("")),
        ("aud", json!([])),
        ("aud", json!([1])),
    ] {
        assert!(with(key, bad.clone()).is_err(), "{key} {bad}");
    }
}

#[test]
fn b17_t04_t05_claims_that_do_not_fit_the_request_are_named() {
    let (request, profile) = (request(), Strictness::Profile);
    let check = |key: &str, value: Value| with(key, value).unwrap().check(&request, &HERE, profile, NOW);
    let account = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    for (key, good) in [
        ("amount", json!("0.0100")),
        ("currency", json!("usdc")),
        ("chain", json!("eip155:8453")),
        ("tx", json!(format!("0x{}", "AB".repeat(32)))),
        ("iss", json!(account.to_lowercase())),
        ("iss", json!(format!("eip155:8453:{account}"))),
        ("iss", json!(format!("did:pkh:eip155:8453:{account}"))),
        ("nonce", json!(request.nonce)),
        ("aud", json!(HERE.origin)),
        ("aud", json!(["https://other.example", HERE.origin])),
        ("htm", json!("GET")),
        ("htu", json!(HERE.url)),
        ("jti", json!("anything")),
        ("stranger", json!({"a": 1})),
        ("exp", json!(request.expires.0 + 300)),
        ("iat", json!(NOW.0 + 60)),
    ] {
        assert_eq!(check(key, good.clone()), Ok(()), "{key} {good}");
    }
    for (key, bad) in [
        ("amount", json!("0.011")),
        ("currency", json!("USDT")),
        ("chain", json!("base-sepolia")),
        ("iss", json!(format!("eip155:1:{account}"))),
        ("iss", json!(format!("did:pkh:eip155:84532:{account}"))),
        ("nonce", json!("fedcba9876543210fedcba9876543210")),
        ("aud", json!("https://other.example")),
        ("aud", json!(["https://other.example"])),
        ("htm", json!("POST")),
        ("htu", json!("https://api.example.com/forecast")),
        ("exp", json!(request.expires.0 + 301)),
        ("iat", json!(NOW.0 + 61)),
        ("iat", json!(request.expires.0)),
    ] {
        let error = check(key, bad.clone()).unwrap_err();
        assert!(matches!(&error, ProofError::ClaimsMismatch(claim) if *claim == key), "{key} {bad}: {error}");
        assert_eq!(error.code().as_str(), "claims_mismatch");
    }
    // Good for more than an hour.
    let error = check("iat", json!(request.expires.0 - 3_601)).unwrap_err();
    assert_eq!(error, ProofError::ClaimsMismatch("exp"));
    assert_eq!(check("sub", json!("pay_other")), Err(ProofError::UnknownRequest));
    assert_eq!(check("exp", json!(NOW.0)), Err(ProofError::Expired));
    let late = Proof::read(&vector()).unwrap().check(&request, &HERE, profile, request.expires.plus(300));
    assert_eq!(late.unwrap_err().code().as_str(), "expired");
}

#[test]
fn the_strict_profile_wants_the_nonce() {
    let proof = Proof::read(&vector()).unwrap();
    let strict = proof.check(&request(), &HERE, Strictness::Strict, NOW);
    assert_eq!(strict, Err(ProofError::ClaimsMismatch("nonce")));
    let proof = with("nonce", json!(request().nonce)).unwrap();
    assert_eq!(proof.check(&request(), &HERE, Strictness::Strict, NOW), Ok(()));
}

#[test]
fn who_paid_and_by_what_is_read_from_every_spelling() {
    let account = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    for iss in [account.to_owned(), format!("eip155:1:{account}"), format!("did:pkh:eip155:8453:{account}")] {
        assert_eq!(with("iss", json!(iss)).unwrap().claims.payer(), Some(account), "{iss}");
    }
    let proof = with("tx", json!(format!("0x{}", "AB".repeat(32)))).unwrap();
    assert_eq!(proof.claims.tx_hash(), Some(format!("0x{}", "ab".repeat(32))));
}

#[test]
fn a_buyer_builds_what_a_seller_takes_and_nothing_else() {
    let full = Claims {
        nonce: Some(request().nonce),
        aud: Some(Audience::One(HERE.origin.into())),
        htm: Some("GET".into()),
        htu: Some(HERE.url.into()),
        jti: Some("1".into()),
        ..claims()
    };
    for (algorithm, size) in [
        (Algorithm::Es256k, 64),
        (Algorithm::Es256k, 65),
        (Algorithm::Es256kR, 65),
        (Algorithm::Eip191, 65),
        (Algorithm::Eip712, 65),
        (Algorithm::Erc1271, 200),
    ] {
        let token = token(algorithm, &full, &vec![7; size]).unwrap();
        let proof = Proof::read(&token).unwrap();
        assert_eq!((proof.algorithm, &proof.claims), (algorithm, &full));
        assert_eq!(proof.check(&request(), &HERE, Strictness::Strict, NOW), Ok(()));
    }
    assert!(token(Algorithm::Es256k, &full, &[7; 63]).is_err());
    let wrong = Claims { iss: "me".into(), ..claims() };
    assert!(token(Algorithm::Es256k, &wrong, &[7; 64]).is_err());
    let several = Claims { aud: Some(Audience::Several(vec![HERE.origin.into()])), ..claims() };
    assert!(token(Algorithm::Eip712, &several, &[7; 65]).is_err(), "typed data has one audience");
    assert!(token(Algorithm::Es256k, &several, &[7; 65]).is_ok());
    let typed = full.typed().unwrap();
    assert_eq!(typed.texts[5], full.tx);
    assert_eq!(typed.more, [request().nonce.as_str(), HERE.origin, "GET", HERE.url, "1"]);
}

proptest! {
    #[test]
    fn no_token_makes_the_reader_panic(
        text in "\\PC{0,120}",
        header in r#"\{("alg":"(ES256K|none|EIP712)"|"typ":"JWT"|,|"crit":\[\]){0,4}\}"#,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let _ = Proof::read(&text);
        let mut payload = Value::Object(payload()).to_string().into_bytes();
        for (place, byte) in changes {
            let place = place.index(payload.len());
            payload[place] = byte;
        }
        let read = Proof::read(&[header.as_bytes(), &payload, &[1; 65]].map(|part| BASE64.encode(part)).join("."));
        if let Ok(proof) = read {
            let _ = proof.check(&request(), &HERE, Strictness::Profile, NOW);
            prop_assert!(proof.claims.payer().is_some() && proof.claims.network().is_some());
        }
    }
}
