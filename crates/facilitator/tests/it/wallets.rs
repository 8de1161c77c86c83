//! Payers that are contracts: ERC-1271, ERC-6492, EIP-7702.

use alloy_primitives::{Address, B256, U256, address, hex};
use alloy_sol_types::{SolCall, SolValue, sol};
use groat_chain_evm::ChainLimits;
use groat_chain_evm::proof::Authorization;
use groat_core::ports::Facilitator;
use groat_core::{Payment, Reason};
use groat_devchain::Mining;
use serde_json::json;

use crate::settle::reason;
use crate::world::{Payer, World, offer, payment};

pub(crate) const FACTORY: Address = address!("0xFac7000000000000000000000000000000000001");
const GAS_WALLET: Address = address!("0x0DD1000000000000000000000000000000000001");
const LIAR_WALLET: Address = address!("0x0dD1000000000000000000000000000000000002");
const ALWAYS_WALLET: Address = address!("0x0DD1000000000000000000000000000000000003");

sol! {
    function createAccount(address owner, uint256 salt) external returns (address account);
    function getAddress(address owner, uint256 salt) external view returns (address account);
}

pub(crate) fn with_factory() -> World {
    World::with(Mining::Instant, ChainLimits { factories: vec![FACTORY], ..ChainLimits::default() })
}

/// Where the factory puts the wallet of an owner, with ten dollars in it.
pub(crate) fn wallet_of(world: &World, owner: &Payer) -> Address {
    let call = getAddressCall { owner: owner.address(), salt: U256::ZERO }.abi_encode();
    let answer = world
        .chain
        .request("eth_call", json!([{ "to": FACTORY, "data": hex::encode_prefixed(call) }, "latest"]));
    let word: B256 = answer.unwrap().as_str().unwrap().parse().unwrap();
    let wallet = Address::from_word(word);
    world.give(groat_devchain::USDC, wallet, 10_000_000);
    wallet
}

pub(crate) fn from(wallet: Address, owner: &Payer, nonce: u8) -> (Authorization, [u8; 65]) {
    let authorization = Authorization { from: wallet, ..owner.authorization(nonce) };
    let signature = owner.sign(&authorization);
    (authorization, signature)
}

/// An ERC-6492 signature: deploy by the factory, then ask the wallet.
pub(crate) fn wrapped(owner: &Payer, inner: &[u8]) -> Vec<u8> {
    let deploy = createAccountCall { owner: owner.address(), salt: U256::ZERO }.abi_encode();
    let mut bytes = (FACTORY, deploy, inner.to_vec()).abi_encode_params();
    bytes.extend([0x64, 0x92].repeat(16));
    bytes
}

fn counterfactual(world: &World, owner: &Payer, nonce: u8) -> Payment {
    let (authorization, signature) = from(wallet_of(world, owner), owner, nonce);
    payment(&authorization, &wrapped(owner, &signature))
}

#[tokio::test(flavor = "multi_thread")]
async fn e17_a_wallet_is_deployed_with_its_first_payment_when_its_factory_is_allowed() {
    let world = with_factory();
    let owner = world.payer(7);
    let wallet = wallet_of(&world, &owner);
    let first = counterfactual(&world, &owner, 1);
    world.engine.verify(&first, &offer()).await.unwrap();
    let receipt = world.engine.settle(&first, &offer()).await.unwrap();
    assert_eq!(receipt.payer, Some(wallet.to_checksum(None)));
    assert_ne!(world.chain.request("eth_getCode", json!([wallet, "latest"])).unwrap(), "0x");

    // It exists now: ERC-1271 alone, and the wrapper still works as the standard wants.
    let (authorization, signature) = from(wallet, &owner, 2);
    world.engine.settle(&payment(&authorization, &signature), &offer()).await.unwrap();
    world.engine.settle(&counterfactual(&world, &owner, 3), &offer()).await.unwrap();
    assert_eq!(world.received(), U256::from(30_000));
    // A stranger's signature is none of the wallet's.
    let (authorization, _) = from(wallet, &owner, 4);
    let forged = payment(&authorization, &world.payer(8).sign(&authorization));
    assert_eq!(reason(world.engine.settle(&forged, &offer()).await), Reason::InvalidSignature);
}

#[tokio::test(flavor = "multi_thread")]
async fn e17_no_factory_is_called_that_the_operator_does_not_allow() {
    let world = World::new(Mining::Instant);
    let payment = counterfactual(&world, &world.payer(7), 1);
    assert_eq!(reason(world.engine.verify(&payment, &offer()).await), Reason::FactoryNotAllowed);
    assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::FactoryNotAllowed);
    assert_eq!(world.transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e18_a_wrapper_around_a_plain_accounts_signature_is_refused() {
    let world = with_factory();
    let payer = world.payer(1);
    let authorization = payer.authorization(1);
    let payment = payment(&authorization, &wrapped(&payer, &payer.sign(&authorization)));
    assert_eq!(reason(world.engine.settle(&payment, &offer()).await), Reason::InvalidSignature);
}

#[tokio::test(flavor = "multi_thread")]
async fn e15_e16_wallets_that_burn_gas_or_lie_in_simulations_cost_nothing() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    for (wallet, nonce) in [(GAS_WALLET, 1), (LIAR_WALLET, 2)] {
        world.give(groat_devchain::USDC, wallet, 10_000_000);
        let authorization = Authorization { from: wallet, ..payer.authorization(nonce) };
        for signature in [payer.sign(&authorization).to_vec(), vec![1; 130]] {
            let payment = payment(&authorization, &signature);
            let refused = reason(world.engine.settle(&payment, &offer()).await);
            assert!(
                matches!(
                    refused,
                    Reason::InvalidSignature | Reason::SimulationFailed | Reason::GasBudgetExceeded
                ),
                "{wallet}: {refused}"
            );
        }
    }
    assert_eq!(world.transactions(), 0);
    // A wallet that honestly says yes to everything is its owner's affair.
    world.give(groat_devchain::USDC, ALWAYS_WALLET, 10_000);
    let authorization = Authorization { from: ALWAYS_WALLET, ..payer.authorization(3) };
    world.engine.settle(&payment(&authorization, &[1, 2, 3]), &offer()).await.unwrap();
    assert_eq!(world.received(), U256::from(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn e19_a_delegated_account_is_asked_as_the_token_will_ask_it() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    // EIP-7702: the code of the account names another whose code it runs; this one accepts no ECDSA signature.
    let delegation =
        format!("0xef0100{}", hex::encode(address!("0x3333333333333333333333333333333333333333")));
    world.chain.request("anvil_setCode", json!([payer.address(), delegation])).unwrap();
    assert_eq!(reason(world.engine.settle(&payer.pay(1), &offer()).await), Reason::InvalidSignature);
    assert_eq!(world.transactions(), 0);
}
