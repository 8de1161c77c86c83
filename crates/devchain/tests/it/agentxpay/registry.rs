//! Services and plans.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolError;
use groat_devchain::agentxpay::{
    ESCROW, OWNER, PAYMENT_MANAGER, PLATFORM_FEE_RATE, SERVICE_REGISTRY, SUBSCRIPTION_MANAGER,
};

use super::interfaces::{Owned, PaymentManager, ServiceRegistry as R};
use super::world::{START, World, wei};

fn register(name: &str, endpoint: &str, price: u128) -> R::registerServiceCall {
    R::registerServiceCall {
        name: name.into(),
        description: String::new(),
        endpoint: endpoint.into(),
        category: "data".into(),
        pricePerCall: wei(price),
    }
}

fn update(service: U256) -> R::updateServiceCall {
    R::updateServiceCall {
        serviceId: service,
        name: "tides".into(),
        description: "when the water comes".into(),
        endpoint: "https://api.example/tides".into(),
        pricePerCall: wei(9u8),
    }
}

fn plan(service: U256, name: &str, price: u128, duration: u64) -> R::addSubscriptionPlanCall {
    R::addSubscriptionPlanCall {
        serviceId: service,
        name: name.into(),
        price: wei(price),
        duration: wei(duration),
    }
}

#[test]
fn the_contracts_are_constructed_in_place_and_the_owner_has_sent_nothing() {
    let world = World::new();
    for contract in [SERVICE_REGISTRY, PAYMENT_MANAGER, SUBSCRIPTION_MANAGER, ESCROW] {
        assert_eq!(world.ask(contract, Owned::ownerCall {}), OWNER);
    }
    for contract in [PAYMENT_MANAGER, SUBSCRIPTION_MANAGER] {
        assert_eq!(world.ask(contract, Owned::serviceRegistryCall {}), SERVICE_REGISTRY);
    }
    assert_eq!(world.ask(PAYMENT_MANAGER, PaymentManager::feeCollectorCall {}), OWNER);
    assert_eq!(world.ask(PAYMENT_MANAGER, PaymentManager::platformFeeRateCall {}), wei(PLATFORM_FEE_RATE));
    assert_eq!(world.ask(SERVICE_REGISTRY, R::getServiceCountCall {}), wei(0u8));
    assert_eq!(world.coins(OWNER), wei(10_000 * 10u128.pow(18)));
    let nonce = world.chain.request("eth_getTransactionCount", serde_json::json!([OWNER, "latest"]));
    assert_eq!(nonce.unwrap(), "0x0");
}

#[test]
fn services_count_from_one_and_say_who_what_and_how_much() {
    let world = World::new();
    let done = world.send(&world.ada, SERVICE_REGISTRY, 0, register("weather", "https://w", 7));
    let registered = R::ServiceRegistered {
        serviceId: wei(1u8),
        provider: world.ada.address,
        name: "weather".into(),
        pricePerCall: wei(7u8),
    };
    assert_eq!(done.events::<R::ServiceRegistered>(), [registered]);
    let service = R::Service {
        id: wei(1u8),
        provider: world.ada.address,
        name: "weather".into(),
        description: String::new(),
        endpoint: "https://w".into(),
        category: "data".into(),
        pricePerCall: wei(7u8),
        isActive: true,
        createdAt: wei(START),
    };
    assert_eq!(world.ask(SERVICE_REGISTRY, R::getServiceDetailsCall { serviceId: wei(1u8) }), service);
    world.send(&world.bob, SERVICE_REGISTRY, 0, register("tides", "https://t", 8));
    assert_eq!(world.ask(SERVICE_REGISTRY, R::getServiceCountCall {}), wei(2u8));
    let of = |provider: Address| world.ask(SERVICE_REGISTRY, R::getServicesByProviderCall { provider });
    assert_eq!((of(world.ada.address), of(world.bob.address)), (vec![wei(1u8)], vec![wei(2u8)]));
    let found = |category: &str| {
        let call = R::getServicesByCategoryCall { category: category.into() };
        world.ask(SERVICE_REGISTRY, call).iter().map(|service| service.id).collect::<Vec<_>>()
    };
    assert_eq!((found("data"), found("art")), (vec![wei(1u8), wei(2u8)], vec![]));
}

