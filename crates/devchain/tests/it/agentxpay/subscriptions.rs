//! Access for a time.

use alloy_primitives::U256;
use alloy_sol_types::SolError;
use groat_devchain::agentxpay::{SERVICE_REGISTRY, SUBSCRIPTION_MANAGER as AT};

use super::interfaces::{Owned, PaymentManager, ServiceRegistry as R, SubscriptionManager as S};
use super::world::{START, World, wei};

const DAY: u64 = 86_400;

/// A service with a plan of 500 wei a day, and one of 3,000 a week.
fn plans(world: &World) -> U256 {
    let service = world.service(10);
    for (name, price, days) in [("day", 500u32, 1), ("week", 3_000, 7)] {
        let call = R::addSubscriptionPlanCall {
            serviceId: service,
            name: name.into(),
            price: wei(price),
            duration: wei(days * DAY),
        };
        world.send(&world.ada, SERVICE_REGISTRY, 0, call);
    }
    service
}

fn subscribe(service: U256, plan: u8) -> S::subscribeCall {
    S::subscribeCall { serviceId: service, planId: wei(plan) }
}

fn renew(number: u8) -> S::renewSubscriptionCall {
    S::renewSubscriptionCall { subscriptionId: wei(number) }
}

fn cancel(number: u8) -> S::cancelSubscriptionCall {
    S::cancelSubscriptionCall { subscriptionId: wei(number) }
}

fn toggle(number: u8) -> S::toggleAutoRenewCall {
    S::toggleAutoRenewCall { subscriptionId: wei(number) }
}

fn access(world: &World, service: U256) -> bool {
    world.ask(AT, S::checkAccessCall { user: world.bob.address, serviceId: service })
}

fn active(world: &World, number: u8) -> bool {
    world.ask(AT, S::isSubscriptionActiveCall { subscriptionId: wei(number) })
}

fn end(world: &World, number: u8) -> U256 {
    world.ask(AT, S::getSubscriptionCall { subscriptionId: wei(number) }).endTime
}

#[test]
fn subscribing_pays_the_provider_at_once_and_gives_back_the_rest() {
    let world = World::new();
    let service = plans(&world);
    assert!(!access(&world, service));
    let (bob, ada) = (world.bob.address, world.ada.address);
    let before = (world.coins(bob), world.coins(ada));
    let done = world.send(&world.bob, AT, 4_000, subscribe(service, 1));
    let subscribed = S::Subscribed {
        subscriptionId: wei(1u8),
        serviceId: service,
        planId: wei(1u8),
        subscriber: bob,
        startTime: wei(START),
        endTime: wei(START + 7 * DAY),
    };
    assert_eq!(done.events::<S::Subscribed>(), [subscribed]);
    let paid = S::SubscriptionPaid {
        serviceId: service,
        subscriber: bob,
        provider: ada,
        amount: wei(3_000u32),
        platformFee: U256::ZERO,
    };
    assert_eq!(done.events::<S::SubscriptionPaid>(), [paid]);
    assert_eq!(world.coins(bob), before.0 - done.fee - wei(3_000u32));
    assert_eq!(world.coins(ada), before.1 + wei(3_000u32));
    assert_eq!(world.coins(AT), U256::ZERO);
    let subscription = S::Subscription {
        subscriptionId: wei(1u8),
        serviceId: service,
        planId: wei(1u8),
        subscriber: bob,
        startTime: wei(START),
        endTime: wei(START + 7 * DAY),
        autoRenew: false,
        isActive: true,
    };
    assert_eq!(world.ask(AT, S::getSubscriptionCall { subscriptionId: wei(1u8) }), subscription);
    assert_eq!(world.ask(AT, S::getUserSubscriptionsCall { user: bob }), [wei(1u8)]);
    assert_eq!(world.ask(AT, S::getProviderEarningsCall { provider: ada }), wei(3_000u32));
    assert_eq!(world.ask(AT, S::getTotalSpentCall { user: bob }), wei(3_000u32));
    assert_eq!(world.ask(AT, S::platformFeeRateCall {}), U256::ZERO);
    assert!(access(&world, service) && active(&world, 1));
}

