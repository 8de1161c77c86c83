//! Payments by permit on the embedded chain: tokens without authorizations, Permit2, a till.

mod ends;
pub(crate) mod recorded;
mod till;
mod verdicts;

use alloy_primitives::{Address, U256, address};
use alloy_sol_types::{SolCall, sol};
use groat_chain_evm::permit::{Permit, permit_digest, till as at};
use groat_chain_evm::proof::EcdsaBytes;
use groat_chain_evm::typed_data::Domain;
use groat_chain_evm::{ChainLimits, PermitAsk, PermitEvm, PermitKind, account};
use groat_core::payment::DialectId;
use groat_core::ports::Mechanism;
use groat_core::{Amount, Network, Offer, Payment, PaymentId};
use groat_devchain::Mining;
use secp256k1::{Message, SECP256K1};
use serde_json::json;

use crate::outsider::Outsider;
use crate::world::{NOW, PAY_TO, Payer, World};

sol! {
    interface Coin {
        function approve(address spender, uint256 value) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    }

    interface Permit2 {
        function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external;
    }

    struct TokenPermissions { address token; uint256 amount; }
    struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }
    function payByPermit2(PermitTransferFrom permit, address owner, bytes signature) external;
    function payByPermit(address token, address owner, uint256 amount, uint256 nonce, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
}

/// A dollar with permits and no authorizations.
pub(super) const DOLLAR: Address = address!("0x0Dd000000000000000000000000000000000000A");
/// The same sum everywhere.
pub(super) const UNITS: u64 = 10_000;
pub(super) const KINDS: [PermitKind; 2] = [PermitKind::Permit2, PermitKind::Eip2612];

/// A chain with a till, and an operator who takes the dollar.
pub(super) fn world(mining: Mining) -> World {
    let limits = ChainLimits { assets: vec![DOLLAR], ..ChainLimits::default() };
    let world = World::with(mining, limits);
    open_till(&world, payee());
    world
}

pub(super) fn payee() -> Address {
    account::parse(PAY_TO).unwrap()
}

pub(super) fn open_till(world: &World, payee: Address) {
    let deployment = at::deployment(payee).unwrap();
    assert!(world.chain.stage(Address::repeat_byte(9), at::DEPLOYER, deployment));
}

pub(super) fn ask(kind: PermitKind, asset: Address) -> PermitAsk {
    let symbol = if asset == DOLLAR { "PD" } else { "USDC" };
    PermitAsk {
        kind,
        asset: account::text(asset),
        amount: Amount::from_units(UNITS.into()),
        pay_to: PAY_TO.into(),
        symbol: Some(symbol.into()),
        decimals: Some(6),
        name: Some(symbol.into()),
        version: Some(if asset == DOLLAR { "1" } else { "2" }.into()),
    }
}

/// One cent of a dollar, by this kind of permit.
pub(super) fn offer(kind: PermitKind) -> Offer {
    offer_of(ask(kind, DOLLAR))
}

pub(super) fn offer_of(ask: PermitAsk) -> Offer {
    PermitEvm::offline().offer(&ask.terms(Network::eip155(84532))).unwrap().unwrap()
}

/// A payer with ten of the dollar, all of which Permit2 may move.
pub(super) fn payer(world: &World, seed: u8) -> Payer {
    let payer = world.payer(seed);
    world.give(DOLLAR, payer.address(), 10_000_000);
    approve(world, &payer, at::PERMIT2, U256::MAX);
    payer
}

/// The same where there is no Permit2 to allow anything.
pub(super) fn payer_without_permit2(world: &World) -> Payer {
    let payer = world.payer(3);
    world.give(DOLLAR, payer.address(), 10_000_000);
    payer
}

pub(super) fn approve(world: &World, payer: &Payer, spender: Address, value: U256) {
    let call = Coin::approveCall { spender, value };
    assert!(world.chain.stage(payer.address(), DOLLAR, call.abi_encode().into()));
}

/// A permit that fits the offer.
pub(super) fn permit(payer: &Payer, kind: PermitKind, nonce: u64) -> Permit {
    Permit {
        kind,
        owner: payer.address(),
        spender: at::address(payee()).unwrap(),
        token: DOLLAR,
        amount: U256::from(UNITS),
        nonce: U256::from(nonce),
        deadline: U256::from(NOW + 60),
        signature: EcdsaBytes([0; 65]),
    }
}

pub(super) fn domain(asset: Address) -> Domain {
    let (name, version) = if asset == DOLLAR { ("PD", "1") } else { ("USDC", "2") };
    Domain { name: name.into(), version: version.into(), chain_id: 84532, asset }
}

pub(super) fn signed(payer: &Payer, mut permit: Permit) -> Permit {
    let message = Message::from_digest(permit_digest(&permit, &domain(permit.token)).0);
    let (recovery, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &payer.0).serialize_compact();
    permit.signature.0[..64].copy_from_slice(&bytes);
    permit.signature.0[64] = 27 + u8::try_from(i32::from(recovery)).unwrap();
    permit
}

pub(super) fn payment(permit: &Permit) -> Payment {
    Payment {
        dialect: DialectId::new("token"),
        scheme: "permit".into(),
        network: Network::eip155(84532),
        proof: permit.write(),
        accepted: None,
        resource: None,
        extensions: serde_json::Map::new(),
    }
}

/// A good payment.
pub(super) fn pay(payer: &Payer, kind: PermitKind, nonce: u64) -> Payment {
    payment(&signed(payer, permit(payer, kind, nonce)))
}

pub(super) fn id(payment: &Payment, offer: &Offer) -> PaymentId {
    PermitEvm::offline().key(payment, offer).unwrap().0.id()
}

/// What an account has of the dollar.
pub(super) fn has(world: &World, account: Address) -> U256 {
    let data = alloy_primitives::hex::encode_prefixed(Coin::balanceOfCall { account }.abi_encode());
    let answer = world.chain.request("eth_call", json!([{ "to": DOLLAR, "data": data }, "latest"])).unwrap();
    answer.as_str().unwrap().parse().unwrap()
}

pub(super) fn received(world: &World) -> U256 {
    has(world, payee())
}

/// The call that brings a permit to its till.
pub(super) fn call(permit: &Permit) -> Vec<u8> {
    let signature = &permit.signature;
    match permit.kind {
        PermitKind::Permit2 => payByPermit2Call {
            permit: PermitTransferFrom {
                permitted: TokenPermissions { token: permit.token, amount: permit.amount },
                nonce: permit.nonce,
                deadline: permit.deadline,
            },
            owner: permit.owner,
            signature: signature.0.into(),
        }
        .abi_encode(),
        PermitKind::Eip2612 => payByPermitCall {
            token: permit.token,
            owner: permit.owner,
            amount: permit.amount,
            nonce: permit.nonce,
            deadline: permit.deadline,
            v: signature.v(),
            r: signature.r(),
            s: signature.s(),
        }
        .abi_encode(),
    }
}

/// Somebody else brings a permit to its till.
pub(super) fn bring(world: &World, permit: &Permit) -> alloy_primitives::B256 {
    Outsider::stranger(&world.chain).send(permit.spender, call(permit))
}

/// Somebody shows a permit to the token itself.
pub(super) fn show_to_token(world: &World, permit: &Permit) {
    let Permit { owner, spender, amount, deadline, signature, .. } = permit.clone();
    let (v, r, s) = (signature.v(), signature.r(), signature.s());
    let call = Coin::permitCall { owner, spender, value: amount, deadline, v, r, s };
    assert!(world.chain.stage(Address::repeat_byte(9), DOLLAR, call.abi_encode().into()));
}
