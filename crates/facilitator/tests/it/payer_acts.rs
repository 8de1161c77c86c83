//! What a payer, or a token's owner, can still do after the payment was seen good.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolStruct, sol};
use groat_chain_evm::typed_data::Domain;
use groat_core::ports::Facilitator;
use groat_core::{Failure, Fault, Payment, Reason, Refusal};
use groat_devchain::{Mining, USDC};
use secp256k1::{Message, SECP256K1};

use crate::outsider::{Outsider, Token, succeeded, waiting};
use crate::settle::reason;
use crate::world::{NOW, PAY_TO, Payer, World, gas_key, offer, payment};

sol! {
    struct CancelAuthorization { address authorizer; bytes32 nonce; }
}

/// The payer's signature that cancels a nonce.
pub(crate) fn cancellation(payer: &Payer, nonce: B256) -> Vec<u8> {
    let domain = Domain { name: "USDC".into(), version: "2".into(), chain_id: 84532, asset: USDC };
    let message = CancelAuthorization { authorizer: payer.address(), nonce };
    let digest =
        keccak256([&[0x19, 0x01], &domain.separator()[..], &message.eip712_hash_struct()[..]].concat());
    let (recovery, bytes) =
        SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &payer.0).serialize_compact();
    [&bytes[..], &[27 + u8::try_from(i32::from(recovery)).unwrap()]].concat()
}

