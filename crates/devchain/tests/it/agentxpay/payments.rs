//! Payments per call, balances, earnings and fees.

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolError};
use groat_devchain::agentxpay::{OWNER, PAYMENT_MANAGER as AT, SERVICE_REGISTRY};

use super::interfaces::{Owned, PaymentManager as P, ServiceRegistry};
use super::world::{World, wei};

fn made(world: &World, service: U256, payer: Address, amount: u128, fee: u128) -> P::PaymentMade {
    P::PaymentMade {
        serviceId: service,
        payer,
        provider: world.ada.address,
        amount: wei(amount),
        platformFee: wei(fee),
    }
}

fn pay(service: U256) -> P::payPerUseCall {
    P::payPerUseCall { serviceId: service }
}

fn balance(world: &World, user: Address) -> U256 {
    world.ask(AT, P::getUserBalanceCall { user })
}

fn earnings(world: &World, provider: Address) -> U256 {
    world.ask(AT, P::getProviderEarningsCall { provider })
}

#[test]
fn a_payment_says_service_payer_provider_price_and_fee() {
    let world = World::new();
    let service = world.service(10_050);
    let before = world.coins(world.bob.address);
    let done = world.send(&world.bob, AT, 10_050, pay(service));
    // One percent of 10,050 is 100.5, and the half goes to the provider.
    assert_eq!(done.events::<P::PaymentMade>(), [made(&world, service, world.bob.address, 10_050, 100)]);
    assert_eq!(done.logs.len(), 1);
    assert_eq!(done.logs[0].address, AT);
    assert_eq!(world.coins(world.bob.address), before - done.fee - wei(10_050u32));
    assert_eq!(world.coins(AT), wei(10_050u32));
    assert_eq!(earnings(&world, world.ada.address), wei(9_950u32));
    let user = world.bob.address;
    assert_eq!(world.ask(AT, P::getPaymentCountCall { user }), wei(1u8));
    assert_eq!(world.ask(AT, P::getTotalSpentCall { user }), wei(10_050u32));
    assert_eq!(balance(&world, user), U256::ZERO);
}

#[test]
fn what_is_beyond_the_price_comes_back() {
    let world = World::new();
    let service = world.service(1_000);
    let before = world.coins(world.bob.address);
    let done = world.send(&world.bob, AT, 5_000_000, pay(service));
    assert_eq!(done.events::<P::PaymentMade>(), [made(&world, service, world.bob.address, 1_000, 10)]);
    assert_eq!(world.coins(world.bob.address), before - done.fee - wei(1_000u32));
    assert_eq!(world.coins(AT), wei(1_000u32));
}

#[test]
fn too_little_pays_nothing() {
    let world = World::new();
    let service = world.service(1_000);
    let error = P::InsufficientPayment { required: wei(1_000u32), provided: wei(999u32) }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 999, pay(service)), error);
    let call = P::batchPayCall { serviceIds: vec![service; 3] };
    let error = P::InsufficientPayment { required: wei(3_000u32), provided: wei(2_999u32) }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 2_999, call), error);
    assert_eq!(world.coins(AT), U256::ZERO);
    assert_eq!(world.ask(AT, P::getPaymentCountCall { user: world.bob.address }), U256::ZERO);
}

#[test]
fn a_service_off_sale_or_unknown_cannot_be_paid() {
    let world = World::new();
    let service = world.service(1_000);
    let off = ServiceRegistry::deactivateServiceCall { serviceId: service };
    world.send(&world.ada, SERVICE_REGISTRY, 0, off);
    world.send(&world.bob, AT, 5_000, P::depositCall {});
    for service in [service, U256::ZERO, wei(2u8), U256::MAX] {
        let error = P::ServiceNotActive { serviceId: service }.abi_encode();
        assert_eq!(world.refused(&world.bob, AT, 1_000, pay(service)), error);
        let call = P::batchPayCall { serviceIds: vec![service] };
        assert_eq!(world.refused(&world.bob, AT, 1_000, call), error);
        let call = P::payFromBalanceCall { serviceId: service };
        assert_eq!(world.refused(&world.bob, AT, 0, call), error);
    }
}