#[test]
fn a_service_needs_a_name_an_endpoint_and_a_price() {
    let world = World::new();
    for (call, error) in [
        (register("", "https://w", 7), R::InvalidServiceName {}.abi_encode()),
        (register("weather", "", 7), R::InvalidEndpoint {}.abi_encode()),
        (register("weather", "https://w", 0), R::InvalidPrice {}.abi_encode()),
    ] {
        assert_eq!(world.refused(&world.ada, SERVICE_REGISTRY, 0, call), error);
    }
    let service = world.service(7);
    for (change, error) in [
        (
            R::updateServiceCall { name: String::new(), ..update(service) },
            R::InvalidServiceName {}.abi_encode(),
        ),
        (
            R::updateServiceCall { endpoint: String::new(), ..update(service) },
            R::InvalidEndpoint {}.abi_encode(),
        ),
        (R::updateServiceCall { pricePerCall: wei(0u8), ..update(service) }, R::InvalidPrice {}.abi_encode()),
    ] {
        assert_eq!(world.refused(&world.ada, SERVICE_REGISTRY, 0, change), error);
    }
}

#[test]
fn only_the_provider_changes_a_service() {
    let world = World::new();
    let service = world.service(7);
    let done = world.send(&world.ada, SERVICE_REGISTRY, 0, update(service));
    assert_eq!(done.events::<R::ServiceUpdated>(), [R::ServiceUpdated { serviceId: service }]);
    let now = world.ask(SERVICE_REGISTRY, R::getServiceDetailsCall { serviceId: service });
    assert_eq!((now.name.as_str(), now.description.as_str()), ("tides", "when the water comes"));
    assert_eq!((now.endpoint.as_str(), now.category.as_str()), ("https://api.example/tides", "data"));
    assert_eq!((now.pricePerCall, now.provider), (wei(9u8), world.ada.address));
    let error = R::NotServiceProvider { serviceId: service, caller: world.eve.address }.abi_encode();
    let (eve, at) = (&world.eve, SERVICE_REGISTRY);
    assert_eq!(world.refused(eve, at, 0, update(service)), error);
    assert_eq!(world.refused(eve, at, 0, R::deactivateServiceCall { serviceId: service }), error);
    assert_eq!(world.refused(eve, at, 0, R::activateServiceCall { serviceId: service }), error);
    assert_eq!(world.refused(eve, at, 0, plan(service, "month", 1, 1)), error);
}

#[test]
fn a_service_goes_off_sale_and_on_again() {
    let world = World::new();
    let service = world.service(7);
    let (ada, at) = (&world.ada, SERVICE_REGISTRY);
    let active = || world.ask(at, R::isServiceActiveCall { serviceId: service });
    let error = R::ServiceAlreadyActive { serviceId: service }.abi_encode();
    assert_eq!(world.refused(ada, at, 0, R::activateServiceCall { serviceId: service }), error);
    let done = world.send(ada, at, 0, R::deactivateServiceCall { serviceId: service });
    assert_eq!(done.events::<R::ServiceDeactivated>(), [R::ServiceDeactivated { serviceId: service }]);
    assert!(!active());
    let error = R::ServiceAlreadyInactive { serviceId: service }.abi_encode();
    assert_eq!(world.refused(ada, at, 0, R::deactivateServiceCall { serviceId: service }), error);
    let done = world.send(ada, at, 0, R::activateServiceCall { serviceId: service });
    assert_eq!(done.events::<R::ServiceActivated>(), [R::ServiceActivated { serviceId: service }]);
    assert!(active());
}

