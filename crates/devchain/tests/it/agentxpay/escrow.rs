//! Payments that wait until the payer is content.

use alloy_primitives::U256;
use alloy_sol_types::SolError;
use groat_devchain::agentxpay::ESCROW as AT;

use super::interfaces::{Escrow as E, Owned};
use super::world::{START, World, wei};

const FUNDED: u8 = 1;
const RELEASED: u8 = 2;
const DISPUTED: u8 = 3;
const REFUNDED: u8 = 4;
const RESOLVED: u8 = 5;
const AMOUNT: u128 = 1_001;
const DEADLINE: u64 = START + 1_000;

fn create(world: &World) -> E::createEscrowCall {
    E::createEscrowCall {
        serviceId: wei(7u8),
        provider: world.ada.address,
        deadline: wei(DEADLINE),
        description: "a drawing".into(),
    }
}

fn release(number: u8) -> E::releaseEscrowCall {
    E::releaseEscrowCall { escrowId: wei(number) }
}

fn refund(number: u8) -> E::refundEscrowCall {
    E::refundEscrowCall { escrowId: wei(number) }
}

fn dispute(number: u8) -> E::disputeEscrowCall {
    E::disputeEscrowCall { escrowId: wei(number) }
}

fn resolve(number: u8, percent: u8) -> E::resolveDisputeCall {
    E::resolveDisputeCall { escrowId: wei(number), payerPercent: wei(percent) }
}

fn status(world: &World) -> u8 {
    world.ask(AT, E::getEscrowCall { escrowId: wei(1u8) }).status
}

fn wrong_status(current: u8, expected: u8) -> Vec<u8> {
    E::InvalidStatus { escrowId: wei(1u8), current, expected }.abi_encode()
}

/// A world in which Bob has put coins aside for Ada.
fn funded() -> World {
    let world = World::new();
    world.send(&world.bob, AT, AMOUNT, create(&world));
    world
}

#[test]
fn an_escrow_is_funded_when_it_is_created() {
    let world = World::new();
    let (bob, ada) = (world.bob.address, world.ada.address);
    let done = world.send(&world.bob, AT, AMOUNT, create(&world));
    let created = E::EscrowCreated { escrowId: wei(1u8), payer: bob, provider: ada, amount: wei(AMOUNT) };
    assert_eq!(done.events::<E::EscrowCreated>(), [created]);
    assert_eq!(done.events::<E::EscrowFunded>(), [E::EscrowFunded { escrowId: wei(1u8) }]);
    assert_eq!(world.coins(AT), wei(AMOUNT));
    let escrow = E::EscrowData {
        escrowId: wei(1u8),
        serviceId: wei(7u8),
        payer: bob,
        provider: ada,
        amount: wei(AMOUNT),
        status: FUNDED,
        createdAt: wei(START),
        deadline: wei(DEADLINE),
        description: "a drawing".into(),
    };
    assert_eq!(world.ask(AT, E::getEscrowCall { escrowId: wei(1u8) }), escrow);
    for user in [bob, ada] {
        assert_eq!(world.ask(AT, E::getUserEscrowsCall { user }), [wei(1u8)]);
    }
    let own = E::createEscrowCall { provider: bob, ..create(&world) };
    world.send(&world.bob, AT, 1, own);
    assert_eq!(world.ask(AT, E::getUserEscrowsCall { user: bob }), [wei(1u8), wei(2u8)]);
}

#[test]
fn an_escrow_needs_coins_and_a_deadline_to_come() {
    let world = World::new();
    assert_eq!(world.refused(&world.bob, AT, 0, create(&world)), Owned::ZeroAmount {}.abi_encode());
    for deadline in [0, START - 1, START] {
        let call = E::createEscrowCall { deadline: wei(deadline), ..create(&world) };
        assert_eq!(world.refused(&world.bob, AT, 1, call), E::InvalidDeadline {}.abi_encode());
    }
}

#[test]
fn only_the_payer_releases() {
    let world = funded();
    let error = E::NotPayer { escrowId: wei(1u8) }.abi_encode();
    for other in [&world.ada, &world.eve, &world.owner] {
        assert_eq!(world.refused(other, AT, 0, release(1)), error);
    }
    let before = world.coins(world.ada.address);
    let done = world.send(&world.bob, AT, 0, release(1));
    assert_eq!(done.events::<E::EscrowReleased>(), [E::EscrowReleased { escrowId: wei(1u8) }]);
    assert_eq!(world.coins(world.ada.address), before + wei(AMOUNT));
    assert_eq!((status(&world), world.coins(AT)), (RELEASED, U256::ZERO));
}

#[test]
fn the_provider_gives_back_at_any_time() {
    let world = funded();
    let before = world.coins(world.bob.address);
    let done = world.send(&world.ada, AT, 0, refund(1));
    assert_eq!(done.events::<E::EscrowRefunded>(), [E::EscrowRefunded { escrowId: wei(1u8) }]);
    assert_eq!(world.coins(world.bob.address), before + wei(AMOUNT));
    assert_eq!((status(&world), world.coins(AT)), (REFUNDED, U256::ZERO));
}

