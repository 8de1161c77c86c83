//! Contract wallets that answer nonsense, and wallets that are deployed in unexpected ways.

use alloy_primitives::{Address, U256, address, hex};
use alloy_sol_types::{SolCall, SolValue, sol};
use groat_chain_evm::ChainLimits;
use groat_chain_evm::proof::Authorization;
use groat_core::ports::Facilitator;
use groat_core::{Failure, Fault, Reason};
use groat_devchain::{Mining, USDC};
use serde_json::json;

use crate::outsider::Outsider;
use crate::settle::reason;
use crate::wallets::{FACTORY, createAccountCall, from, wallet_of, with_factory, wrapped};
use crate::world::{World, offer, payment};

const WALLET: Address = address!("0x3333333333333333333333333333333333333333");
const ALWAYS_WALLET: Address = address!("0x0DD1000000000000000000000000000000000003");

sol! {
    function execute(address target, uint256 value, bytes data) external returns (bytes answer);
    function transfer(address to, uint256 value) external returns (bool);
}

/// Ways to answer `isValidSignature`, in machine code.
const ANSWERS: &[(&str, &str)] = &[
    ("nothing", "00"),
    // PUSH4 magic; MSTORE; RETURN the last four bytes of the word.
    ("four bytes", "631626ba7e5f526004601cf3"),
    ("the magic on the wrong side", "631626ba7e5f5260205ff3"),
    ("the magic and dirt", "7f1626ba7effffffffffffffffffffffffffffffffffffffffffffffffffffffff5f5260205ff3"),
    ("true", "60015f5260205ff3"),
    ("the digest that was asked", "6004355f5260205ff3"),
    ("a revert", "5f5ffd"),
    ("the magic, reverted", "7f1626ba7e000000000000000000000000000000000000000000000000000000005f5260205ffd"),
    ("an invalid instruction", "fe"),
    ("a loop without end", "5b5f56"),
    ("64 KiB of zeros", "620100005ff3"),
    ("a megabyte of zeros", "621000005ff3"),
    ("no code that runs", "ef"),
];

