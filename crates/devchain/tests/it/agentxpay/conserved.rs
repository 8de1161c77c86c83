//! Whatever anybody calls in whatever order: every coin belongs to somebody, and nobody gets another's.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall;
use groat_devchain::agentxpay::{
    AGENT_WALLET_FACTORY, ESCROW, PAYMENT_MANAGER, SERVICE_REGISTRY, SUBSCRIPTION_MANAGER,
};

use super::interfaces::{
    AgentWallet as W, AgentWalletFactory as F, Escrow as E, PaymentManager as P, ServiceRegistry as R,
    SubscriptionManager as S,
};
use super::model::{Act, Escrow, LIMIT, Model, OWNER, PLANS, PRICE, PROVIDERS, Status, WALLET};
use super::world::{Account, START, World, wei};

const SEEDS: u64 = 24;
const ACTS: usize = 120;

#[test]
fn every_coin_belongs_to_somebody_in_any_order_of_calls() {
    let mut tally = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for _ in 0..ACTS {
            if run.random.below(4) == 0 {
                run.wait();
            }
            let (who, act) = run.random.act(&run.model.escrows);
            let done = run.act(who, &act);
            let name = format!("{act:?}").split(' ').next().unwrap_or_default().to_owned();
            *tally.entry((name, done)).or_insert(0) += 1;
        }
        run.close();
    }
    // Nothing is proved by calls that always fail, or never. Only coins for the wallet are never refused.
    assert_eq!(tally.len(), 2 * 21 - 1, "{tally:?}");
}

struct Run {
    seed: u64,
    random: Random,
    world: World,
    wallet: Address,
    model: Model,
    /// What gas has cost, and what there was in all.
    gas: u128,
    total: u128,
}

impl Run {
    fn new(seed: u64) -> Self {
        let world = World::new();
        for (provider, (price, seconds)) in PROVIDERS.into_iter().zip(PLANS) {
            let register = R::registerServiceCall {
                name: "service".into(),
                description: String::new(),
                endpoint: "https://api.example".into(),
                category: String::new(),
                pricePerCall: wei(PRICE),
            };
            let provider = account(&world, provider);
            let done = world.send(provider, SERVICE_REGISTRY, 0, register);
            let plan = R::addSubscriptionPlanCall {
                serviceId: done.events::<R::ServiceRegistered>()[0].serviceId,
                name: "plan".into(),
                price: wei(price),
                duration: wei(seconds),
            };
            world.send(provider, SERVICE_REGISTRY, 0, plan);
        }
        let done =
            world.send(&world.bob, AGENT_WALLET_FACTORY, 0, F::createWalletCall { dailyLimit: wei(LIMIT) });
        let wallet = done.events::<F::WalletCreated>()[0].wallet;
        world.send(&world.bob, wallet, 0, W::authorizeAgentCall { agent: world.eve.address });
        let mut run = Self {
            seed,
            random: Random(seed),
            model: Model::new(START, [0; 5]),
            world,
            wallet,
            gas: 0,
            total: 0,
        };
        run.model.coins = [0, 1, 2, 3, 4].map(|who| run.coins(run.address(who)));
        run.total = run.model.coins.iter().sum();
        run
    }

    fn address(&self, who: usize) -> Address {
        if who == WALLET { self.wallet } else { account(&self.world, who).address }
    }

    fn coins(&self, account: Address) -> u128 {
        self.world.coins(account).to()
    }

    fn wait(&mut self) {
        let seconds = [1, 60, 3_600, 40_000, 86_400][self.random.below(5)];
        self.world.chain.increase_time(seconds);
        self.model.now += seconds;
    }

    /// Does it on the chain and in the model, and compares everything.
    fn act(&mut self, who: usize, act: &Act) -> bool {
        let expected = self.model.apply(who, act);
        let (to, value, data) = self.call(act);
        let done = self.world.try_send(account(&self.world, who), to, value, data);
        assert_eq!(done.success, expected, "seed {}: {who} {act:?}", self.seed);
        let fee: u128 = done.fee.to();
        self.gas += fee;
        self.model.coins[who] -= fee;
        self.compare(&format!("seed {}: {who} {act:?}", self.seed));
        expected
    }