#[test]
fn access_ends_on_the_second() {
    let world = World::new();
    let service = plans(&world);
    world.send(&world.bob, AT, 500, subscribe(service, 0));
    world.chain.increase_time(DAY - 1);
    assert!(access(&world, service) && active(&world, 1));
    world.chain.increase_time(1);
    assert!(!access(&world, service) && !active(&world, 1));
}

#[test]
fn one_cannot_subscribe_twice_at_a_time() {
    let world = World::new();
    let service = plans(&world);
    world.send(&world.bob, AT, 500, subscribe(service, 0));
    let error = S::AlreadySubscribed { user: world.bob.address, serviceId: service }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 3_000, subscribe(service, 1)), error);
    // Somebody else, or another service, is another matter.
    world.send(&world.eve, AT, 500, subscribe(service, 0));
    let other = plans(&world);
    world.send(&world.bob, AT, 500, subscribe(other, 0));
    world.chain.increase_time(DAY);
    world.send(&world.bob, AT, 3_000, subscribe(service, 1));
    let numbers = world.ask(AT, S::getUserSubscriptionsCall { user: world.bob.address });
    assert_eq!(numbers, [wei(1u8), wei(3u8), wei(4u8)]);
    // The old one can no longer be paid for: it would give no access.
    let error = S::SubscriptionNotActive { subscriptionId: wei(1u8) }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 500, renew(1)), error);
}

#[test]
fn renewing_goes_on_from_the_end_or_from_now() {
    let world = World::new();
    let service = plans(&world);
    world.send(&world.bob, AT, 500, subscribe(service, 0));
    world.chain.increase_time(DAY / 2);
    let before = (world.coins(world.bob.address), world.coins(world.ada.address));
    let done = world.send(&world.bob, AT, 700, renew(1));
    let renewed = S::SubscriptionRenewed { subscriptionId: wei(1u8), newEndTime: wei(START + 2 * DAY) };
    assert_eq!(done.events::<S::SubscriptionRenewed>(), [renewed]);
    assert_eq!(done.events::<S::SubscriptionPaid>().len(), 1);
    assert_eq!(world.coins(world.bob.address), before.0 - done.fee - wei(500u32));
    assert_eq!(world.coins(world.ada.address), before.1 + wei(500u32));
    assert_eq!(end(&world, 1), wei(START + 2 * DAY));
    world.chain.increase_time(3 * DAY);
    assert!(!access(&world, service));
    world.send(&world.bob, AT, 500, renew(1));
    assert_eq!(end(&world, 1), wei(START + DAY / 2 + 4 * DAY));
    assert!(access(&world, service) && active(&world, 1));
    assert_eq!(world.ask(AT, S::getTotalSpentCall { user: world.bob.address }), wei(1_500u32));
}

#[test]
fn cancelling_keeps_the_access_that_was_paid_for() {
    let world = World::new();
    let service = plans(&world);
    world.send(&world.bob, AT, 500, subscribe(service, 0));
    world.send(&world.bob, AT, 0, toggle(1));
    let done = world.send(&world.bob, AT, 0, cancel(1));
    let cancelled = S::SubscriptionCancelled { subscriptionId: wei(1u8) };
    assert_eq!(done.events::<S::SubscriptionCancelled>(), [cancelled]);
    assert!(access(&world, service) && !active(&world, 1));
    assert!(!world.ask(AT, S::getSubscriptionCall { subscriptionId: wei(1u8) }).autoRenew);
    let error = S::SubscriptionNotActive { subscriptionId: wei(1u8) }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 500, renew(1)), error);
    assert_eq!(world.refused(&world.bob, AT, 0, cancel(1)), error);
    assert_eq!(world.refused(&world.bob, AT, 0, toggle(1)), error);
    let error = S::AlreadySubscribed { user: world.bob.address, serviceId: service }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 500, subscribe(service, 0)), error);
    world.chain.increase_time(DAY);
    assert!(!access(&world, service));
    world.send(&world.bob, AT, 500, subscribe(service, 0));
    assert!(access(&world, service) && active(&world, 2));
}