#[test]
fn plans_count_from_zero_for_each_service() {
    let world = World::new();
    let (service, other) = (world.service(7), world.service(8));
    let at = SERVICE_REGISTRY;
    let done = world.send(&world.ada, at, 0, plan(service, "day", 50, 86_400));
    let added = R::SubscriptionPlanAdded {
        serviceId: service,
        planId: wei(0u8),
        name: "day".into(),
        price: wei(50u8),
        duration: wei(86_400u32),
    };
    assert_eq!(done.events::<R::SubscriptionPlanAdded>(), [added]);
    world.send(&world.ada, at, 0, plan(service, "week", 300, 604_800));
    world.send(&world.ada, at, 0, plan(other, "hour", 5, 3_600));
    let week = R::SubscriptionPlan {
        planId: wei(1u8),
        serviceId: service,
        price: wei(300u16),
        duration: wei(604_800u32),
        name: "week".into(),
    };
    let asked = R::getSubscriptionPlanCall { serviceId: service, planId: wei(1u8) };
    assert_eq!(world.ask(at, asked), week);
    let plans = world.ask(at, R::getSubscriptionPlansCall { serviceId: service });
    assert_eq!((plans.len(), &plans[1]), (2, &week));
    let asked = R::getSubscriptionPlanCall { serviceId: other, planId: wei(1u8) };
    let error = R::PlanNotFound { serviceId: other, planId: wei(1u8) }.abi_encode();
    assert_eq!(world.ask_refused(at, asked), error);
    for (call, error) in [
        (plan(service, "", 1, 1), R::InvalidServiceName {}.abi_encode()),
        (plan(service, "free", 0, 1), R::InvalidPrice {}.abi_encode()),
        (plan(service, "never", 1, 0), R::InvalidPrice {}.abi_encode()),
    ] {
        assert_eq!(world.refused(&world.ada, at, 0, call), error);
    }
}

#[test]
fn a_service_that_is_not_there_is_not_found() {
    let world = World::new();
    world.service(7);
    for number in [U256::ZERO, wei(2u8), U256::MAX] {
        let error = R::ServiceNotFound { serviceId: number }.abi_encode();
        let at = SERVICE_REGISTRY;
        assert_eq!(world.ask_refused(at, R::getServiceDetailsCall { serviceId: number }), error);
        assert_eq!(world.ask_refused(at, R::getSubscriptionPlansCall { serviceId: number }), error);
        let asked = R::getSubscriptionPlanCall { serviceId: number, planId: wei(0u8) };
        assert_eq!(world.ask_refused(at, asked), error);
        assert_eq!(world.refused(&world.ada, at, 0, update(number)), error);
        assert!(!world.ask(at, R::isServiceActiveCall { serviceId: number }));
    }
}

#[test]
fn a_pause_of_the_registry_stops_everything_but_going_off_sale() {
    let world = World::new();
    let service = world.service(7);
    let at = SERVICE_REGISTRY;
    let error = Owned::OwnableUnauthorizedAccount { account: world.eve.address }.abi_encode();
    assert_eq!(world.refused(&world.eve, at, 0, Owned::pauseCall {}), error);
    world.send(&world.owner, at, 0, Owned::pauseCall {});
    assert!(world.ask(at, Owned::pausedCall {}));
    let error = Owned::EnforcedPause {}.abi_encode();
    assert_eq!(world.refused(&world.ada, at, 0, register("weather", "https://w", 7)), error);
    assert_eq!(world.refused(&world.ada, at, 0, update(service)), error);
    assert_eq!(world.refused(&world.ada, at, 0, plan(service, "day", 1, 1)), error);
    world.send(&world.ada, at, 0, R::deactivateServiceCall { serviceId: service });
    assert_eq!(world.refused(&world.ada, at, 0, R::activateServiceCall { serviceId: service }), error);
    assert_eq!(
        world.refused(&world.eve, at, 0, Owned::unpauseCall {}),
        Owned::OwnableUnauthorizedAccount { account: world.eve.address }.abi_encode()
    );
    world.send(&world.owner, at, 0, Owned::unpauseCall {});
    world.send(&world.ada, at, 0, R::activateServiceCall { serviceId: service });
}