#[test]
fn the_payer_takes_back_from_the_deadline_on() {
    let world = funded();
    let error = E::DeadlineNotReached { escrowId: wei(1u8) }.abi_encode();
    assert_eq!(world.refused(&world.bob, AT, 0, refund(1)), error);
    world.chain.increase_time(999);
    assert_eq!(world.refused(&world.bob, AT, 0, refund(1)), error);
    world.chain.increase_time(1);
    let stranger = E::NotParty { escrowId: wei(1u8) }.abi_encode();
    for other in [&world.eve, &world.owner] {
        assert_eq!(world.refused(other, AT, 0, refund(1)), stranger);
    }
    let before = world.coins(world.bob.address);
    let done = world.send(&world.bob, AT, 0, refund(1));
    assert_eq!(world.coins(world.bob.address), before + wei(AMOUNT) - done.fee);
    assert_eq!(status(&world), REFUNDED);
}

#[test]
fn the_owner_divides_what_is_disputed() {
    // 1,001 wei: what does not divide is the provider's.
    for (percent, back) in [(0, 0), (1, 10), (33, 330), (50, 500), (99, 990), (100, 1_001u32)] {
        let world = funded();
        let done = world.send(&world.bob, AT, 0, dispute(1));
        let disputed = E::EscrowDisputed { escrowId: wei(1u8), disputedBy: world.bob.address };
        assert_eq!(done.events::<E::EscrowDisputed>(), [disputed]);
        assert_eq!(status(&world), DISPUTED);
        let before = (world.coins(world.bob.address), world.coins(world.ada.address));
        let done = world.send(&world.owner, AT, 0, resolve(1, percent));
        let rest = wei(AMOUNT) - wei(back);
        let resolved = E::EscrowResolved { escrowId: wei(1u8), payerAmount: wei(back), providerAmount: rest };
        assert_eq!(done.events::<E::EscrowResolved>(), [resolved]);
        assert_eq!(world.coins(world.bob.address), before.0 + wei(back));
        assert_eq!(world.coins(world.ada.address), before.1 + rest);
        assert_eq!((status(&world), world.coins(AT)), (RESOLVED, U256::ZERO));
    }
}

#[test]
fn either_party_disputes_and_only_the_owner_decides() {
    let world = funded();
    let stranger = E::NotParty { escrowId: wei(1u8) }.abi_encode();
    for other in [&world.eve, &world.owner] {
        assert_eq!(world.refused(other, AT, 0, dispute(1)), stranger);
    }
    assert_eq!(world.refused(&world.owner, AT, 0, resolve(1, 50)), wrong_status(FUNDED, DISPUTED));
    let done = world.send(&world.ada, AT, 0, dispute(1));
    assert_eq!(done.events::<E::EscrowDisputed>()[0].disputedBy, world.ada.address);
    for other in [&world.ada, &world.bob] {
        let error = Owned::OwnableUnauthorizedAccount { account: other.address }.abi_encode();
        assert_eq!(world.refused(other, AT, 0, resolve(1, 50)), error);
    }
    for percent in [101, 255] {
        let error = E::InvalidPercent {}.abi_encode();
        assert_eq!(world.refused(&world.owner, AT, 0, resolve(1, percent)), error);
    }
}

#[test]
fn what_is_decided_stays_decided() {
    let world = World::new();
    world.chain.set_balance(AT, wei(10_000u32));
    for (end, last) in [(0, RELEASED), (1, REFUNDED), (2, DISPUTED), (3, RESOLVED)] {
        let snapshot = world.chain.snapshot();
        world.send(&world.bob, AT, AMOUNT, create(&world));
        match end {
            0 => drop(world.send(&world.bob, AT, 0, release(1))),
            1 => drop(world.send(&world.ada, AT, 0, refund(1))),
            _ => drop(world.send(&world.ada, AT, 0, dispute(1))),
        }
        if end == 3 {
            world.send(&world.owner, AT, 0, resolve(1, 50));
        }
        world.chain.increase_time(1_000);
        assert_eq!(status(&world), last);
        let error = wrong_status(last, FUNDED);
        assert_eq!(world.refused(&world.bob, AT, 0, release(1)), error);
        assert_eq!(world.refused(&world.bob, AT, 0, refund(1)), error);
        assert_eq!(world.refused(&world.ada, AT, 0, refund(1)), error);
        assert_eq!(world.refused(&world.bob, AT, 0, dispute(1)), error);
        if last != DISPUTED {
            assert_eq!(world.refused(&world.owner, AT, 0, resolve(1, 1)), wrong_status(last, DISPUTED));
        }
        assert!(world.chain.revert(snapshot));
    }
}

#[test]
fn an_escrow_that_is_not_there_is_not_found() {
    let world = funded();
    for number in [0, 2] {
        let error = E::EscrowNotFound { escrowId: wei(number) }.abi_encode();
        assert_eq!(world.refused(&world.bob, AT, 0, release(number)), error);
        assert_eq!(world.refused(&world.bob, AT, 0, refund(number)), error);
        assert_eq!(world.refused(&world.bob, AT, 0, dispute(number)), error);
        assert_eq!(world.refused(&world.owner, AT, 0, resolve(number, 1)), error);
        assert_eq!(world.ask_refused(AT, E::getEscrowCall { escrowId: wei(number) }), error);
    }
}
