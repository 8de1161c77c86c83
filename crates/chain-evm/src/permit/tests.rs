//! What is refused before anybody is asked, and what a receipt proves.

use alloy_primitives::{Address, B256, Bytes, U64, U256, address};
use alloy_sol_types::SolEvent;
use groat_core::ports::{Mechanism, Outcome};
use groat_core::{Amount, Network, Offer, Payment, Reason, Timestamp};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::json;

use super::check::check;
use super::outcome::{Rider, judge_receipt};
use super::till::{self, Till};
use super::*;
use crate::chain::ChainLimits;
use crate::exact::abi::Eip3009;
use crate::exact::proof::EcdsaBytes;
use crate::exact::typed_data::Domain;
use crate::rpc::{Log, TxReceipt};

const NOW: u64 = 1_800_000_000;
const PAYEE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const USDC: Address = address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");
const KINDS: [PermitKind; 2] = [PermitKind::Permit2, PermitKind::Eip2612];

fn ask(kind: PermitKind) -> PermitAsk {
    PermitAsk {
        kind,
        asset: account::text(USDC),
        amount: Amount::from_units(10_000),
        pay_to: PAYEE.into(),
        symbol: None,
        decimals: None,
        name: None,
        version: None,
    }
}

fn offer(kind: PermitKind) -> Offer {
    PermitEvm::offline().offer(&ask(kind).terms(Network::eip155(84532))).unwrap().unwrap()
}

fn key() -> SecretKey {
    SecretKey::from_byte_array([0x11; 32]).unwrap()
}

fn owner() -> Address {
    crate::GasKey::from_bytes([0x11; 32]).unwrap().address()
}

fn permit(kind: PermitKind) -> Permit {
    Permit {
        kind,
        owner: owner(),
        spender: till::address(account::parse(PAYEE).unwrap()).unwrap(),
        token: USDC,
        amount: U256::from(10_000),
        nonce: U256::from(7),
        deadline: U256::from(NOW + 60),
        signature: EcdsaBytes([0; 65]),
    }
}

fn signed(mut permit: Permit) -> Permit {
    let domain = Domain { name: "USDC".into(), version: "2".into(), chain_id: 84532, asset: USDC };
    let message = Message::from_digest(permit_digest(&permit, &domain).0);
    let (recovery, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &key()).serialize_compact();
    permit.signature.0[..64].copy_from_slice(&bytes);
    permit.signature.0[64] = 27 + u8::try_from(i32::from(recovery)).unwrap();
    permit
}

fn payment(permit: &Permit) -> Payment {
    Payment {
        dialect: DIALECT,
        scheme: SCHEME.into(),
        network: Network::eip155(84532),
        proof: permit.write(),
        accepted: None,
        resource: None,
        extensions: Map::new(),
    }
}

fn verdict(permit: &Permit, offer: &Offer) -> Option<Reason> {
    check(&payment(permit), offer, &ChainLimits::default(), &[], Timestamp(NOW)).err()
}

#[test]
fn a_good_permit_reads_back_and_passes() {
    for kind in KINDS {
        let good = signed(permit(kind));
        assert_eq!(Permit::read(&good.write()), Ok(good.clone()));
        assert_eq!(verdict(&good, &offer(kind)), None);
    }
}

#[test]
fn e01_e21_whatever_is_wrong_with_a_permit_is_told_before_the_node_is_asked() {
    let elsewhere = Address::repeat_byte(9);
    for kind in KINDS {
        let good = signed(permit(kind));
        let fresh = || permit(kind);
        let cases = [
            (Reason::RecipientMismatch, signed(Permit { spender: elsewhere, ..fresh() })),
            (Reason::AmountMismatch, signed(Permit { amount: U256::from(9_999), ..fresh() })),
            (Reason::AmountMismatch, signed(Permit { amount: U256::from(10_001), ..fresh() })),
            (Reason::Expired, signed(Permit { deadline: U256::from(NOW + 5), ..fresh() })),
            (Reason::WindowTooLong, signed(Permit { deadline: U256::from(NOW + 86_401), ..fresh() })),
            (Reason::WindowTooLong, signed(Permit { deadline: U256::MAX, ..fresh() })),
            (Reason::AssetNotAllowed, signed(Permit { token: elsewhere, ..fresh() })),
            (Reason::InvalidSignature, Permit { owner: elsewhere, ..good.clone() }),
            (Reason::InvalidSignature, Permit { nonce: U256::from(8), ..good.clone() }),
            (Reason::InvalidSignature, Permit { deadline: U256::from(NOW + 59), ..good.clone() }),
            (Reason::InvalidSignature, Permit { spender: elsewhere, ..good.clone() }),
        ];
        for (reason, permit) in cases {
            assert_eq!(verdict(&permit, &offer(kind)), Some(reason), "{permit:?}");
        }
        let other_kind = offer(KINDS.into_iter().find(|other| *other != kind).unwrap());
        assert_eq!(verdict(&good, &other_kind), Some(Reason::InvalidPayload));
    }
}