    fn compare(&self, after: &str) {
        let model = &self.model;
        let coins = [0, 1, 2, 3, 4].map(|who| self.coins(self.address(who)));
        assert_eq!(coins, model.coins, "{after}");
        let held = [PAYMENT_MANAGER, SUBSCRIPTION_MANAGER, ESCROW].map(|contract| self.coins(contract));
        let of = |who| {
            let (user, provider) = (self.address(who), self.address(who));
            let balance = self.world.ask(PAYMENT_MANAGER, P::getUserBalanceCall { user });
            let earnings = self.world.ask(PAYMENT_MANAGER, P::getProviderEarningsCall { provider });
            (balance.to::<u128>(), earnings.to::<u128>())
        };
        let mut owed = model.fees;
        for who in 0..5 {
            let (balance, earnings) = of(who);
            assert_eq!((balance, earnings), (model.balance[who], model.earnings[who]), "{after}");
            owed += balance + earnings;
        }
        let waiting = model.escrows.iter().filter(|escrow| escrow.status != Status::Over);
        assert_eq!(held, [owed, 0, waiting.map(|escrow| escrow.amount).sum()], "{after}");
        let total = coins.iter().chain(&held).sum::<u128>() + self.gas;
        assert_eq!(total, self.total, "{after}");
    }

    /// Everybody fetches what is left, and then there is nothing left.
    fn close(&mut self) {
        for who in 0..4 {
            let amount = self.model.balance[who];
            assert!(!self.act(who, &Act::Withdraw { amount: amount + 1 }));
            assert_eq!(self.act(who, &Act::Withdraw { amount }), amount > 0);
            self.act(who, &Act::FetchEarnings);
            assert!(!self.act(who, &Act::FetchEarnings));
        }
        self.act(OWNER, &Act::FetchFees);
        self.world.chain.increase_time(1_000_000);
        self.model.now += 1_000_000;
        for (number, escrow) in self.model.escrows.clone().into_iter().enumerate() {
            match escrow.status {
                Status::Funded => assert!(self.act(escrow.payer, &Act::Refund { number })),
                Status::Disputed => assert!(self.act(OWNER, &Act::Resolve { number, percent: 37 })),
                Status::Over => {}
            }
        }
        for contract in [PAYMENT_MANAGER, SUBSCRIPTION_MANAGER, ESCROW] {
            assert_eq!(self.coins(contract), 0, "seed {}", self.seed);
        }
    }

    /// The call: to whom, with what coins, saying what. Numbers count from 1 there.
    fn call(&self, act: &Act) -> (Address, u128, Vec<u8>) {
        let service_id = |service: usize| wei(service as u128 + 1);
        let number_of = service_id;
        let execute = |to, value, data: Vec<u8>| {
            let call = W::executeCall { to, value: wei(value), data: Bytes::from(data) };
            (self.wallet, 0, call.abi_encode())
        };
        match *act {
            Act::PayPerUse { service, value } => {
                let call = P::payPerUseCall { serviceId: service_id(service) };
                (PAYMENT_MANAGER, value, call.abi_encode())
            }
            Act::BatchPay { ref services, value } => {
                let ids = services.iter().map(|service| service_id(*service)).collect();
                (PAYMENT_MANAGER, value, P::batchPayCall { serviceIds: ids }.abi_encode())
            }
            Act::Deposit { value } => (PAYMENT_MANAGER, value, P::depositCall {}.abi_encode()),
            Act::Withdraw { amount } => {
                (PAYMENT_MANAGER, 0, P::withdrawCall { amount: wei(amount) }.abi_encode())
            }
            Act::PayFromBalance { service } => {
                let call = P::payFromBalanceCall { serviceId: service_id(service) };
                (PAYMENT_MANAGER, 0, call.abi_encode())
            }
            Act::FetchEarnings => (PAYMENT_MANAGER, 0, P::withdrawProviderEarningsCall {}.abi_encode()),
            Act::FetchFees => (PAYMENT_MANAGER, 0, P::withdrawPlatformFeesCall {}.abi_encode()),
            Act::SetRate { rate } => {
                (PAYMENT_MANAGER, 0, P::setPlatformFeeRateCall { newRate: wei(rate) }.abi_encode())
            }
            Act::SetPrice { service, price } => {
                let call = R::updateServiceCall {
                    serviceId: service_id(service),
                    name: "service".into(),
                    description: String::new(),
                    endpoint: "https://api.example".into(),
                    pricePerCall: wei(price),
                };
                (SERVICE_REGISTRY, 0, call.abi_encode())
            }
            Act::Subscribe { service, value } => {
                let call = S::subscribeCall { serviceId: service_id(service), planId: wei(0u8) };
                (SUBSCRIPTION_MANAGER, value, call.abi_encode())
            }
            Act::Renew { number, value } => {
                let call = S::renewSubscriptionCall { subscriptionId: number_of(number) };
                (SUBSCRIPTION_MANAGER, value, call.abi_encode())
            }
            Act::Cancel { number } => {
                let call = S::cancelSubscriptionCall { subscriptionId: number_of(number) };
                (SUBSCRIPTION_MANAGER, 0, call.abi_encode())
            }
            Act::CreateEscrow { provider, value, seconds } => {
                let call = E::createEscrowCall {
                    serviceId: wei(0u8),
                    provider: self.address(provider),
                    deadline: wei(self.model.now + seconds),
                    description: String::new(),
                };
                (ESCROW, value, call.abi_encode())
            }
            Act::Release { number } => {
                (ESCROW, 0, E::releaseEscrowCall { escrowId: number_of(number) }.abi_encode())
            }
            Act::Refund { number } => {
                (ESCROW, 0, E::refundEscrowCall { escrowId: number_of(number) }.abi_encode())
            }
            Act::Dispute { number } => {
                (ESCROW, 0, E::disputeEscrowCall { escrowId: number_of(number) }.abi_encode())
            }
            Act::Resolve { number, percent } => {
                let call = E::resolveDisputeCall { escrowId: number_of(number), payerPercent: wei(percent) };
                (ESCROW, 0, call.abi_encode())
            }
            Act::TopUp { value } => (self.wallet, value, Vec::new()),
            Act::WalletPays { service, value } => {
                let call = P::payPerUseCall { serviceId: service_id(service) };
                execute(PAYMENT_MANAGER, value, call.abi_encode())
            }
            Act::WalletGives { to, value } => execute(self.address(to), value, Vec::new()),
            Act::TakeOut { amount } => {
                (self.wallet, 0, W::withdrawFundsCall { amount: wei(amount) }.abi_encode())
            }
        }
    }
}

