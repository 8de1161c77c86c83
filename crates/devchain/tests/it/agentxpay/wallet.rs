//! Accounts from which agents spend, and where they come from.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolError};
use groat_devchain::agentxpay::{AGENT_WALLET_FACTORY as FACTORY, PAYMENT_MANAGER};

use super::interfaces::{AgentWallet as W, AgentWalletFactory as F, Owned, PaymentManager as P};
use super::world::{World, wei};

const LIMIT: u32 = 1_000;

/// Bob's account with 5,000 wei, of which Eve may spend 1,000 a day.
fn wallet(world: &World) -> Address {
    let done = world.send(&world.bob, FACTORY, 0, F::createWalletCall { dailyLimit: wei(LIMIT) });
    let wallet = done.events::<F::WalletCreated>()[0].wallet;
    world.send(&world.bob, wallet, 0, W::authorizeAgentCall { agent: world.eve.address });
    assert!(world.try_send(&world.ada, wallet, 5_000, vec![]).success);
    wallet
}

fn give(to: Address, value: u32) -> W::executeCall {
    W::executeCall { to, value: wei(value), data: Bytes::new() }
}

fn remaining(world: &World, wallet: Address) -> U256 {
    world.ask(wallet, W::getRemainingDailyAllowanceCall {})
}

#[test]
fn the_factory_makes_accounts_and_remembers_whose() {
    let world = World::new();
    let owner = world.bob.address;
    let done = world.send(&world.bob, FACTORY, 0, F::createWalletCall { dailyLimit: wei(LIMIT) });
    let created = done.events::<F::WalletCreated>();
    let wallet = created[0].wallet;
    assert_eq!(created, [F::WalletCreated { owner, wallet, dailyLimit: wei(LIMIT) }]);
    assert_eq!(world.ask(wallet, W::getOwnerCall {}), owner);
    assert_eq!(world.ask(wallet, W::getDailySpendingLimitCall {}), wei(LIMIT));
    assert_eq!(remaining(&world, wallet), wei(LIMIT));
    let done = world.send(&world.bob, FACTORY, 0, F::createWalletCall { dailyLimit: wei(2u8) });
    let second = done.events::<F::WalletCreated>()[0].wallet;
    assert_ne!(wallet, second);
    assert_eq!(world.ask(FACTORY, F::getWalletsCall { owner }), [wallet, second]);
    assert_eq!(world.ask(FACTORY, F::getWalletCountCall { owner }), wei(2u8));
    assert_eq!(world.ask(FACTORY, F::getWalletCountCall { owner: world.eve.address }), U256::ZERO);
}

#[test]
fn an_agent_pays_for_a_service_and_the_account_is_the_payer() {
    let world = World::new();
    let (wallet, service) = (wallet(&world), world.service(600));
    let pay = Bytes::from(P::payPerUseCall { serviceId: service }.abi_encode());
    let call = W::executeCall { to: PAYMENT_MANAGER, value: wei(700u32), data: pay.clone() };
    let done = world.send(&world.eve, wallet, 0, call);
    let payments = done.events::<P::PaymentMade>();
    assert_eq!((payments[0].payer, payments[0].amount), (wallet, wei(600u32)));
    let executed = W::Executed { to: PAYMENT_MANAGER, value: wei(700u32), data: pay };
    assert_eq!(done.events::<W::Executed>(), [executed]);
    // The change came back, but what left has left.
    assert_eq!(world.coins(wallet), wei(4_400u32));
    let back = W::Deposited { from: PAYMENT_MANAGER, amount: wei(100u8) };
    assert_eq!(done.events::<W::Deposited>(), [back]);
    assert_eq!(world.ask(wallet, W::getDailySpentCall {}), wei(700u32));
    assert_eq!(remaining(&world, wallet), wei(300u32));
}