/// Permit2 itself would take the twin of a signature: it must not be another payment, nor an answer of the chain.
#[test]
fn e21_the_twin_of_a_good_signature_is_refused() {
    for kind in KINDS {
        let mut twin = signed(permit(kind));
        let order = U256::from_be_bytes(secp256k1::constants::CURVE_ORDER);
        let s = U256::from_be_slice(&twin.signature.0[32..64]);
        twin.signature.0[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
        twin.signature.0[64] = 27 + (28 - twin.signature.0[64]);
        assert_eq!(verdict(&twin, &offer(kind)), Some(Reason::InvalidSignature));
    }
}

#[test]
fn the_till_of_another_payee_is_no_till_of_this_one() {
    for kind in KINDS {
        let good = signed(permit(kind));
        let mut of_other = offer(kind);
        of_other.extra.insert("payee".into(), json!(account::text(Address::repeat_byte(9))));
        let mut a_key = offer(kind);
        a_key.pay_to = PAYEE.into();
        for bad in [of_other, a_key, Offer { extra: Map::new(), ..offer(kind) }] {
            assert_eq!(verdict(&good, &bad), Some(Reason::InvalidRequirements));
        }
    }
}

#[test]
fn an_operators_lists_count_for_payees_and_not_for_tills() {
    let kind = PermitKind::Permit2;
    let good = signed(permit(kind));
    let with = |limits: ChainLimits, signers: &[Address]| {
        check(&payment(&good), &offer(kind), &limits, signers, Timestamp(NOW)).err()
    };
    let payee = account::parse(PAYEE).unwrap();
    let listed = |payee| ChainLimits { pay_to: vec![payee], ..ChainLimits::default() };
    assert_eq!(with(listed(payee), &[]), None);
    assert_eq!(with(listed(good.spender), &[]), Some(Reason::PayToNotAllowed));
    assert_eq!(with(ChainLimits::default(), &[payee]), Some(Reason::PayToNotAllowed));
    assert_eq!(with(ChainLimits::default(), &[owner()]), Some(Reason::PayerNotAllowed));
    let dear = ChainLimits { min_prices: vec![(USDC, U256::from(10_001))], ..ChainLimits::default() };
    assert_eq!(with(dear, &[]), Some(Reason::PriceBelowMinimum));
}

#[test]
fn another_permit2_and_a_proof_that_is_none_do_not_read() {
    let good = signed(permit(PermitKind::Permit2)).write();
    let changed = |pointer: &str, value: Value| {
        let mut proof = good.clone();
        *proof.pointer_mut(pointer).unwrap() = value;
        Permit::read(&proof)
    };
    for (pointer, value) in [
        ("/permitType", json!("ERC3009")),
        ("/permit/owner", json!("0x1")),
        ("/permit/amount", json!(10_000)),
        ("/permit/amount", json!("010000")),
        ("/permit/nonce", json!("0x7")),
        ("/permit/deadline", json!("-1")),
        ("/signature", json!("0x")),
        ("/signature", json!(format!("0x{}", "1".repeat(128)))),
        ("/signature", json!(format!("0x{}", "1".repeat(132)))),
    ] {
        assert_eq!(changed(pointer, value.clone()), Err(Reason::InvalidPayload), "{pointer} {value}");
    }
    let mut named = good.clone();
    named["permit"]["permit2"] = json!(account::text(till::PERMIT2));
    assert!(Permit::read(&named).is_ok());
    named["permit"]["permit2"] = json!(account::text(USDC));
    assert_eq!(Permit::read(&named), Err(Reason::InvalidPayload));
}

#[test]
fn r16_a_key_is_the_owner_and_the_nonce_and_of_a_token_the_token_too() {
    let mechanism = PermitEvm::offline();
    let key = |permit: &Permit, offer: &Offer| mechanism.key(&payment(permit), offer).unwrap();
    for kind in KINDS {
        let good = signed(permit(kind));
        let (first, until) = key(&good, &offer(kind));
        assert_eq!(until, Timestamp(NOW + 61));
        let forever = Permit { deadline: U256::MAX, ..good.clone() };
        assert_eq!(key(&forever, &offer(kind)).1, Timestamp(u64::MAX));
        let dearer = Permit { amount: U256::from(1), spender: USDC, ..good.clone() };
        assert_eq!(key(&dearer, &offer(kind)).0, first);
        assert_ne!(key(&Permit { nonce: U256::from(8), ..good.clone() }, &offer(kind)).0, first);
        assert_ne!(key(&Permit { owner: USDC, ..good.clone() }, &offer(kind)).0, first);
        let other_token = Offer { asset: account::text(Address::repeat_byte(7)), ..offer(kind) };
        assert_eq!(key(&good, &other_token).0 == first, kind == PermitKind::Permit2);
        // No other mechanism takes it for one of its own.
        assert!(ExactEvm::offline().key(&payment(&good), &offer(kind)).is_err());
    }
}

#[test]
fn an_offer_says_what_a_client_needs_and_refuses_what_it_cannot_say() {
    let told = |ask: PermitAsk| PermitEvm::offline().offer(&ask.terms(Network::eip155(84532)));
    let known = told(ask(PermitKind::Eip2612)).unwrap().unwrap();
    assert_eq!(known.extra["name"], "USDC");
    assert_eq!(known.currency.unwrap().symbol, "USDC");
    assert_eq!(account::parse(&known.pay_to), till::address(account::parse(PAYEE).unwrap()));
    let stranger = |kind| PermitAsk { asset: account::text(Address::repeat_byte(7)), ..ask(kind) };
    assert!(told(stranger(PermitKind::Permit2)).unwrap_err().contains("`decimals`"));
    let counted = |kind| PermitAsk { symbol: Some("WIDE".into()), decimals: Some(18), ..stranger(kind) };
    assert_eq!(told(counted(PermitKind::Permit2)).unwrap().unwrap().extra["version"], "1");
    assert!(told(counted(PermitKind::Eip2612)).unwrap_err().contains("`name` and `version`"));
    assert!(told(PermitAsk { amount: Amount::ZERO, ..ask(PermitKind::Permit2) }).is_err());
    assert!(told(PermitAsk { pay_to: "nobody".into(), ..ask(PermitKind::Permit2) }).is_err());
}

fn log(address: Address, topics: Vec<B256>, amount: u64) -> Log {
    let data: Bytes = U256::from(amount).to_be_bytes::<32>().into();
    Log { address, topics, data, transaction_hash: None }
}

#[test]
fn e27_only_the_tills_word_after_the_money_has_moved_counts() {
    let payee = account::parse(PAYEE).unwrap();
    let permit = signed(permit(PermitKind::Permit2));
    let rider = Rider { permit: permit.clone(), till: permit.spender, payee };
    let said = |address: Address, nonce: u64, amount: u64| {
        let nonce = B256::from(U256::from(nonce));
        let event = Till::PaidByPermit2::SIGNATURE_HASH;
        log(address, vec![event, owner().into_word(), nonce, USDC.into_word()], amount)
    };
    let moved = |address: Address, to: Address, amount: u64| {
        log(address, vec![Eip3009::Transfer::SIGNATURE_HASH, owner().into_word(), to.into_word()], amount)
    };
    let judged = |logs: Vec<Log>, status: u64| {
        let receipt = TxReceipt {
            status: U64::from(status),
            transaction_hash: B256::ZERO,
            block_hash: B256::ZERO,
            block_number: U64::from(1),
            logs,
            from: None,
            to: None,
            gas_used: U64::ZERO,
        };
        judge_receipt(&receipt, &rider).map(|outcome| matches!(outcome, Outcome::Landed(_)))
    };
    let till = permit.spender;
    assert_eq!(judged(vec![moved(USDC, payee, 10_000), said(till, 7, 10_000)], 1), Some(true));
    assert_eq!(judged(vec![moved(USDC, payee, 10_000), said(till, 7, 10_000)], 0), None);
    // Somebody else's word, or the till's of another nonce.
    assert_eq!(judged(vec![moved(USDC, payee, 10_000), said(USDC, 7, 10_000)], 1), None);
    assert_eq!(judged(vec![moved(USDC, payee, 10_000), said(till, 8, 10_000)], 1), None);
    assert_eq!(judged(vec![moved(USDC, payee, 10_000)], 1), None);
    // Another sum, another payee, another token, too late, or a transfer that belongs to another permit.
    for logs in [
        vec![moved(USDC, payee, 10_000), said(till, 7, 9_999)],
        vec![moved(USDC, payee, 9_999), said(till, 7, 10_000)],
        vec![moved(USDC, till, 10_000), said(till, 7, 10_000)],
        vec![moved(payee, payee, 10_000), said(till, 7, 10_000)],
        vec![said(till, 7, 10_000), moved(USDC, payee, 10_000)],
        vec![moved(USDC, payee, 10_000), said(till, 8, 10_000), said(till, 7, 10_000)],
    ] {
        assert_eq!(judged(logs, 1), Some(false));
    }
}
