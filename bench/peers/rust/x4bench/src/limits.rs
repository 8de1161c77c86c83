//! What one core can do, measured in thread CPU time so that a busy neighbour does not count.
use crate::pay;
use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_sol_types::{Eip712Domain, SolStruct};
use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use std::hint::black_box;

#[derive(Args)]
pub struct LimitsArgs {
    /// Rounds per item; the median is printed
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

fn cpu_now() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec to write to
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

fn bench(name: &str, rounds: usize, mut f: impl FnMut()) {
    let mut per_s: Vec<f64> = (0..rounds)
        .map(|_| {
            let (start, mut n) = (cpu_now(), 0u64);
            loop {
                for _ in 0..16 {
                    f();
                }
                n += 16;
                let t = cpu_now() - start;
                if t > 0.3 {
                    break n as f64 / t;
                }
            }
        })
        .collect();
    per_s.sort_by(f64::total_cmp);
    let mid = per_s[rounds / 2];
    println!(
        "{}",
        json!({ "kind": "limit", "label": name, "per_core_s": mid.round(), "us": 1e6 / mid,
        "spread": (per_s[rounds - 1] - per_s[0]) / mid })
    );
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    payment_payload: Payload<'a>,
}
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    payload: Inner<'a>,
}
#[derive(Deserialize)]
struct Inner<'a> {
    signature: &'a str,
    #[serde(borrow)]
    authorization: Auth<'a>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth<'a> {
    from: &'a str,
    to: &'a str,
    value: &'a str,
    valid_after: &'a str,
    valid_before: &'a str,
    nonce: &'a str,
}

fn parse(body: &[u8]) -> (pay::TransferWithAuthorization, [u8; 65]) {
    let b: Body = serde_json::from_slice(body).expect("body");
    let a = b.payment_payload.payload.authorization;
    let auth = pay::TransferWithAuthorization {
        from: a.from.parse().expect("from"),
        to: a.to.parse().expect("to"),
        value: U256::from(a.value.parse::<u128>().expect("value")),
        validAfter: U256::from(a.valid_after.parse::<u64>().expect("after")),
        validBefore: U256::from(a.valid_before.parse::<u64>().expect("before")),
        nonce: a.nonce.parse().expect("nonce"),
    };
    let mut sig = [0; 65];
    alloy_primitives::hex::decode_to_slice(b.payment_payload.payload.signature, &mut sig).expect("sig");
    (auth, sig)
}

fn recover_c(digest: &B256, sig: &[u8; 65]) -> Address {
    use secp256k1::{
        Message, SECP256K1,
        ecdsa::{RecoverableSignature, RecoveryId},
    };
    let id = RecoveryId::try_from(i32::from(sig[64].saturating_sub(27) & 1)).expect("id");
    let s = RecoverableSignature::from_compact(&sig[..64], id).expect("sig");
    let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &s).expect("recover");
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

fn recover_rust(digest: &B256, sig: &[u8; 65]) -> Address {
    Signature::from_raw(sig).expect("sig").recover_address_from_prehash(digest).expect("recover")
}

fn hash(domain_separator: &B256, auth: &pay::TransferWithAuthorization) -> B256 {
    let mut buf = [0u8; 66];
    buf[..2].copy_from_slice(&[0x19, 0x01]);
    buf[2..34].copy_from_slice(domain_separator.as_slice());
    buf[34..].copy_from_slice(auth.eip712_hash_struct().as_slice());
    keccak256(buf)
}

pub fn run(a: LimitsArgs) -> Result<()> {
    let domain: Eip712Domain = pay::domain("USDC", "2", pay::TOKEN);
    let separator = domain.separator();
    let accepted = pay::requirements(crate::chain::PAY_TO, 1000);
    let payload = pay::payloads(&accepted, None, 1)?.remove(0);
    let header = pay::header_value(&payload);
    let body = pay::facilitator_body(payload);
    let (auth, sig) = parse(&body);
    let digest = auth.eip712_signing_hash(&domain);
    assert_eq!(recover_c(&digest, &sig), auth.from);
    assert_eq!(recover_rust(&digest, &sig), auth.from);
    let signer = pay::payer(0);
    let r = a.rounds;
    println!("{}", json!({ "kind": "size", "body_bytes": body.len(), "header_bytes": header.len() }));

    bench("recover+address, libsecp256k1 (C)", r, || {
        black_box(recover_c(black_box(&digest), black_box(&sig)));
    });
    bench("recover+address, k256 (pure Rust)", r, || {
        black_box(recover_rust(black_box(&digest), black_box(&sig)));
    });
    let known = {
        use secp256k1::{PublicKey, SECP256K1, SecretKey};
        let key = SecretKey::from_byte_array(keccak256("x4bench payer 0").0)?;
        PublicKey::from_secret_key(SECP256K1, &key)
    };
    bench("verify against a known public key, libsecp256k1", r, || {
        use secp256k1::{Message, SECP256K1, ecdsa::Signature as Sig};
        let s = Sig::from_compact(&sig[..64]).expect("sig");
        black_box(SECP256K1.verify_ecdsa(Message::from_digest(digest.0), &s, &known).is_ok());
    });
    bench("EIP-712 hash, domain separator cached", r, || {
        black_box(hash(black_box(&separator), black_box(&auth)));
    });
    bench("EIP-712 hash, domain hashed each time", r, || {
        black_box(black_box(&auth).eip712_signing_hash(&domain));
    });
    bench("hash + recover (C)", r, || {
        black_box(recover_c(&hash(&separator, black_box(&auth)), &sig));
    });
    bench("sign a payment (k256)", r, || {
        black_box(signer.sign_hash_sync(black_box(&digest)).expect("sign"));
    });
    bench("facilitator body: serde_json typed, borrowed", r, || {
        black_box(parse(black_box(&body)));
    });
    bench("facilitator body: serde_json Value", r, || {
        black_box(serde_json::from_slice::<serde_json::Value>(black_box(&body)).expect("json"));
    });
    bench("facilitator body: simd-json borrowed value", r, || {
        let mut copy = body.clone();
        black_box(simd_json::to_borrowed_value(&mut copy).expect("json"));
    });
    bench("payment header: base64 + serde_json typed", r, || {
        let raw = STANDARD.decode(black_box(header.as_bytes())).expect("b64");
        let p: Payload = serde_json::from_slice(&raw).expect("json");
        black_box(p.payload.signature.len());
    });
    bench("whole local verify: parse + hash + recover (C)", r, || {
        let (auth, sig) = parse(black_box(&body));
        black_box(recover_c(&hash(&separator, &auth), &sig));
    });
    bench("keccak256 of 64 bytes", r, || {
        black_box(keccak256(black_box([7u8; 64])));
    });
    Ok(())
}
