//! Tokens that do not do what they say, and payees that must not be paid.

use alloy_primitives::{Address, U256, address};
use groat_chain_evm::ChainLimits;
use groat_core::ports::Facilitator;
use groat_core::{Failure, Fault, Offer, Payment, Reason};
use groat_devchain::{Mining, USDC};
use serde_json::json;

use crate::settle::reason;
use crate::world::{NOW, PAY_TO, Payer, World, gas_key, offer, payment};

const FEE: Address = address!("0x0Dd0000000000000000000000000000000000001");
const SILENT: Address = address!("0x0dD0000000000000000000000000000000000002");
const GAS_BURNER: Address = address!("0x0Dd0000000000000000000000000000000000003");
const LYING: Address = address!("0x0DD0000000000000000000000000000000000004");

/// An operator who allows all of them.
fn careless() -> World {
    let assets = vec![FEE, SILENT, GAS_BURNER, LYING];
    World::with(Mining::Instant, ChainLimits { assets, ..ChainLimits::default() })
}

fn pay_in(world: &World, token: Address, payer: &Payer, nonce: u8) -> (Payment, Offer) {
    world.give(token, payer.address(), 1_000_000);
    let authorization = payer.authorization(nonce);
    let payment = payment(&authorization, &payer.sign_for(token, &authorization));
    (payment, Offer { asset: token.to_checksum(None), ..offer() })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_worth_its_gas_is_refused_before_anybody_works_for_it() {
    let least = |units: u64| {
        let min_prices = vec![(PAY_TO.parse().unwrap(), U256::MAX), (USDC, U256::from(units))];
        World::with(Mining::Instant, ChainLimits { min_prices, ..ChainLimits::default() })
    };
    let world = least(10_001);
    let payment = world.payer(1).pay(1);
    assert_eq!(reason(world.engine.verify(&payment, &offer()).await), Reason::PriceBelowMinimum);
    assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::PriceBelowMinimum);
    assert_eq!(world.received(), U256::ZERO);
    let world = least(10_000);
    world.engine.settle(&world.payer(1).pay(1), &offer()).await.unwrap();
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn e14_a_token_that_nobody_allowed_is_not_even_called() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    for (token, nonce) in [(FEE, 1), (GAS_BURNER, 2), (LYING, 3), (SILENT, 4)] {
        let (payment, offer) = pay_in(&world, token, &payer, nonce);
        assert_eq!(reason(world.engine.verify(&payment, &offer).await), Reason::AssetNotAllowed);
        assert_eq!(reason(world.engine.settle(&payment, &offer).await), Reason::AssetNotAllowed);
    }
    assert_eq!(world.transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e13_a_fee_on_transfer_is_not_the_price_and_the_failure_names_its_transaction() {
    let world = careless();
    let (payment, offer) = pay_in(&world, FEE, &world.payer(1), 1);
    let Failure::Refused(refusal) = world.engine.settle(&payment, &offer).await.unwrap_err() else {
        panic!("a verdict is expected")
    };
    assert_eq!(refusal.reason, Reason::TransferEventMismatch);
    let transaction = refusal.transaction.expect("it was mined");
    let receipt = world.chain.request("eth_getTransactionReceipt", json!([transaction])).unwrap();
    assert_eq!(receipt["status"], "0x1");
    // The same again is the same answer, not another try.
    let again = world.engine.settle(&payment, &offer).await.unwrap_err();
    assert!(matches!(again, Failure::Refused(again) if again.transaction.as_ref() == Some(&transaction)));
    assert_eq!(world.transactions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn e12_a_token_that_is_silent_on_a_used_nonce_pays_once() {
    let world = careless();
    let (payment, offer) = pay_in(&world, SILENT, &world.payer(1), 1);
    world.engine.settle(&payment, &offer).await.unwrap();
    let other = world.stranger();
    assert_eq!(reason(other.engine.settle(&payment, &offer).await), Reason::NonceAlreadyUsed);
    assert_eq!(world.transactions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn e14_tokens_that_burn_gas_or_lie_never_count_as_paid() {
    let world = careless();
    let payer = world.payer(1);
    let (burning, offer_1) = pay_in(&world, GAS_BURNER, &payer, 1);
    let refused = reason(world.engine.settle(&burning, &offer_1).await);
    assert!(matches!(refused, Reason::GasBudgetExceeded | Reason::SimulationFailed), "{refused}");
    assert_eq!(world.transactions(), 0);
    let (lying, offer_2) = pay_in(&world, LYING, &payer, 2);
    assert_eq!(reason(world.engine.settle(&lying, &offer_2).await), Reason::TransferEventMismatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn e10_e11_a_payer_who_changes_its_mind_after_verify_is_refused() {
    let world = World::new(Mining::Instant);
    let (cancels, drains) = (world.payer(1), world.payer(2));
    world.engine.verify(&cancels.pay(1), &offer()).await.unwrap();
    // Slot 4 holds used and cancelled nonces.
    let inner = alloy_primitives::keccak256(alloy_sol_types::SolValue::abi_encode(&(
        cancels.address(),
        U256::from(4),
    )));
    let slot = alloy_primitives::keccak256([[1; 32], inner.0].concat());
    let one = alloy_primitives::B256::with_last_byte(1);
    world.chain.request("anvil_setStorageAt", json!([groat_devchain::USDC, slot, one])).unwrap();
    // Nobody's transaction used it: it is cancelled, or an answer that cannot be believed; never "paid".
    let refused = world.engine.settle(&cancels.pay(1), &offer()).await.unwrap_err();
    assert!(!matches!(&refused, Failure::Fault(Fault::Pending { transaction: Some(_) })), "{refused:?}");

    world.engine.verify(&drains.pay(1), &offer()).await.unwrap();
    world.give(groat_devchain::USDC, drains.address(), 9_999);
    assert_eq!(reason(world.engine.settle(&drains.pay(1), &offer()).await), Reason::InsufficientBalance);
    assert_eq!((world.transactions(), world.received()), (0, U256::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn e23_e24_nobody_pays_nobody_the_token_or_the_facilitator_and_the_facilitator_pays_nobody() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    for payee in [Address::ZERO, groat_devchain::USDC, gas_key().address()] {
        let mut authorization = payer.authorization(1);
        authorization.to = payee;
        let offer = Offer { pay_to: payee.to_checksum(None), ..offer() };
        let payment = payment(&authorization, &payer.sign(&authorization));
        assert_eq!(reason(world.engine.settle(&payment, &offer).await), Reason::PayToNotAllowed);
    }
    let signer = Payer(secp256k1::SecretKey::from_byte_array([0x42; 32]).unwrap());
    world.chain.mint_usdc(signer.address(), U256::from(10_000));
    assert_eq!(reason(world.engine.settle(&signer.pay(1), &offer()).await), Reason::PayerNotAllowed);

    let somebody = vec![address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906")];
    let strict = World::with(Mining::Instant, ChainLimits { pay_to: somebody, ..ChainLimits::default() });
    let refused = strict.engine.settle(&strict.payer(1).pay(1), &offer()).await;
    assert_eq!(reason(refused), Reason::PayToNotAllowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn e02_the_domain_is_ours_and_not_the_payloads() {
    let world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    for (member, value, expected) in [
        ("name", json!("USD Coin"), Reason::TokenNameMismatch),
        ("version", json!("1"), Reason::TokenVersionMismatch),
        ("name", json!(null), Reason::MissingDomain),
    ] {
        let mut offer = offer();
        offer.extra.insert(member.to_owned(), value);
        assert_eq!(reason(world.engine.settle(&payment, &offer).await), expected);
    }
    assert_eq!(world.transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e20_a_node_that_fails_is_a_fault_and_not_a_verdict() {
    let world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    for method in ["eth_getCode", "eth_call"] {
        // A question that was asked for several is asked again for each.
        world.chain.faults(|faults| faults.fail_next.insert(method.to_owned(), (9, -32603)));
        let failed = world.engine.verify(&payment, &offer()).await.unwrap_err();
        assert!(matches!(failed, Failure::Fault(Fault::Unavailable { .. })), "{method}: {failed:?}");
        world.chain.faults(|faults| faults.fail_next.clear());
    }
    world.engine.settle(&payment, &offer()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e21_a_malleable_signature_is_refused() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let authorization = payer.authorization(1);
    let mut signature = payer.sign(&authorization);
    // The other s of the same signature: n − s, with the other parity.
    let order =
        U256::from_str_radix("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", 16).unwrap();
    let high = order - U256::from_be_slice(&signature[32..64]);
    signature[32..64].copy_from_slice(&high.to_be_bytes::<32>());
    signature[64] = 55 - signature[64];
    let payment = payment(&authorization, &signature);
    assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::InvalidSignature);
}

#[tokio::test(flavor = "multi_thread")]
async fn e06_the_chains_clock_counts_as_well_as_ours() {
    let world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    let snapshot = world.chain.snapshot();
    // Ours says there is a minute left; the chain's next block will say otherwise.
    world.chain.set_time(NOW + 60);
    world.chain.mine(1);
    let late = reason(world.engine.settle(&payment, &offer()).await);
    assert_eq!(late, Reason::Expired);
    assert!(world.chain.revert(snapshot));
}