#[test]
fn a_day_has_a_limit_and_the_next_day_another() {
    let world = World::new();
    let wallet = wallet(&world);
    let to = Address::repeat_byte(7);
    world.send(&world.eve, wallet, 0, give(to, 600));
    let error = W::ExceedsDailyLimit { requested: wei(401u32), remaining: wei(400u32) }.abi_encode();
    assert_eq!(world.refused(&world.eve, wallet, 0, give(to, 401)), error);
    // The limit is that of the account, not that of an agent.
    assert_eq!(world.refused(&world.bob, wallet, 0, give(to, 401)), error);
    world.send(&world.bob, wallet, 0, give(to, 400));
    let error = W::ExceedsDailyLimit { requested: wei(1u8), remaining: U256::ZERO }.abi_encode();
    world.chain.increase_time(86_399);
    assert_eq!(world.refused(&world.eve, wallet, 0, give(to, 1)), error);
    world.chain.increase_time(1);
    assert_eq!(world.ask(wallet, W::getDailySpentCall {}), U256::ZERO);
    world.send(&world.eve, wallet, 0, give(to, LIMIT));
    assert_eq!(world.coins(to), wei(2_000u32));
}

#[test]
fn a_new_limit_counts_what_was_spent() {
    let world = World::new();
    let wallet = wallet(&world);
    let to = Address::repeat_byte(7);
    world.send(&world.eve, wallet, 0, give(to, 600));
    let limit = |limit: u32| W::setDailySpendingLimitCall { limit: wei(limit) };
    for other in [&world.eve, &world.ada] {
        assert_eq!(world.refused(other, wallet, 0, limit(9)), W::NotOwner {}.abi_encode());
    }
    let done = world.send(&world.bob, wallet, 0, limit(500));
    assert_eq!(done.events::<W::SpendingLimitSet>(), [W::SpendingLimitSet { dailyLimit: wei(500u32) }]);
    assert_eq!(remaining(&world, wallet), U256::ZERO);
    world.send(&world.bob, wallet, 0, limit(650));
    assert_eq!(remaining(&world, wallet), wei(50u8));
    // Calls without coins are always within it.
    world.send(&world.eve, wallet, 0, give(to, 0));
}

#[test]
fn agents_come_and_go_by_the_owner() {
    let world = World::new();
    let wallet = wallet(&world);
    let (eve, ada) = (world.eve.address, world.ada.address);
    let authorize = |agent| W::authorizeAgentCall { agent };
    let revoke = |agent| W::revokeAgentCall { agent };
    for other in [&world.eve, &world.ada] {
        assert_eq!(world.refused(other, wallet, 0, authorize(ada)), W::NotOwner {}.abi_encode());
        assert_eq!(world.refused(other, wallet, 0, revoke(eve)), W::NotOwner {}.abi_encode());
    }
    let already = W::AgentAlreadyAuthorized {}.abi_encode();
    assert_eq!(world.refused(&world.bob, wallet, 0, authorize(eve)), already);
    let unknown = W::AgentNotAuthorized {}.abi_encode();
    assert_eq!(world.refused(&world.bob, wallet, 0, revoke(ada)), unknown);
    let done = world.send(&world.bob, wallet, 0, authorize(ada));
    assert_eq!(done.events::<W::AgentAuthorized>(), [W::AgentAuthorized { agent: ada }]);
    assert_eq!(world.ask(wallet, W::getAuthorizedAgentsCall {}), [eve, ada]);
    assert_eq!(world.ask(wallet, W::getAuthorizedAgentCountCall {}), wei(2u8));
    let done = world.send(&world.bob, wallet, 0, revoke(eve));
    assert_eq!(done.events::<W::AgentRevoked>(), [W::AgentRevoked { agent: eve }]);
    assert_eq!(world.ask(wallet, W::getAuthorizedAgentsCall {}), [ada]);
    assert!(!world.ask(wallet, W::isAuthorizedAgentCall { agent: eve }));
    assert!(world.ask(wallet, W::isAuthorizedAgentCall { agent: ada }));
    let error = W::NotAuthorized {}.abi_encode();
    assert_eq!(world.refused(&world.eve, wallet, 0, give(eve, 1)), error);
    assert_eq!(world.refused(&world.owner, wallet, 0, give(eve, 1)), error);
    world.send(&world.ada, wallet, 0, give(eve, 1));
}