#[tokio::test(flavor = "multi_thread")]
async fn e15_e16_only_the_whole_word_of_the_standard_is_a_yes() {
    let world = World::new(Mining::Instant);
    world.give(USDC, WALLET, 10_000_000);
    let payer = world.payer(1);
    let authorization = Authorization { from: WALLET, ..payer.authorization(1) };
    for (what, code) in ANSWERS {
        world.chain.request("anvil_setCode", json!([WALLET, format!("0x{code}")])).unwrap();
        for signature in [payer.sign(&authorization).to_vec(), vec![1; 130], Vec::new()] {
            let payment = payment(&authorization, &signature);
            assert_eq!(
                reason(world.engine.verify(&payment, &offer()).await),
                Reason::InvalidSignature,
                "{what}"
            );
            assert_eq!(
                reason(world.engine.settle(&payment, &offer()).await),
                Reason::InvalidSignature,
                "{what}"
            );
        }
    }
    // SSTORE, then the magic: asked by us it says yes, and no to the token, whose question may not write.
    let writes = "0x60015f557f1626ba7e000000000000000000000000000000000000000000000000000000005f5260205ff3";
    world.chain.request("anvil_setCode", json!([WALLET, writes])).unwrap();
    let payment = payment(&authorization, &[1; 130]);
    assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::SimulationFailed);
    assert_eq!((world.transactions(), world.received()), (0, U256::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn e19_a_delegated_account_pays_when_its_delegate_says_yes() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let delegation = format!("0xef0100{}", hex::encode(ALWAYS_WALLET));
    world.chain.request("anvil_setCode", json!([payer.address(), delegation])).unwrap();
    let receipt = world.engine.settle(&payer.pay(1), &offer()).await.unwrap();
    assert_eq!(receipt.payer, Some(payer.address().to_checksum(None)));
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn e19_a_delegation_between_verify_and_settle_is_seen() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let payment = payer.pay(1);
    world.engine.verify(&payment, &offer()).await.unwrap();
    let delegation = format!("0xef0100{}", hex::encode(WALLET));
    world.chain.request("anvil_setCode", json!([payer.address(), delegation])).unwrap();
    assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::InvalidSignature);
    assert_eq!(world.transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e17_a_wallet_that_the_wrapper_does_not_deploy_pays_nothing() {
    let world = with_factory();
    let owner = world.payer(7);
    let wallet = wallet_of(&world, &owner);
    // Money lies at the address of nobody's wallet.
    world.give(USDC, WALLET, 10_000_000);
    let (authorization, signature) = from(WALLET, &owner, 1);
    let elsewhere = payment(&authorization, &wrapped(&owner, &signature));
    // Another's key for this wallet.
    let (authorization, _) = from(wallet, &owner, 2);
    let stranger = world.payer(8);
    let forged = payment(&authorization, &wrapped(&owner, &stranger.sign(&authorization)));
    // The factory is called with what it does not know, and with nothing.
    let mut cases = vec![elsewhere, forged];
    for calldata in [vec![1, 2, 3, 4], Vec::new()] {
        let (authorization, signature) = from(wallet, &owner, 3);
        let mut bytes = (FACTORY, calldata, signature.to_vec()).abi_encode_params();
        bytes.extend([0x64, 0x92].repeat(16));
        cases.push(payment(&authorization, &bytes));
    }
    for payment in cases {
        assert_eq!(reason(world.engine.verify(&payment, &offer()).await), Reason::InvalidSignature);
        assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::InvalidSignature);
    }
    assert_eq!((world.transactions(), world.received()), (0, U256::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn e17_an_allowed_factory_without_code_deploys_nothing() {
    let nowhere = address!("0x4444444444444444444444444444444444444444");
    let limits = ChainLimits { factories: vec![nowhere], ..ChainLimits::default() };
    let world = World::with(Mining::Instant, limits);
    let owner = world.payer(7);
    let wallet = wallet_of(&world, &owner);
    let (authorization, signature) = from(wallet, &owner, 1);
    let deploy = createAccountCall { owner: owner.address(), salt: U256::ZERO }.abi_encode();
    let mut bytes = (nowhere, deploy, signature.to_vec()).abi_encode_params();
    bytes.extend([0x64, 0x92].repeat(16));
    let payment = payment(&authorization, &bytes);
    assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::InvalidSignature);
}

#[tokio::test(flavor = "multi_thread")]
async fn e17_a_wallet_that_somebody_deploys_meanwhile_pays_all_the_same() {
    let world = with_factory();
    let owner = world.payer(7);
    let wallet = wallet_of(&world, &owner);
    let (authorization, signature) = from(wallet, &owner, 1);
    let payment = payment(&authorization, &wrapped(&owner, &signature));
    world.engine.verify(&payment, &offer()).await.unwrap();
    let deploy = createAccountCall { owner: owner.address(), salt: U256::ZERO }.abi_encode();
    Outsider::stranger(&world.chain).send(FACTORY, deploy);
    world.engine.settle(&payment, &offer()).await.unwrap();
    assert_eq!((world.transactions(), world.received()), (1, U256::from(10_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_a_wallet_whose_owner_empties_it_after_verify_is_refused() {
    let world = with_factory();
    let owner = world.payer(7);
    let wallet = wallet_of(&world, &owner);
    let outsider = Outsider::new(&world.chain, owner.0);
    outsider.send(FACTORY, createAccountCall { owner: owner.address(), salt: U256::ZERO }.abi_encode());
    let (authorization, signature) = from(wallet, &owner, 1);
    let payment = payment(&authorization, &signature);
    world.engine.verify(&payment, &offer()).await.unwrap();
    let take = transferCall { to: owner.address(), value: U256::from(9_990_001) }.abi_encode();
    let order = executeCall { target: USDC, value: U256::ZERO, data: take.into() };
    outsider.send(wallet, order.abi_encode());
    assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::InsufficientBalance);
    assert_eq!(world.transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e20_a_wallet_that_could_not_be_asked_is_a_fault() {
    for method in ["eth_getCode", "eth_call", "eth_getBlockByNumber", "eth_estimateGas", "eth_getBalance"] {
        let world = World::new(Mining::Instant);
        world.give(USDC, ALWAYS_WALLET, 10_000);
        let authorization = Authorization { from: ALWAYS_WALLET, ..world.payer(1).authorization(1) };
        let payment = payment(&authorization, &[1, 2, 3]);
        world.chain.faults(|faults| faults.fail_next.insert(method.to_owned(), (9, -32603)));
        let failed = world.engine.settle(&payment, &offer()).await.unwrap_err();
        assert!(matches!(failed, Failure::Fault(Fault::Unavailable { .. })), "{method}: {failed:?}");
        assert_eq!(world.transactions(), 0);
        world.chain.faults(|faults| faults.fail_next.clear());
        world.engine.settle(&payment, &offer()).await.unwrap();
        assert_eq!(world.transactions(), 1);
    }
}