async fn refused(world: &World, payment: &Payment) -> Refusal {
    match world.engine.settle(payment, &offer()).await.unwrap_err() {
        Failure::Refused(refusal) => refusal,
        Failure::Fault(fault) => panic!("{fault}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e10_a_payment_that_its_payer_cancels_is_refused_for_good() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    world.engine.verify(&payment, &offer()).await.unwrap();
    let nonce = B256::repeat_byte(1);
    let signature = cancellation(&payer, nonce).into();
    let cancelled = Outsider::stranger(&world.chain).dollar(Token::cancelAuthorizationCall {
        authorizer: payer.address(),
        nonce,
        signature,
    });
    assert!(succeeded(&world.chain, &cancelled.to_string()));
    for _ in 0..2 {
        let refusal = refused(&world, &payment).await;
        assert_eq!((refusal.reason, refusal.transaction), (Reason::NonceAlreadyUsed, None));
    }
    assert_eq!(reason(world.engine.verify(&payment, &offer()).await), Reason::NonceAlreadyUsed);
    assert_eq!((world.transactions(), world.received()), (0, U256::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_a_payer_who_empties_its_account_in_the_same_block_has_not_paid_and_can_pay_later() {
    let world = World::new(Mining::Manual);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    let (engine, shown) = (world.engine.clone(), payment.clone());
    let call = tokio::spawn(async move { engine.settle(&shown, &offer()).await });
    while waiting(&world.chain) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let elsewhere = Address::repeat_byte(9);
    Outsider::new(&world.chain, payer.0)
        .dollar(Token::transferCall { to: elsewhere, value: U256::from(10_000_000) });
    world.chain.mine(1);
    let Err(Failure::Refused(refusal)) = call.await.unwrap() else { panic!("a verdict is expected") };
    assert_eq!(refusal.reason, Reason::TransactionFailed);
    assert_eq!(refusal.payer, Some(payer.address().to_checksum(None)));
    // The answer names what was mined and reverted.
    let first = refusal.transaction.expect("it was mined");
    assert!(!succeeded(&world.chain, &first));
    assert_eq!(refused(&world, &payment).await.reason, Reason::InsufficientBalance);

    // The authorization is unused: with money it is a payment, in another transaction (invariant I5).
    world.chain.mint_usdc(payer.address(), U256::from(10_000));
    let (engine, shown) = (world.engine.clone(), payment.clone());
    let call = tokio::spawn(async move { engine.settle(&shown, &offer()).await });
    while waiting(&world.chain) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    world.chain.mine(1);
    let receipt = call.await.unwrap().unwrap();
    assert_ne!(receipt.transaction, Some(first));
    assert_eq!((world.transactions(), world.received()), (2, U256::from(10_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn e13_a_token_that_stops_or_shuts_somebody_out_costs_no_transaction() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    let owner = Outsider::stranger(&world.chain);
    let (from, to) = (payer.address(), PAY_TO.parse().unwrap());
    world.engine.verify(&payment, &offer()).await.unwrap();
    owner.dollar(Token::pauseCall {});
    assert_eq!(refused(&world, &payment).await.reason, Reason::SimulationFailed);
    owner.dollar(Token::unpauseCall {});
    for account in [from, to] {
        owner.dollar(Token::blacklistCall { account });
        assert_eq!(refused(&world, &payment).await.reason, Reason::SimulationFailed);
        owner.dollar(Token::unBlacklistCall { account });
    }
    assert_eq!(world.transactions(), 0);
    world.engine.settle(&payment, &offer()).await.unwrap();
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn e13_a_payer_shut_out_in_the_same_block_reverts_by_name() {
    let world = World::new(Mining::Manual);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    let call = {
        let (engine, payment) = (world.engine.clone(), payment.clone());
        tokio::spawn(async move { engine.settle(&payment, &offer()).await })
    };
    while waiting(&world.chain) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    Outsider::stranger(&world.chain).dollar(Token::blacklistCall { account: payer.address() });
    world.chain.mine(1);
    let Err(Failure::Refused(refusal)) = call.await.unwrap() else { panic!("a verdict is expected") };
    assert_eq!(refusal.reason, Reason::TransactionFailed);
    assert!(!succeeded(&world.chain, &refusal.transaction.unwrap()));
    assert_eq!(world.received(), U256::ZERO);
}

/// The official facilitator takes `validAfter` = now, and the token does not before the next second.
#[tokio::test(flavor = "multi_thread")]
async fn e07_a_payment_good_from_this_second_waits_for_the_next() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let mut authorization = payer.authorization(1);
    authorization.valid_after = U256::from(NOW);
    let payment = payment(&authorization, &payer.sign(&authorization));
    world.engine.verify(&payment, &offer()).await.unwrap();
    assert_eq!(refused(&world, &payment).await.reason, Reason::NotYetValid);
    assert_eq!(world.transactions(), 0);
    world.chain.increase_time(1);
    world.engine.settle(&payment, &offer()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e32_an_account_without_gas_promises_nothing() {
    let world = World::new(Mining::Instant);
    let payment = world.payer(1).pay(1);
    assert_eq!(world.engine.supported().await.unwrap().kinds.len(), 2);
    // Dust buys no transaction either.
    for wei in [0_u64, 1_000_000] {
        world.chain.set_balance(gas_key().address(), U256::from(wei));
        assert!(world.engine.supported().await.unwrap().kinds.is_empty(), "{wei}");
        let verified = world.engine.verify(&payment, &offer()).await.unwrap_err();
        let settled = world.engine.settle(&payment, &offer()).await.unwrap_err();
        for failed in [verified, settled] {
            assert!(
                matches!(failed, Failure::Fault(Fault::Unavailable { what: "signer", .. })),
                "{failed:?}"
            );
        }
    }
    // A payment that is no good anyway is told so.
    let mut bad = payment.clone();
    bad.proof["authorization"]["value"] = "9999".into();
    assert_eq!(reason(world.engine.verify(&bad, &offer()).await), Reason::InvalidSignature);
    world.chain.set_balance(gas_key().address(), U256::from(10).pow(U256::from(18)));
    world.engine.settle(&payment, &offer()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pays_itself_is_paid() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let mut authorization = payer.authorization(1);
    authorization.to = payer.address();
    let offer = groat_core::Offer { pay_to: payer.address().to_checksum(None), ..offer() };
    let payment = payment(&authorization, &payer.sign(&authorization));
    world.engine.settle(&payment, &offer).await.unwrap();
    assert_eq!(world.chain.usdc_balance(payer.address()), U256::from(10_000_000));
}
