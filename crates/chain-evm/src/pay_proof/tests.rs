//! The vector of the profile, every algorithm, and what nobody signed.

use alloy_primitives::{U256, address, b256, hex};
use alloy_sol_types::SolValue;
use proptest::prelude::*;
use secp256k1::{Message, SECP256K1, SecretKey};

use super::*;

/// The second well-known development key.
const KEY: [u8; 32] = hex!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d");
const ISSUER: Address = address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
/// The order of the curve.
const ORDER: U256 =
    U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
/// `{"typ":"JWT","alg":"ES256K"}` and the claims of the vector, as base64url.
const INPUT: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NksifQ.\
    eyJpc3MiOiIweDcwOTk3OTcwQzUxODEyZGMzQTAxMEM3ZDAxYjUwZTBkMTdkYzc5QzgiLCJzdWIiOiJwYXlfMDFKOFI0WDJaMDAwMDAwMDAwMD\
    AwMDAwMEEiLCJhbW91bnQiOiIwLjAxIiwiY3VycmVuY3kiOiJVU0RDIiwiY2hhaW4iOiJiYXNlIiwidHgiOiIweGFiYWJhYmFiYWJhYmFiYWJh\
    YmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWIiLCJpYXQiOjE3MzU5MTkwMDAsImV4cCI6MTczNTkyMDAwMH\
    0";
const VECTOR: [u8; 64] = hex!(
    "0507b7d32a0b21095868a78b88185bbfab64b927a23ec1eff17f4b36436ec3c9"
    "4de3d27254c97efdbf2965ca1067d2567639b2d12c78f020e6c51411533805fd"
);
const TX: &str = "0xabababababababababababababababababababababababababababababababab";

fn claims() -> Claims<'static> {
    Claims {
        iss: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        sub: "pay_01J8R4X2Z0000000000000000A",
        amount: "0.01",
        currency: "USDC",
        chain: "base",
        tx: TX,
        iat: 1_735_919_000,
        exp: 1_735_920_000,
        ..Claims::default()
    }
}

fn proof<'p>(algorithm: &'p str, signature: &'p [u8]) -> PayProof<'p> {
    PayProof { algorithm, signing_input: INPUT, signature, claims: claims(), chain_id: 8453 }
}

/// r, s and a recovery value of 27 or 28.
fn sign(key: [u8; 32], digest: B256) -> [u8; 65] {
    let key = SecretKey::from_byte_array(key).unwrap();
    let (id, half) =
        SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &key).serialize_compact();
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&half);
    bytes[64] = 27 + u8::try_from(i32::from(id)).unwrap();
    bytes
}

fn digest(algorithm: &str) -> B256 {
    Signing::of(algorithm).unwrap().digest(INPUT, &claims(), 8453)
}