#[test]
fn a_batch_says_each_payment_and_their_sum() {
    let world = World::new();
    let (cheap, dear) = (world.service(1_000), world.service(70_000));
    let before = world.coins(world.bob.address);
    let call = P::batchPayCall { serviceIds: vec![cheap, dear, cheap] };
    let done = world.send(&world.bob, AT, 100_000, call);
    let payer = world.bob.address;
    let payments = [(cheap, 1_000, 10), (dear, 70_000, 700), (cheap, 1_000, 10)];
    let payments = payments.map(|(service, amount, fee)| made(&world, service, payer, amount, fee));
    assert_eq!(done.events::<P::PaymentMade>(), payments);
    let batch = P::BatchPaymentMade { payer, totalAmount: wei(72_000u32), count: wei(3u8) };
    assert_eq!(done.events::<P::BatchPaymentMade>(), [batch]);
    assert_eq!(done.logs.len(), 4);
    assert_eq!(world.coins(payer), before - done.fee - wei(72_000u32));
    assert_eq!(world.ask(AT, P::getPaymentCountCall { user: payer }), wei(3u8));
    let nothing = P::batchPayCall { serviceIds: vec![] };
    assert_eq!(world.refused(&world.bob, AT, 1, nothing), Owned::ZeroAmount {}.abi_encode());
}

#[test]
fn a_balance_is_put_in_spent_and_taken_out() {
    let world = World::new();
    let service = world.service(1_000);
    let user = world.bob.address;
    let done = world.send(&world.bob, AT, 2_500, P::depositCall {});
    assert_eq!(done.events::<P::BalanceDeposited>(), [P::BalanceDeposited { user, amount: wei(2_500u32) }]);
    // A deposit is no payment, whatever it was meant for.
    assert_eq!(done.events::<P::PaymentMade>(), []);
    for left in [1_500u32, 500] {
        let done = world.send(&world.bob, AT, 0, P::payFromBalanceCall { serviceId: service });
        assert_eq!(done.events::<P::PaymentMade>(), [made(&world, service, user, 1_000, 10)]);
        assert_eq!(balance(&world, user), wei(left));
    }
    let error = P::InsufficientBalance { required: wei(1_000u32), available: wei(500u32) }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 0, P::payFromBalanceCall { serviceId: service }), error);
    let error = P::InsufficientBalance { required: wei(501u32), available: wei(500u32) }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 0, P::withdrawCall { amount: wei(501u32) }), error);
    let error = P::InsufficientBalance { required: wei(1u8), available: U256::ZERO }.abi_encode();
    assert_eq!(world.refused(&world.eve, AT, 0, P::withdrawCall { amount: wei(1u8) }), error);
    let before = world.coins(user);
    let done = world.send(&world.bob, AT, 0, P::withdrawCall { amount: wei(500u32) });
    assert_eq!(done.events::<P::BalanceWithdrawn>(), [P::BalanceWithdrawn { user, amount: wei(500u32) }]);
    assert_eq!(world.coins(user), before + wei(500u32) - done.fee);
    assert_eq!(balance(&world, user), U256::ZERO);
    for call in [P::depositCall {}.abi_encode(), P::withdrawCall { amount: U256::ZERO }.abi_encode()] {
        assert!(!world.try_send(&world.bob, AT, 0, call).success);
    }
    assert_eq!(world.refused(&world.bob, AT, 0, P::depositCall {}), Owned::ZeroAmount {}.abi_encode());
}

#[test]
fn earnings_and_fees_are_fetched_once_by_whom_they_belong_to() {
    let world = World::new();
    let service = world.service(10_000);
    world.send(&world.bob, AT, 10_000, pay(service));
    let none = P::NoEarningsToWithdraw {}.abi_encode();
    assert_eq!(world.refused(&world.eve, AT, 0, P::withdrawProviderEarningsCall {}), none);
    let before = world.coins(world.ada.address);
    let done = world.send(&world.ada, AT, 0, P::withdrawProviderEarningsCall {});
    let withdrawn = P::ProviderWithdrawn { provider: world.ada.address, amount: wei(9_900u32) };
    assert_eq!(done.events::<P::ProviderWithdrawn>(), [withdrawn]);
    assert_eq!(world.coins(world.ada.address), before + wei(9_900u32) - done.fee);
    assert_eq!(world.refused(&world.ada, AT, 0, P::withdrawProviderEarningsCall {}), none);
    // Whoever asks for it, the collector gets it.
    let before = world.coins(OWNER);
    world.send(&world.eve, AT, 0, P::withdrawPlatformFeesCall {});
    assert_eq!(world.coins(OWNER), before + wei(100u32));
    assert_eq!(world.coins(AT), U256::ZERO);
    assert_eq!(world.refused(&world.owner, AT, 0, P::withdrawPlatformFeesCall {}), none);
}

