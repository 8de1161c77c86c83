//! Signatures and authorizations that are nearly right, and what a payload may look like.

use alloy_primitives::{Address, B256, U256, address, keccak256};
use alloy_sol_types::{SolStruct, sol};
use groat_chain_evm::proof::Authorization;
use groat_chain_evm::typed_data::Domain;
use groat_core::ports::Facilitator;
use groat_core::{Amount, Network, Offer, Payment, Reason};
use groat_devchain::{Mining, USDC};
use secp256k1::{Message, SECP256K1};
use serde_json::{Value, json};

use crate::payer_acts::cancellation;
use crate::settle::reason;
use crate::world::{NOW, Payer, World, offer, payment};

sol! {
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

fn dollar() -> Domain {
    Domain { name: "USDC".into(), version: "2".into(), chain_id: 84532, asset: USDC }
}

fn sign(payer: &Payer, digest: B256) -> [u8; 65] {
    let message = Message::from_digest(digest.0);
    let (recovery, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &payer.0).serialize_compact();
    let mut signature = [0; 65];
    signature[..64].copy_from_slice(&bytes);
    signature[64] = 27 + u8::try_from(i32::from(recovery)).unwrap();
    signature
}

/// Refused by both with this reason, and nothing is sent.
async fn refuses(world: &World, payment: &Payment, offer: &Offer, expected: &Reason, what: &str) {
    assert_eq!(&reason(world.engine.verify(payment, offer).await), expected, "{what}");
    assert_eq!(&reason(world.engine.settle(payment, offer).await), expected, "{what}");
    assert_eq!(world.transactions(), 0, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_e22_bytes_that_are_no_signature_of_the_payer_are_refused() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let authorization = payer.authorization(1);
    let good = payer.sign(&authorization);
    let with_v = |v: u8| {
        let mut signature = good;
        signature[64] = v;
        signature.to_vec()
    };
    let flipped = with_v(55 - good[64]);
    let mut compact = good[..64].to_vec();
    // EIP-2098: the parity is in the highest bit of s.
    compact[32] |= (good[64] - 27) << 7;
    let zero_r = [&[0; 32][..], &good[32..]].concat();
    let zero_s = [&good[..32], &[0; 32], &good[64..]].concat();
    let mut shapes = vec![
        Vec::new(),
        vec![0; 65],
        vec![0xff; 65],
        good[..63].to_vec(),
        good.repeat(2),
        [&good[..], &[0]].concat(),
        flipped,
        compact,
        zero_r,
        zero_s,
        world.payer(2).sign(&authorization).to_vec(),
        vec![7; 4096],
    ];
    shapes.extend([2, 3, 26, 29, 30, 31, 35, 36, 127, 255].map(with_v));
    for signature in shapes {
        let what = format!("{signature:02x?}");
        refuses(&world, &payment(&authorization, &signature), &offer(), &Reason::InvalidSignature, &what)
            .await;
    }
    world.engine.settle(&payment(&authorization, &good), &offer()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_a_forgery_costs_one_question_to_the_node() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let authorization = payer.authorization(1);
    let forged = payment(&authorization, &world.payer(2).sign(&authorization));
    let mut wrong = authorization.clone();
    wrong.value = U256::from(1);
    let wrong = payment(&wrong, &payer.sign(&wrong));
    // Who asks more meets the fault.
    world.chain.faults(|faults| faults.fail_next.insert("eth_call".to_owned(), (u32::MAX, -32603)));
    refuses(&world, &forged, &offer(), &Reason::InvalidSignature, "forged").await;
    world.chain.faults(|faults| faults.fail_next.insert("eth_getCode".to_owned(), (u32::MAX, -32603)));
    refuses(&world, &wrong, &offer(), &Reason::AmountMismatch, "wrong terms").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e02_a_signature_for_another_domain_is_none_for_ours() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let authorization = payer.authorization(1);
    for domain in [
        Domain { name: "USD Coin".into(), ..dollar() },
        Domain { name: "usdc".into(), ..dollar() },
        Domain { name: String::new(), ..dollar() },
        Domain { version: "1".into(), ..dollar() },
        Domain { chain_id: 8453, ..dollar() },
        Domain { chain_id: 1, ..dollar() },
        Domain { asset: address!("0x0Dd0000000000000000000000000000000000001"), ..dollar() },
        Domain { asset: Address::ZERO, ..dollar() },
    ] {
        let signature = sign(&payer, domain.digest(&authorization));
        let what = format!("{domain:?}");
        refuses(&world, &payment(&authorization, &signature), &offer(), &Reason::InvalidSignature, &what)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e34_a_signature_for_another_act_is_none_for_a_transfer() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let authorization = payer.authorization(1);
    let Authorization { from, to, value, valid_after, valid_before, nonce } = authorization.clone();
    let receive = ReceiveWithAuthorization {
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
    };
    let digest =
        keccak256([&[0x19, 0x01], &dollar().separator()[..], &receive.eip712_hash_struct()[..]].concat());
    for signature in [sign(&payer, digest).to_vec(), cancellation(&payer, nonce)] {
        let payment = payment(&authorization, &signature);
        refuses(&world, &payment, &offer(), &Reason::InvalidSignature, "another act").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e23_the_zero_account_pays_nothing() {
    let world = World::new(Mining::Instant);
    world.give(USDC, Address::ZERO, 10_000_000);
    let payer = world.payer(1);
    let authorization = Authorization { from: Address::ZERO, ..payer.authorization(1) };
    for signature in [payer.sign(&authorization).to_vec(), vec![0; 65], Vec::new()] {
        let payment = payment(&authorization, &signature);
        refuses(&world, &payment, &offer(), &Reason::InvalidSignature, "from zero").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e03_a_price_of_zero_buys_nothing() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let authorization = Authorization { value: U256::ZERO, ..payer.authorization(1) };
    let payment = payment(&authorization, &payer.sign(&authorization));
    let free = Offer { amount: Amount::ZERO, ..offer() };
    refuses(&world, &payment, &free, &Reason::AmountMismatch, "free").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e04_e33_payloads_with_other_spellings_are_no_payloads() {
    let world = World::new(Mining::Instant);
    let good = world.payer(1).pay(1);
    let big = "1".repeat(79);
    let numbers = [
        "",
        "00",
        "010000",
        "+10000",
        "-1",
        "1e4",
        "0x2710",
        "10000.0",
        " 10000",
        "10_000",
        "１００００",
        &big,
    ];
    let mut cases: Vec<(&str, Value)> = Vec::new();
    for member in ["value", "validAfter", "validBefore"] {
        cases.extend(numbers.iter().map(|text| (member, json!(text))));
        // One above the largest word, and a number that JSON readers may round.
        let above = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        cases.extend([json!(above), json!(10000), json!(null), json!([])].map(|value| (member, value)));
    }
    let nonce = "01".repeat(32);
    for text in [
        format!("0x{}", &nonce[2..]),
        format!("0x{nonce}01"),
        nonce.clone(),
        format!("0X{nonce}"),
        format!("0x{}g", &nonce[1..]),
        format!("0x{}", &nonce[1..]),
        String::new(),
    ] {
        cases.push(("nonce", json!(text)));
    }
    for account in ["", "0x", "0x0", "payer.eth", "0x70997970c51812dc3A010C7d01b50e0d17dc79C8"] {
        cases.extend([("from", json!(account)), ("to", json!(account))]);
    }
    for (member, value) in cases {
        let mut payment = good.clone();
        payment.proof["authorization"][member] = value.clone();
        refuses(&world, &payment, &offer(), &Reason::InvalidPayload, &format!("{member} {value}")).await;
    }
    let wrapper_without_content = format!("0x{}", "6492".repeat(16));
    let endless_offsets = format!("0x{}{}", "ff".repeat(96), "6492".repeat(16));
    for signature in [
        json!(null),
        json!(7),
        json!("0x0"),
        json!("0xzz"),
        json!("00".repeat(65)),
        json!(format!("0x{}", "00".repeat(4097))),
        json!(wrapper_without_content),
        json!(endless_offsets),
    ] {
        let mut payment = good.clone();
        payment.proof["signature"] = signature.clone();
        let what: String = signature.to_string().chars().take(80).collect();
        refuses(&world, &payment, &offer(), &Reason::InvalidPayload, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e08_validity_is_bounded_and_its_bound_is_taken() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    for (nonce, seconds, expected) in [
        (1, 86_400, None),
        (2, 86_401, Some(Reason::WindowTooLong)),
        (3, 5, Some(Reason::Expired)),
        (4, 6, None),
    ] {
        let mut authorization = payer.authorization(nonce);
        authorization.valid_before = U256::from(NOW + seconds);
        let payment = payment(&authorization, &payer.sign(&authorization));
        let verdict = world.engine.verify(&payment, &offer()).await;
        assert_eq!(verdict.err().map(|failure| reason(Err::<(), _>(failure))), expected, "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e31_only_the_chains_that_are_set_up_are_settled_on() {
    let world = World::new(Mining::Instant);
    let good = world.payer(1).pay(1);
    let elsewhere = Offer { network: Network::eip155(8453), ..offer() };
    let there = Payment { network: Network::eip155(8453), ..good.clone() };
    refuses(&world, &good, &elsewhere, &Reason::InvalidNetwork, "offer elsewhere").await;
    refuses(&world, &there, &elsewhere, &Reason::InvalidNetwork, "both elsewhere").await;
    refuses(&world, &there, &offer(), &Reason::NetworkMismatch, "payment elsewhere").await;
    let unknown = Offer { scheme: "upto".into(), ..offer() };
    refuses(&world, &good, &unknown, &Reason::UnsupportedScheme, "offer of another scheme").await;
    let upto = Payment { scheme: "upto".into(), ..good };
    refuses(&world, &upto, &offer(), &Reason::InvalidScheme, "payment of another scheme").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e31_a_node_of_another_chain_is_not_trusted() {
    let chain = groat_devchain::DevChain::new(groat_devchain::Config::default());
    let rpc = || groat_chain_evm::Rpc::local(chain.transport());
    let chain_of = |id| groat_chain_evm::Chain::new(id, rpc(), Vec::new(), Default::default());
    chain_of(84532).check_id().await.unwrap();
    assert!(chain_of(8453).check_id().await.is_err());
}
