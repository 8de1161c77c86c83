//! What is wrong with a permit, told before anything is sent.

use alloy_primitives::{Address, U256, address};
use groat_chain_evm::permit::{Permit, till as at};
use groat_chain_evm::{PermitAsk, PermitKind, account};
use groat_core::ports::Facilitator;
use groat_core::{Failure, Reason, Refusal};
use groat_devchain::{Mining, USDC};

use super::*;

async fn refused(world: &World, permit: &Permit, offer: &Offer) -> Refusal {
    match world.engine.settle(&payment(permit), offer).await {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e28_without_allowance_or_money_a_permit_is_refused_and_says_why() {
    let world = world(Mining::Instant);
    let payer = payer(&world, 1);
    approve(&world, &payer, at::PERMIT2, U256::from(UNITS - 1));
    let permit2 = signed(&payer, permit(&payer, PermitKind::Permit2, 0));
    let refusal = refused(&world, &permit2, &offer(PermitKind::Permit2)).await;
    assert_eq!(
        (refusal.reason.code(), refusal.payer),
        ("permit2_allowance_required", Some(account::text(payer.address())))
    );
    assert!(refusal.message.unwrap().contains("approve it first"));
    // The same permit is good as soon as there is one.
    approve(&world, &payer, at::PERMIT2, U256::from(UNITS));
    world.engine.settle(&payment(&permit2), &offer(PermitKind::Permit2)).await.unwrap();
    for kind in KINDS {
        let poor = super::payer(&world, 2);
        world.give(DOLLAR, poor.address(), UNITS - 1);
        let refusal = refused(&world, &signed(&poor, permit(&poor, kind, 0)), &offer(kind)).await;
        assert_eq!(refusal.reason, Reason::InsufficientBalance);
    }
    assert_eq!(world.transactions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_permit2_may_move_is_promised_once() {
    let kind = PermitKind::Permit2;
    let world = world(Mining::Manual);
    let payer = payer(&world, 1);
    approve(&world, &payer, at::PERMIT2, U256::from(UNITS));
    let (engine, first) = (world.engine.clone(), pay(&payer, kind, 1));
    let call = tokio::spawn(async move { engine.settle(&first, &offer(kind)).await });
    while crate::outsider::waiting(&world.chain) == 0 {
        tokio::task::yield_now().await;
    }
    let second = refused(&world, &signed(&payer, permit(&payer, kind, 2)), &offer(kind)).await;
    assert_eq!(second.reason, Reason::InsufficientBalance);
    world.chain.mine(1);
    call.await.unwrap().unwrap();
    assert_eq!((world.transactions(), received(&world)), (1, U256::from(UNITS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_is_not_the_tokens_next_waits_for_the_others() {
    let kind = PermitKind::Eip2612;
    let world = world(Mining::Instant);
    let payer = payer(&world, 1);
    let later = signed(&payer, permit(&payer, kind, 1));
    assert_eq!(refused(&world, &later, &offer(kind)).await.reason, Reason::NotYetValid);
    world.engine.settle(&pay(&payer, kind, 0), &offer(kind)).await.unwrap();
    world.engine.settle(&payment(&later), &offer(kind)).await.unwrap();
    assert_eq!(received(&world), U256::from(2 * UNITS));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_on_the_chain_is_said() {
    let elsewhere = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
    for kind in KINDS {
        let world = world(Mining::Instant);
        let payer = payer(&world, 1);
        // Nobody has put this payee's till there.
        let no_till = offer_of(PermitAsk { pay_to: elsewhere.into(), ..ask(kind, DOLLAR) });
        let spender = account::parse(&no_till.pay_to).unwrap();
        let early = signed(&payer, Permit { spender, ..permit(&payer, kind, 0) });
        let refusal = refused(&world, &early, &no_till).await;
        assert_eq!(refusal.reason, Reason::PermitNotSupported);
        assert!(refusal.message.unwrap().contains("is not on this chain yet"));
        open_till(&world, account::parse(elsewhere).unwrap());
        world.engine.settle(&payment(&early), &no_till).await.unwrap();
    }
    let world = world(Mining::Instant);
    world.chain.request("anvil_setCode", serde_json::json!([at::PERMIT2, "0x"])).unwrap();
    let payer = super::payer_without_permit2(&world);
    let permit = signed(&payer, permit(&payer, PermitKind::Permit2, 0));
    let refusal = refused(&world, &permit, &offer(PermitKind::Permit2)).await;
    assert_eq!(refusal.reason, Reason::PermitNotSupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn e03_a_token_that_keeps_a_fee_pays_nobody() {
    let fee: Address = address!("0x0Dd0000000000000000000000000000000000001");
    let world = World::with(Mining::Instant, ChainLimits { assets: vec![fee], ..ChainLimits::default() });
    open_till(&world, payee());
    let payer = world.payer(1);
    world.give(fee, payer.address(), 1_000_000);
    let offer = offer_of(ask(PermitKind::Eip2612, fee));
    let permit = signed(&payer, Permit { token: fee, ..permit(&payer, PermitKind::Eip2612, 0) });
    assert_eq!(refused(&world, &permit, &offer).await.reason, Reason::SimulationFailed);
    assert_eq!(world.transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e02_a_token_that_signs_with_another_domain_is_found_out() {
    let kind = PermitKind::Eip2612;
    let world = world(Mining::Instant);
    let payer = payer(&world, 1);
    let other = offer_of(PermitAsk { version: Some("9".into()), ..ask(kind, DOLLAR) });
    // Signed as the offer says, which is not as the token wants it.
    let mut permit = permit(&payer, kind, 0);
    let domain = groat_chain_evm::typed_data::Domain { version: "9".into(), ..domain(DOLLAR) };
    let message = Message::from_digest(permit_digest(&permit, &domain).0);
    let (recovery, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &payer.0).serialize_compact();
    permit.signature.0[..64].copy_from_slice(&bytes);
    permit.signature.0[64] = 27 + u8::try_from(i32::from(recovery)).unwrap();
    assert_eq!(refused(&world, &permit, &other).await.reason, Reason::TokenNameMismatch);
}

/// The dollar of the table can do all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_authorizations_is_paid_by_permit_as_well() {
    let world = world(Mining::Instant);
    let payer = world.payer(1);
    let offer = offer_of(ask(PermitKind::Eip2612, USDC));
    assert_eq!(offer.extra["version"], "2");
    let permit = signed(&payer, Permit { token: USDC, ..permit(&payer, PermitKind::Eip2612, 0) });
    world.engine.settle(&payment(&permit), &offer).await.unwrap();
    assert_eq!(world.received(), U256::from(UNITS));
}