#[test]
fn the_account_is_never_called_by_itself() {
    let world = World::new();
    let wallet = wallet(&world);
    // Even where the account is an agent of itself.
    world.send(&world.bob, wallet, 0, W::authorizeAgentCall { agent: wallet });
    let raise = W::setDailySpendingLimitCall { limit: U256::MAX }.abi_encode();
    let call = W::executeCall { to: wallet, value: U256::ZERO, data: raise.into() };
    for caller in [&world.eve, &world.bob] {
        let error = W::NotAuthorized {}.abi_encode();
        assert_eq!(world.refused(caller, wallet, 0, call.clone()), error);
        assert_eq!(world.refused(caller, wallet, 0, give(wallet, 1)), error);
    }
}

#[test]
fn a_call_that_fails_spends_nothing_and_says_why() {
    let world = World::new();
    let (wallet, service) = (wallet(&world), world.service(600));
    let pay = P::payPerUseCall { serviceId: service }.abi_encode();
    let call = W::executeCall { to: PAYMENT_MANAGER, value: wei(599u32), data: pay.into() };
    let why = P::InsufficientPayment { required: wei(600u32), provided: wei(599u32) }.abi_encode();
    let error = W::ExecutionFailed { to: PAYMENT_MANAGER, data: why.into() }.abi_encode();
    assert_eq!(world.refused(&world.eve, wallet, 0, call), error);
    assert_eq!((world.coins(wallet), remaining(&world, wallet)), (wei(5_000u32), wei(LIMIT)));
    world.send(&world.bob, wallet, 0, W::setDailySpendingLimitCall { limit: U256::MAX });
    let error = W::InsufficientFunds { required: wei(5_001u32), available: wei(5_000u32) }.abi_encode();
    assert_eq!(world.refused(&world.eve, wallet, 0, give(world.eve.address, 5_001)), error);
}

#[test]
fn what_was_called_answers_through_the_account() {
    let world = World::new();
    let wallet = wallet(&world);
    let ask = P::platformFeeRateCall {}.abi_encode();
    let call = W::executeCall { to: PAYMENT_MANAGER, value: U256::ZERO, data: ask.into() };
    let asked = serde_json::json!([
        { "from": world.eve.address, "to": wallet, "data": Bytes::from(call.abi_encode()) }, "latest"
    ]);
    let answer = world.chain.request("eth_call", asked).unwrap();
    let answer: Bytes = serde_json::from_value(answer).unwrap();
    let answer = W::executeCall::abi_decode_returns(&answer).unwrap();
    assert_eq!(P::platformFeeRateCall::abi_decode_returns(&answer).unwrap(), wei(100u8));
}

#[test]
fn the_owner_takes_out_what_the_limit_would_not_let_out() {
    let world = World::new();
    let wallet = wallet(&world);
    let out = |amount: u32| W::withdrawFundsCall { amount: wei(amount) };
    for other in [&world.eve, &world.ada] {
        assert_eq!(world.refused(other, wallet, 0, out(1)), W::NotOwner {}.abi_encode());
    }
    assert_eq!(world.refused(&world.bob, wallet, 0, out(0)), Owned::ZeroAmount {}.abi_encode());
    let error = W::InsufficientFunds { required: wei(5_001u32), available: wei(5_000u32) }.abi_encode();
    assert_eq!(world.refused(&world.bob, wallet, 0, out(5_001)), error);
    let before = world.coins(world.bob.address);
    let done = world.send(&world.bob, wallet, 0, out(5_000));
    let withdrawn = W::Withdrawn { to: world.bob.address, amount: wei(5_000u32) };
    assert_eq!(done.events::<W::Withdrawn>(), [withdrawn]);
    assert_eq!(world.coins(world.bob.address), before + wei(5_000u32) - done.fee);
    assert_eq!((world.coins(wallet), remaining(&world, wallet)), (U256::ZERO, wei(LIMIT)));
}
