//! A contract that calls back whoever sends it coins gets nothing by it.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolError};
use groat_devchain::agentxpay::{
    AGENT_WALLET_FACTORY, ESCROW, PAYMENT_MANAGER, SERVICE_REGISTRY, SUBSCRIPTION_MANAGER,
};
use serde_json::Value;

use super::interfaces::{
    AgentWallet as W, AgentWalletFactory as F, Escrow as E, Owned, PaymentManager as P, Reenterer,
    ServiceRegistry as R, SubscriptionManager as S,
};
use super::world::{Done, START, World, wei};

/// A world in which Eve has such a contract.
struct Attack {
    world: World,
    contract: Address,
}

impl Attack {
    fn new() -> Self {
        let artifact = include_str!("../../../../../contracts/artifacts/Reenterer.json");
        let artifact: Value = serde_json::from_str(artifact).unwrap();
        let code: Bytes = artifact["bytecode"].as_str().unwrap().parse().unwrap();
        let world = World::new();
        let contract = world.create(&world.eve, code);
        Self { world, contract }
    }

    /// Lets the contract call somebody.
    fn run(&self, to: Address, value: u128, call: impl SolCall) -> Done {
        let call = Reenterer::runCall { to, data: call.abi_encode().into() };
        self.world.send(&self.world.eve, self.contract, value, call)
    }

    /// From now on it calls back with this whenever it gets coins.
    fn arm(&self, target: Address, attack: impl SolCall) {
        let call = Reenterer::planCall { target, attack: attack.abi_encode().into() };
        self.world.send(&self.world.eve, self.contract, 0, call);
    }

    /// It has tried `attempts` times in all and was never let through, the last time because of the guard.
    fn is_beaten(&self, attempts: u32) {
        assert_eq!(self.world.ask(self.contract, Reenterer::attemptsCall {}), wei(attempts));
        assert_eq!(self.world.ask(self.contract, Reenterer::successesCall {}), U256::ZERO);
        let why = Owned::ReentrancyGuardReentrantCall {}.abi_encode();
        assert_eq!(self.world.ask(self.contract, Reenterer::answerCall {}), why);
    }

    fn coins(&self) -> U256 {
        self.world.coins(self.contract)
    }
}

#[test]
fn a_balance_is_not_withdrawn_twice_in_one_call() {
    let attack = Attack::new();
    attack.world.send(&attack.world.bob, PAYMENT_MANAGER, 10_000, P::depositCall {});
    attack.run(PAYMENT_MANAGER, 1_000, P::depositCall {});
    attack.arm(PAYMENT_MANAGER, P::withdrawCall { amount: wei(400u32) });
    attack.run(PAYMENT_MANAGER, 0, P::withdrawCall { amount: wei(400u32) });
    attack.is_beaten(1);
    assert_eq!((attack.coins(), attack.world.coins(PAYMENT_MANAGER)), (wei(400u32), wei(10_600u32)));
}

#[test]
fn what_comes_back_from_a_payment_buys_nothing_on_its_way() {
    let attack = Attack::new();
    let service = attack.world.service(100);
    attack.run(PAYMENT_MANAGER, 1_000, P::depositCall {});
    attack.arm(PAYMENT_MANAGER, P::payFromBalanceCall { serviceId: service });
    let done = attack.run(PAYMENT_MANAGER, 150, P::payPerUseCall { serviceId: service });
    attack.is_beaten(1);
    assert_eq!(done.events::<P::PaymentMade>().len(), 1);
    attack.run(PAYMENT_MANAGER, 250, P::batchPayCall { serviceIds: vec![service; 2] });
    attack.is_beaten(2);
    assert_eq!(attack.coins(), wei(100u32));
}

#[test]
fn earnings_and_fees_are_not_fetched_twice_in_one_call() {
    let attack = Attack::new();
    let register = R::registerServiceCall {
        name: "trap".into(),
        description: String::new(),
        endpoint: "https://trap.example".into(),
        category: String::new(),
        pricePerCall: wei(1_000u32),
    };
    attack.run(SERVICE_REGISTRY, 0, register);
    let world = &attack.world;
    world.send(&world.bob, PAYMENT_MANAGER, 1_000, P::payPerUseCall { serviceId: wei(1u8) });
    world.send(&world.bob, PAYMENT_MANAGER, 9_000, P::depositCall {});
    attack.arm(PAYMENT_MANAGER, P::withdrawProviderEarningsCall {});
    attack.run(PAYMENT_MANAGER, 0, P::withdrawProviderEarningsCall {});
    attack.is_beaten(1);
    assert_eq!(attack.coins(), wei(990u32));
    let collector = P::setFeeCollectorCall { newCollector: attack.contract };
    world.send(&world.owner, PAYMENT_MANAGER, 0, collector);
    attack.arm(PAYMENT_MANAGER, P::withdrawPlatformFeesCall {});
    world.send(&world.bob, PAYMENT_MANAGER, 0, P::withdrawPlatformFeesCall {});
    attack.is_beaten(2);
    assert_eq!((attack.coins(), world.coins(PAYMENT_MANAGER)), (wei(1_000u32), wei(9_000u32)));
}