fn account(world: &World, who: usize) -> &Account {
    [&world.owner, &world.ada, &world.bob, &world.eve][who]
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % end as u64) as usize
    }

    fn upto(&mut self, most: usize) -> u128 {
        self.below(most + 1) as u128
    }

    /// Mostly an escrow with this status, where there is one.
    fn escrow(&mut self, escrows: &[Escrow], status: Status) -> usize {
        let fitting = escrows.iter().enumerate().filter(|(_, escrow)| escrow.status == status);
        let fitting: Vec<usize> = fitting.map(|(number, _)| number).collect();
        if fitting.is_empty() || self.below(4) == 0 {
            return self.below(escrows.len() + 1);
        }
        fitting[self.below(fitting.len())]
    }

    fn act(&mut self, escrows: &[Escrow]) -> (usize, Act) {
        let who = self.below(4);
        let number = self.below(5);
        let service = self.below(3).min(self.below(3));
        let value = self.upto(2_000);
        let act = match self.below(21) {
            0 => Act::PayPerUse { service, value },
            1 => {
                let services = (0..self.below(5)).map(|_| self.below(3).min(self.below(3))).collect();
                Act::BatchPay { services, value: self.upto(6_000) }
            }
            2 => Act::Deposit { value: value * self.upto(2) },
            3 => Act::Withdraw { amount: value },
            4 => Act::PayFromBalance { service },
            5 => Act::FetchEarnings,
            6 => Act::FetchFees,
            7 => Act::SetRate { rate: self.upto(1_200) },
            8 => Act::SetPrice { service, price: self.upto(1_500) },
            9 => Act::Subscribe { service, value },
            10 => Act::Renew { number, value },
            11 => Act::Cancel { number },
            12 => {
                let seconds = [0, 50, 5_000, 100_000][self.below(4)];
                Act::CreateEscrow { provider: self.below(5), value: value * self.upto(1), seconds }
            }
            13 => Act::Release { number: self.escrow(escrows, Status::Funded) },
            14 => Act::Refund { number: self.escrow(escrows, Status::Funded) },
            15 => Act::Dispute { number: self.escrow(escrows, Status::Funded) },
            16 => {
                let number = self.escrow(escrows, Status::Disputed);
                return (who.min(self.below(4)), Act::Resolve { number, percent: self.upto(120) });
            }
            17 => Act::TopUp { value },
            18 => Act::WalletPays { service, value },
            19 => Act::WalletGives { to: self.below(5), value },
            _ => Act::TakeOut { amount: value * self.upto(1) },
        };
        (who, act)
    }
}