/// The same signature with s on the other side of the order.
fn twin(mut signature: [u8; 65]) -> [u8; 65] {
    let s = ORDER - U256::from_be_slice(&signature[32..64]);
    signature[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    signature[64] = 55 - signature[64];
    signature
}

#[test]
fn the_vector_of_the_profile() {
    let expected = b256!("0x38b122b3b585ef02bf74085549fa682c178f39ebcf53435435600e2f0bd64327");
    assert_eq!(digest("ES256K"), expected);
    let personal = b256!("0xa182f1521b23c0973a18f0ae40a5b8b459542e262a90ce91ed2b10c4670f819f");
    assert_eq!(digest("EIP191"), personal);
    let found = recover::candidates(expected, &VECTOR, true).unwrap();
    assert_eq!((found.len(), found[0]), (2, ISSUER));
    let other = hex::encode(found[1]);
    assert!(other.starts_with("2238cf2f") && other.ends_with("4efca5"), "{other}");
    assert_eq!(verify(&proof("ES256K", &VECTOR)), Ok(Signer::Account(ISSUER)));
    // Our own signer makes the same bytes (RFC 6979).
    assert_eq!(sign(KEY, expected)[..64], VECTOR);
}

#[test]
fn every_algorithm_of_a_plain_account_says_who_signed() {
    for algorithm in ["ES256K", "ES256K-R", "EIP191", "EIP712"] {
        let signature = sign(KEY, digest(algorithm));
        for good in [signature, twin(signature)] {
            let mut short = good;
            short[64] -= 27;
            for bytes in [&good[..], &short[..]] {
                assert_eq!(verify(&proof(algorithm, bytes)), Ok(Signer::Account(ISSUER)), "{algorithm}");
            }
            let mut wrong = good;
            wrong[64] = 55 - wrong[64];
            assert_eq!(
                verify(&proof(algorithm, &wrong)),
                Err(PayProofError::NotTheIssuer),
                "the other parity"
            );
            let only =
                if algorithm == "ES256K" { Ok(Signer::Account(ISSUER)) } else { Err(PayProofError::Shape) };
            assert_eq!(verify(&proof(algorithm, &good[..64])), only, "{algorithm} without a recovery value");
        }
    }
}

#[test]
fn t01_t02_other_algorithms_are_none() {
    for algorithm in ["none", "", "HS256", "ES256", "es256k", "ES256K ", "RS256"] {
        assert_eq!(verify(&proof(algorithm, &VECTOR)), Err(PayProofError::Algorithm), "{algorithm:?}");
    }
}

#[test]
fn t03_bytes_that_are_no_signature() {
    let good = sign(KEY, digest("ES256K"));
    let with = |at: std::ops::Range<usize>, bytes: &[u8]| {
        let mut changed = good;
        changed[at].copy_from_slice(bytes);
        changed.to_vec()
    };
    let order = ORDER.to_be_bytes::<32>();
    for bad in [
        vec![],
        good[..63].to_vec(),
        [&good[..], &[0]].concat(),
        vec![0; 64],
        vec![0; 65],
        vec![0xff; 64],
        with(0..32, &[0; 32]),
        with(32..64, &[0; 32]),
        with(0..32, &order),
        with(32..64, &order),
        with(64..65, &[2]),
        with(64..65, &[3]),
        with(64..65, &[26]),
        with(64..65, &[29]),
        // DER of the same numbers.
        [&hex!("30440220")[..], &good[..32], &hex!("0220")[..], &good[32..64]].concat(),
    ] {
        assert_eq!(verify(&proof("ES256K", &bad)), Err(PayProofError::Shape), "{}", hex::encode(&bad));
    }
}

#[test]
fn a_point_beyond_the_order_is_found_where_it_can_be() {
    let expected = digest("ES256K");
    // Small r, so that r + n is below the size of the field.
    let small = (1u8..=255).find_map(|r| {
        let mut signature = [0; 64];
        (signature[31], signature[63]) = (r, 1);
        let found = recover::candidates(expected, &signature, true).unwrap();
        // x = r is no point of the curve and x = r + n is one: the candidates are those of the values 2 and 3.
        let mut plain = [0; 65];
        plain[..64].copy_from_slice(&signature);
        let low = recover::candidates(expected, &plain, false).unwrap();
        (low.is_empty() && found.len() == 2).then_some((signature, found))
    });
    let (signature, found) = small.unwrap();
    for account in found {
        let text = account.to_checksum(None);
        let proof = PayProof { claims: Claims { iss: &text, ..claims() }, ..proof("ES256K", &signature) };
        assert_eq!(verify(&proof), Ok(Signer::Account(account)));
    }
}

#[test]
fn t04_only_the_account_of_iss_can_have_signed() {
    let signature = sign([9; 32], digest("ES256K"));
    assert_eq!(verify(&proof("ES256K", &signature)), Err(PayProofError::NotTheIssuer));
    assert_eq!(verify(&proof("ES256K", &signature[..64])), Err(PayProofError::NotTheIssuer));
    let iss = |iss| PayProof { claims: Claims { iss, ..claims() }, ..proof("ES256K", &VECTOR) };
    for good in [
        "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
        "eip155:8453:0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "did:pkh:eip155:8453:0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    ] {
        assert_eq!(verify(&iss(good)), Ok(Signer::Account(ISSUER)), "{good}");
    }
    for bad in
        ["", ":", "0x0000000000000000000000000000000000000000", "0x70997970c51812dc3A010C7d01b50e0d17dc79C8"]
    {
        assert_eq!(verify(&iss(bad)), Err(PayProofError::Issuer), "{bad}");
    }
}

#[test]
fn the_right_key_over_the_wrong_digest_is_told_so() {
    let keccak = sign(KEY, digest::keccak(INPUT));
    let hint = "keccak256 of the signing input";
    assert_eq!(verify(&proof("ES256K", &keccak)), Err(PayProofError::DigestMismatch(hint)));
    assert_eq!(verify(&proof("ES256K", &keccak[..64])), Err(PayProofError::DigestMismatch(hint)));
    for named in ["ES256K", "EIP191", "EIP712"] {
        for signed in ["ES256K", "EIP191", "EIP712"] {
            let signature = sign(KEY, digest(signed));
            let expected = if named == signed {
                Ok(Signer::Account(ISSUER))
            } else {
                Err(PayProofError::DigestMismatch(signed))
            };
            assert_eq!(verify(&proof(named, &signature)), expected, "{named} {signed}");
        }
    }
    let words = PayProofError::DigestMismatch(hint).to_string();
    assert!(words.starts_with("digest_mismatch"), "{words}");
}

#[test]
fn typed_data_covers_every_claim_and_the_chain() {
    let signature = sign(KEY, digest("EIP712"));
    let base = proof("EIP712", &signature);
    let changed = [
        Claims { sub: "pay_other", ..claims() },
        Claims { amount: "0.010", ..claims() },
        Claims { currency: "USDT", ..claims() },
        Claims { chain: "eip155:8453", ..claims() },
        Claims { tx: "0x", ..claims() },
        Claims { iat: 0, ..claims() },
        Claims { exp: u64::MAX, ..claims() },
        Claims { nonce: "n", ..claims() },
        Claims { aud: "a", ..claims() },
        Claims { htm: "GET", ..claims() },
        Claims { htu: "u", ..claims() },
        Claims { jti: "j", ..claims() },
    ];
    for claims in changed {
        assert_eq!(verify(&PayProof { claims, ..base }), Err(PayProofError::NotTheIssuer), "{claims:?}");
    }
    assert_eq!(verify(&PayProof { chain_id: 1, ..base }), Err(PayProofError::NotTheIssuer));
    // The text of the token is not what was signed.
    assert_eq!(verify(&PayProof { signing_input: "a.b", ..base }), Ok(Signer::Account(ISSUER)));
}

#[test]
fn a_contract_is_asked_about_the_digest_of_the_token() {
    let question = |signature: &[u8]| match verify(&proof("ERC1271", signature)) {
        Ok(Signer::AskChain(question)) => question,
        other => panic!("{other:?}"),
    };
    // A good signature of a key says nothing about a contract.
    for signature in [&VECTOR[..], &[7; 65], &[7; 300]] {
        let asked = question(signature);
        assert_eq!((asked.account, asked.digest), (ISSUER, digest("ES256K")));
        assert_eq!((&asked.signature[..], asked.deploy), (signature, None));
    }
    let factory = Address::repeat_byte(5);
    let wrapped = (factory, Bytes::from_static(b"deploy"), Bytes::from_static(b"inner")).abi_encode_params();
    let asked = question(&[wrapped, [0x64, 0x92].repeat(16)].concat());
    assert_eq!(asked.deploy, Some((factory, Bytes::from_static(b"deploy"))));
    assert_eq!(&asked.signature[..], b"inner");
    let empty = [0x64, 0x92].repeat(16);
    assert_eq!(verify(&proof("ERC1271", &empty)), Err(PayProofError::Shape));
    assert_eq!(verify(&proof("ERC1271", &[])), Err(PayProofError::Shape));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_none_are_a_signature_by_chance(
        algorithm in "ES256K|ES256K-R|EIP191|EIP712",
        signature in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..70),
            proptest::collection::vec(any::<u8>(), 64..=65),
        ],
    ) {
        prop_assert!(verify(&proof(&algorithm, &signature)).is_err());
    }

    #[test]
    fn who_signs_is_who_is_found(key in 1u8.., text in "\\PC{0,60}", algorithm in "ES256K|ES256K-R|EIP191|EIP712") {
        let key = [key; 32];
        prop_assume!(SecretKey::from_byte_array(key).is_ok());
        let account = address_of_key(key).to_checksum(None);
        let claims = Claims { iss: &account, sub: &text, ..claims() };
        let digest = Signing::of(&algorithm).unwrap().digest(&text, &claims, 1);
        let signature = sign(key, digest);
        let proof = PayProof { algorithm: &algorithm, signing_input: &text, signature: &signature, claims, chain_id: 1 };
        prop_assert_eq!(verify(&proof), Ok(Signer::Account(account.parse().unwrap())));
    }
}

fn address_of_key(key: [u8; 32]) -> Address {
    let key = SecretKey::from_byte_array(key).unwrap();
    crate::gas_key::address_of(&key.public_key(SECP256K1))
}