#[test]
fn an_escrow_is_paid_out_once() {
    let attack = Attack::new();
    let world = &attack.world;
    let create = E::createEscrowCall {
        serviceId: U256::ZERO,
        provider: world.ada.address,
        deadline: wei(START + 10),
        description: String::new(),
    };
    world.send(&world.bob, ESCROW, 10_000, create.clone());
    attack.run(ESCROW, 500, create.clone());
    world.chain.increase_time(10);
    attack.arm(ESCROW, E::refundEscrowCall { escrowId: wei(2u8) });
    attack.run(ESCROW, 0, E::refundEscrowCall { escrowId: wei(2u8) });
    attack.is_beaten(1);
    let create = E::createEscrowCall { deadline: wei(START + 20), ..create };
    let to_it = E::createEscrowCall { provider: attack.contract, ..create.clone() };
    world.send(&world.bob, ESCROW, 300, to_it);
    attack.arm(ESCROW, E::refundEscrowCall { escrowId: wei(3u8) });
    world.send(&world.bob, ESCROW, 0, E::releaseEscrowCall { escrowId: wei(3u8) });
    attack.is_beaten(2);
    attack.run(ESCROW, 200, create);
    world.send(&world.ada, ESCROW, 0, E::disputeEscrowCall { escrowId: wei(4u8) });
    attack.arm(ESCROW, E::releaseEscrowCall { escrowId: wei(4u8) });
    world.send(
        &world.owner,
        ESCROW,
        0,
        E::resolveDisputeCall { escrowId: wei(4u8), payerPercent: wei(50u8) },
    );
    attack.is_beaten(3);
    assert_eq!((attack.coins(), world.coins(ESCROW)), (wei(900u32), wei(10_000u32)));
}

#[test]
fn a_subscription_is_bought_once() {
    let attack = Attack::new();
    let world = &attack.world;
    let service = world.service(1);
    let plan = R::addSubscriptionPlanCall {
        serviceId: service,
        name: "day".into(),
        price: wei(100u8),
        duration: wei(9u8),
    };
    world.send(&world.ada, SERVICE_REGISTRY, 0, plan);
    let subscribe = S::subscribeCall { serviceId: service, planId: U256::ZERO };
    attack.arm(SUBSCRIPTION_MANAGER, subscribe.clone());
    attack.run(SUBSCRIPTION_MANAGER, 150, subscribe);
    attack.is_beaten(1);
    attack.arm(SUBSCRIPTION_MANAGER, S::renewSubscriptionCall { subscriptionId: wei(1u8) });
    attack.run(SUBSCRIPTION_MANAGER, 150, S::renewSubscriptionCall { subscriptionId: wei(1u8) });
    attack.is_beaten(2);
    assert_eq!((attack.coins(), world.coins(SUBSCRIPTION_MANAGER)), (wei(100u32), U256::ZERO));
    let numbers = world.ask(SUBSCRIPTION_MANAGER, S::getUserSubscriptionsCall { user: attack.contract });
    assert_eq!(numbers, [wei(1u8)]);
}

#[test]
fn an_account_spends_and_pays_out_once() {
    let attack = Attack::new();
    let world = &attack.world;
    let done = attack.run(AGENT_WALLET_FACTORY, 0, F::createWalletCall { dailyLimit: wei(100u8) });
    let wallet = done.events::<F::WalletCreated>()[0].wallet;
    assert!(world.try_send(&world.bob, wallet, 1_000, vec![]).success);
    let give = W::executeCall { to: attack.contract, value: wei(60u8), data: Bytes::new() };
    attack.arm(wallet, give.clone());
    attack.run(wallet, 0, give);
    attack.is_beaten(1);
    attack.arm(wallet, W::withdrawFundsCall { amount: wei(500u32) });
    attack.run(wallet, 0, W::withdrawFundsCall { amount: wei(500u32) });
    attack.is_beaten(2);
    assert_eq!((attack.coins(), world.coins(wallet)), (wei(560u32), wei(440u32)));
}

#[test]
fn who_refuses_coins_keeps_nobody_else_from_theirs() {
    let attack = Attack::new();
    let world = &attack.world;
    // A contract that has no way to take coins.
    let deaf = SERVICE_REGISTRY;
    let create = E::createEscrowCall {
        serviceId: U256::ZERO,
        provider: deaf,
        deadline: wei(START + 10),
        description: String::new(),
    };
    world.send(&world.bob, ESCROW, 500, create);
    let error = Owned::TransferFailed { to: deaf, amount: wei(500u32) }.abi_encode();
    let release = E::releaseEscrowCall { escrowId: wei(1u8) };
    assert_eq!(world.refused(&world.bob, ESCROW, 0, release), error);
    world.chain.increase_time(10);
    world.send(&world.bob, ESCROW, 0, E::refundEscrowCall { escrowId: wei(1u8) });
    assert_eq!(world.coins(ESCROW), U256::ZERO);
}