#[test]
fn the_wish_to_renew_is_only_a_wish() {
    let world = World::new();
    let service = plans(&world);
    world.send(&world.bob, AT, 500, subscribe(service, 0));
    for wish in [true, false, true] {
        let done = world.send(&world.bob, AT, 0, toggle(1));
        let toggled = S::AutoRenewToggled { subscriptionId: wei(1u8), autoRenew: wish };
        assert_eq!(done.events::<S::AutoRenewToggled>(), [toggled]);
    }
    world.chain.increase_time(DAY);
    assert!(!access(&world, service));
}

#[test]
fn only_the_subscriber_changes_a_subscription() {
    let world = World::new();
    let service = plans(&world);
    world.send(&world.bob, AT, 500, subscribe(service, 0));
    let error = S::NotSubscriber { subscriptionId: wei(1u8) }.abi_encode();
    assert_eq!(world.refused(&world.eve, AT, 500, renew(1)), error);
    assert_eq!(world.refused(&world.eve, AT, 0, cancel(1)), error);
    assert_eq!(world.refused(&world.eve, AT, 0, toggle(1)), error);
    for number in [0, 2] {
        let error = S::SubscriptionNotFound { subscriptionId: wei(number) }.abi_encode();
        assert_eq!(world.refused(&world.bob, AT, 500, renew(number)), error);
        let asked = S::isSubscriptionActiveCall { subscriptionId: wei(number) };
        assert_eq!(world.ask_refused(AT, asked), error);
        let asked = S::getSubscriptionCall { subscriptionId: wei(number) };
        assert_eq!(world.ask_refused(AT, asked), error);
    }
}

#[test]
fn a_subscription_needs_a_service_on_sale_a_plan_and_its_price() {
    let world = World::new();
    let service = plans(&world);
    let error = R::PlanNotFound { serviceId: service, planId: wei(2u8) }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 500, subscribe(service, 2)), error);
    let little = PaymentManager::InsufficientPayment { required: wei(500u32), provided: wei(499u32) };
    let little = little.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 499, subscribe(service, 0)), little);
    let unknown = PaymentManager::ServiceNotActive { serviceId: wei(9u8) }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 500, subscribe(wei(9u8), 0)), unknown);
    world.send(&world.bob, AT, 500, subscribe(service, 0));
    assert_eq!(world.refused(&world.bob, AT, 499, renew(1)), little);
    let off = R::deactivateServiceCall { serviceId: service };
    world.send(&world.ada, SERVICE_REGISTRY, 0, off);
    let error = PaymentManager::ServiceNotActive { serviceId: service }.abi_encode();
    assert_eq!(world.refused(&world.eve, AT, 500, subscribe(service, 0)), error);
    assert_eq!(world.refused(&world.bob, AT, 500, renew(1)), error);
    // What was paid for goes on.
    assert!(access(&world, service));
}

#[test]
fn a_pause_stops_subscribing_and_renewing_but_not_access() {
    let world = World::new();
    let service = plans(&world);
    world.send(&world.bob, AT, 500, subscribe(service, 0));
    let stranger = Owned::OwnableUnauthorizedAccount { account: world.eve.address }.abi_encode();
    assert_eq!(world.refused(&world.eve, AT, 0, Owned::pauseCall {}), stranger);
    world.send(&world.owner, AT, 0, Owned::pauseCall {});
    let paused = Owned::EnforcedPause {}.abi_encode();
    assert_eq!(world.refused(&world.eve, AT, 500, subscribe(service, 0)), paused);
    assert_eq!(world.refused(&world.bob, AT, 500, renew(1)), paused);
    assert!(access(&world, service));
    world.send(&world.bob, AT, 0, cancel(1));
}