#[test]
fn the_owner_sets_a_rate_of_at_most_a_tenth() {
    let world = World::new();
    let service = world.service(10_000);
    let rate = |rate: u32| P::setPlatformFeeRateCall { newRate: wei(rate) };
    let stranger = Owned::OwnableUnauthorizedAccount { account: world.eve.address }.abi_encode();
    assert_eq!(world.refused(&world.eve, AT, 0, rate(0)), stranger);
    let error = P::InvalidFeeRate { feeRate: wei(1_001u32) }.abi_encode();
    assert_eq!(world.refused(&world.owner, AT, 0, rate(1_001)), error);
    for (set, fee) in [(1_000, 1_000), (0, 0)] {
        world.send(&world.owner, AT, 0, rate(set));
        assert_eq!(world.ask(AT, P::getPlatformFeeRateCall {}), wei(set));
        let done = world.send(&world.bob, AT, 10_000, pay(service));
        assert_eq!(done.events::<P::PaymentMade>(), [made(&world, service, world.bob.address, 10_000, fee)]);
    }
}

#[test]
fn fees_go_to_the_collector_of_the_day_and_never_to_nobody() {
    let world = World::new();
    let service = world.service(10_000);
    world.send(&world.bob, AT, 10_000, pay(service));
    let collector = |to: Address| P::setFeeCollectorCall { newCollector: to };
    let stranger = Owned::OwnableUnauthorizedAccount { account: world.eve.address }.abi_encode();
    assert_eq!(world.refused(&world.eve, AT, 0, collector(world.eve.address)), stranger);
    world.send(&world.owner, AT, 0, collector(Address::ZERO));
    let error = Owned::TransferFailed { to: Address::ZERO, amount: wei(100u8) }.abi_encode();
    assert_eq!(world.refused(&world.owner, AT, 0, P::withdrawPlatformFeesCall {}), error);
    world.send(&world.owner, AT, 0, collector(world.eve.address));
    assert_eq!(world.ask(AT, P::feeCollectorCall {}), world.eve.address);
    let before = world.coins(world.eve.address);
    world.send(&world.owner, AT, 0, P::withdrawPlatformFeesCall {});
    assert_eq!(world.coins(world.eve.address), before + wei(100u32));
}

#[test]
fn a_pause_stops_paying_but_not_fetching() {
    let world = World::new();
    let service = world.service(1_000);
    world.send(&world.bob, AT, 5_000, P::depositCall {});
    world.send(&world.bob, AT, 1_000, pay(service));
    let stranger = Owned::OwnableUnauthorizedAccount { account: world.eve.address }.abi_encode();
    assert_eq!(world.refused(&world.eve, AT, 0, Owned::pauseCall {}), stranger);
    world.send(&world.owner, AT, 0, Owned::pauseCall {});
    let paused = Owned::EnforcedPause {}.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 1_000, pay(service)), paused);
    assert_eq!(world.refused(&world.bob, AT, 1_000, P::batchPayCall { serviceIds: vec![service] }), paused);
    assert_eq!(world.refused(&world.bob, AT, 0, P::payFromBalanceCall { serviceId: service }), paused);
    assert_eq!(world.refused(&world.bob, AT, 1, P::depositCall {}), paused);
    world.send(&world.bob, AT, 0, P::withdrawCall { amount: wei(5_000u32) });
    world.send(&world.ada, AT, 0, P::withdrawProviderEarningsCall {});
    world.send(&world.eve, AT, 0, P::withdrawPlatformFeesCall {});
    assert_eq!(world.coins(AT), U256::ZERO);
    world.send(&world.owner, AT, 0, Owned::unpauseCall {});
    world.send(&world.bob, AT, 1_000, pay(service));
}

#[test]
fn coins_sent_without_a_word_are_not_taken() {
    let world = World::new();
    for contract in [AT, SERVICE_REGISTRY] {
        assert!(!world.try_send(&world.bob, contract, 1, vec![]).success);
    }
}
