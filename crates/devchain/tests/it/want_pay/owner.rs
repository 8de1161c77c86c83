//! What the owner may decide, and how long it takes.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolValue, sol};
use groat_devchain::{MULTICALL3, USDC, X402_PAY};

use super::*;

const DAY: u64 = 86_400;
const NEW: Address = alloy_primitives::address!("0x0Dd0000000000000000000000000000000000001");

sol! {
    struct Call3 { address target; bool allowFailure; bytes callData; }
    function aggregate3(Call3[] calls) external payable;
}

fn propose(token: Address, symbol: &str) -> Payments::proposeTokenCall {
    Payments::proposeTokenCall { token, symbol: symbol.into() }
}

#[test]
fn it_is_initialized_once_and_by_its_deployer_in_one_transaction() {
    let world = World::new();
    let again = Payments::initializeCall { owner: SELLER, tokens: vec![], symbols: vec![] };
    world.refused(&world.other, X402_PAY, &again, Payments::AlreadyInitialized {});
    // What the README says of real chains: the CREATE2 deployer and `initialize`, through Multicall3.
    let deployer = alloy_primitives::address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
    let artifact: Value =
        serde_json::from_str(include_str!("../../../../../contracts/artifacts/X402Pay.json")).unwrap();
    let code: Bytes = artifact["bytecode"].as_str().unwrap().parse().unwrap();
    let salt = B256::repeat_byte(4);
    let contract = deployer.create2(salt, keccak256(&code));
    let owner = world.buyer.address;
    let open = Payments::initializeCall { owner, tokens: vec![D677], symbols: vec!["D677".into()] };
    let step = |target, data: Vec<u8>| Call3 { target, allowFailure: false, callData: data.into() };
    let calls = vec![step(deployer, [salt.as_slice(), &code].concat()), step(contract, open.abi_encode())];
    world.send_data(&world.other, MULTICALL3, aggregate3Call { calls }.abi_encode().into()).unwrap();
    assert_eq!(world.ask(contract, &Payments::ownerCall {}), owner);
    assert_eq!(world.ask(contract, &Payments::defaultTokenCall {}), D677);
    assert!(world.ask(contract, &Payments::feeBpsCall {}).is_zero());
}

#[test]
fn a_token_is_listed_after_two_days_and_its_symbol_is_its_own() {
    let (world, owner) = (World::new(), Wallet::owner());
    world.refused(&world.other, X402_PAY, &propose(NEW, "NEW"), Payments::NotOwner {});
    for symbol in ["", "new", "A-B", "ABCDEFGHIJKLMNOPQ", "USD₮"] {
        world.refused(&owner, X402_PAY, &propose(NEW, symbol), Payments::InvalidSymbol {});
    }
    let accept = Payments::acceptTokenCall { token: NEW };
    world.refused(&owner, X402_PAY, &accept, Payments::NothingProposed {});
    // A second token with the symbol of a listed one would pass for it in the event.
    world.ok(&owner, X402_PAY, &propose(NEW, "USDC"));
    world.chain.increase_time(2 * DAY);
    world.refused(&owner, X402_PAY, &accept, Payments::SymbolTaken { token: USDC });
    world.ok(&owner, X402_PAY, &propose(NEW, "NEW.1"));
    let ready = U256::from(NOW + 4 * DAY);
    world.refused(&owner, X402_PAY, &accept, Payments::NotYet { readyAt: ready });
    world.chain.set_time(NOW + 4 * DAY - 1);
    world.refused(&owner, X402_PAY, &accept, Payments::NotYet { readyAt: ready });
    world.chain.set_time(NOW + 4 * DAY);
    world.refused(&world.other, X402_PAY, &accept, Payments::NotOwner {});
    world.ok(&owner, X402_PAY, &accept);
    assert_eq!(world.ask(X402_PAY, &Payments::symbolOfCall { token: NEW }), "NEW.1");
    assert_eq!(world.ask(X402_PAY, &Payments::tokenWithCall { symbol: "NEW.1".into() }), NEW);
    world.refused(&owner, X402_PAY, &accept, Payments::NothingProposed {});
    // Another symbol takes two days too, and frees the old one.
    world.ok(&owner, X402_PAY, &propose(NEW, "NEW.2"));
    world.chain.increase_time(2 * DAY);
    world.ok(&owner, X402_PAY, &accept);
    assert_eq!(world.ask(X402_PAY, &Payments::tokenWithCall { symbol: "NEW.1".into() }), Address::ZERO);
}

#[test]
fn a_removed_token_is_not_taken_from_this_block_on() {
    let (world, owner) = (World::new(), Wallet::owner());
    let remove = Payments::removeTokenCall { token: D677 };
    world.refused(&world.other, X402_PAY, &remove, Payments::NotOwner {});
    world.ok(&owner, X402_PAY, &remove);
    let error = Bytes::from(Payments::TokenNotTaken { token: D677 }.abi_encode());
    assert_eq!(world.pay(&world.buyer, D677, &request(ID, 1)).unwrap_err(), error);
    let [data, _] = encodings(&request(ID, 1));
    assert_eq!(world.bring(&world.buyer, D677, 1, data).unwrap_err(), error);
}

#[test]
fn the_fee_starts_at_nothing_is_capped_and_comes_from_the_sellers_part() {
    let (world, owner) = (World::new(), Wallet::owner());
    let recipient = Address::repeat_byte(0xfe);
    assert!(world.ask(X402_PAY, &Payments::feeBpsCall {}).is_zero());
    let fee = |bps: u64| Payments::proposeFeeCall { bps: U256::from(bps), recipient };
    world.refused(&world.other, X402_PAY, &fee(1), Payments::NotOwner {});
    world.refused(&owner, X402_PAY, &fee(101), Payments::FeeAboveCap { capBps: U256::from(100) });
    for recipient in [Address::ZERO, X402_PAY] {
        let call = Payments::proposeFeeCall { bps: U256::from(1), recipient };
        world.refused(&owner, X402_PAY, &call, Payments::InvalidFee {});
    }
    world.refused(&owner, X402_PAY, &Payments::acceptFeeCall {}, Payments::NothingProposed {});
    world.ok(&owner, X402_PAY, &fee(100));
    let ready = U256::from(NOW + 2 * DAY);
    world.refused(&owner, X402_PAY, &Payments::acceptFeeCall {}, Payments::NotYet { readyAt: ready });
    world.chain.increase_time(2 * DAY);
    world.ok(&owner, X402_PAY, &Payments::acceptFeeCall {});

    let asked = request(ID, 10_099);
    let [data, _] = encodings(&asked);
    let call = Token::transferAndCallCall { to: X402_PAY, value: asked.amount, data: data.into() };
    let receipt = world.send_data(&world.buyer, D1363, call.abi_encode().into()).unwrap();
    assert_eq!(settled(&receipt)[0].amount, asked.amount, "what the buyer paid, not what the seller got");
    let topic = json!(<Payments::FeeTaken as alloy_sol_types::SolEvent>::SIGNATURE_HASH);
    let told = receipt["logs"].as_array().unwrap().iter().find(|log| log["topics"][0] == topic).unwrap();
    let data: Bytes = serde_json::from_value(told["data"].clone()).unwrap();
    assert_eq!(data, Bytes::from((D1363, recipient, U256::from(100)).abi_encode()));
    assert_eq!((world.balance(D1363, SELLER), world.balance(D1363, recipient)), (9_999, 100));
    world.pay(&world.buyer, USDT, &asked).unwrap();
    assert_eq!((world.balance(USDT, SELLER), world.balance(USDT, recipient)), (9_999, 100));
    world.holds_nothing();
    world.ok(&owner, X402_PAY, &Payments::dropFeeCall {});
    world.pay(&world.buyer, D1363, &request("pay_2", 10_000)).unwrap();
    assert_eq!(world.balance(D1363, recipient), 100);
}

#[test]
fn ownership_passes_to_whoever_accepts_it() {
    let (world, owner) = (World::new(), Wallet::owner());
    let propose = Payments::proposeOwnerCall { next: world.buyer.address };
    world.refused(&world.buyer, X402_PAY, &propose, Payments::NotOwner {});
    world.ok(&owner, X402_PAY, &propose);
    world.refused(&world.other, X402_PAY, &Payments::acceptOwnerCall {}, Payments::NotOwner {});
    assert_eq!(world.ask(X402_PAY, &Payments::ownerCall {}), owner.address);
    world.ok(&world.buyer, X402_PAY, &Payments::acceptOwnerCall {});
    world.refused(&owner, X402_PAY, &Payments::dropFeeCall {}, Payments::NotOwner {});
    world.ok(&world.buyer, X402_PAY, &Payments::dropFeeCall {});
}
