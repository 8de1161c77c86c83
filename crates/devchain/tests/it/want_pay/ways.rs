//! Five ways to pay, one event.

use alloy_primitives::{B256, Bytes, FixedBytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use groat_devchain::{USDC, X402_PAY};

use super::*;

#[test]
fn selectors_topic_and_encoding_are_those_of_the_profile() {
    assert_eq!(Payments::pay_0Call::SELECTOR, [0x1f, 0x35, 0x9d, 0xf7]);
    assert_eq!(Payments::onTransferReceivedCall::SELECTOR, [0x88, 0xa7, 0xca, 0x5c]);
    assert_eq!(Payments::onTokenTransferCall::SELECTOR, [0xa4, 0xc0, 0xed, 0x36]);
    assert_eq!(Token::transferAndCallCall::SELECTOR, [0x40, 0x00, 0xae, 0xa0]);
    assert_eq!(Payments::AlreadySettled::SELECTOR, [0xb1, 0x96, 0xa4, 0x4a]);
    let topic = "0x77112a7c26a3b1ffc47ce6b516d2938c7c1f22b236f146d8d317fc67ec23f4ec";
    assert_eq!(Settled::SIGNATURE_HASH.to_string(), topic);
    let [structured, flat] = encodings(&request(ID, 10_000));
    assert_eq!((structured.len(), flat.len()), (256, 224));
    assert_eq!(structured[31], 0x20);
    assert_eq!(structured[32..], flat);
}

#[test]
fn erc1363_and_erc677_tokens_bring_the_money_in_both_encodings() {
    let world = World::new();
    for (token, symbol) in [(D1363, "D1363"), (D677, "D677")] {
        for (round, length) in [1, 30, 64].into_iter().enumerate() {
            let request = request(&"x".repeat(length), 10_000 + round as u64);
            for (turn, data) in encodings(&request).into_iter().enumerate() {
                let snapshot = world.chain.snapshot();
                let before = world.balance(token, SELLER);
                let settled = world.bring(&world.buyer, token, 10_000 + round as u64, data).unwrap();
                assert_eq!(settled, [event(&world.buyer, &request, symbol)], "{symbol} {turn}");
                assert_eq!(world.balance(token, SELLER), before + 10_000 + round as u64);
                world.holds_nothing();
                // The other encoding of the same request comes next, as if this one had not been.
                assert!(turn == 1 || world.chain.revert(snapshot));
            }
            assert!(world.is_settled(token, &request));
        }
    }
}

#[test]
fn approve_and_pay_with_the_default_token_and_with_any() {
    let world = World::new();
    let asked = request(ID, 10_000);
    world.ok(&world.buyer, USDC, &Token::approveCall { spender: X402_PAY, value: U256::from(10_000) });
    let Request { seller, amount, requestId, metadata } = asked.clone();
    let call = Payments::pay_0Call { seller, amount, requestId, metadata };
    assert_eq!(world.ok(&world.buyer, X402_PAY, &call), [event(&world.buyer, &asked, "USDC")]);
    assert_eq!(world.balance(USDC, SELLER), 10_000);
    // USDT returns nothing, WIDE is plain.
    for (token, symbol) in [(USDT, "USDT"), (WIDE, "WIDE")] {
        let settled = world.pay(&world.buyer, token, &asked).unwrap();
        assert_eq!(settled, [event(&world.buyer, &asked, symbol)]);
        assert_eq!(world.balance(token, SELLER), 10_000);
    }
    world.holds_nothing();
}

#[test]
fn anybody_can_send_what_the_buyer_authorized_and_change_none_of_it() {
    let world = World::new();
    let hash = B256::repeat_byte(9);
    let asked = Request { metadata: metadata(NOW + 60, hash), ..request(ID, 10_000) };
    let signed = world.authorize(USDC, &asked, hash);
    let with = |request: Request, authorization: Authorization| Payments::payWithAuthorizationCall {
        token: USDC,
        request,
        authorization,
    };
    let changed = [
        Request { seller: world.other.address, ..asked.clone() },
        Request { amount: U256::from(10_001), ..asked.clone() },
        Request { amount: U256::from(9_999), ..asked.clone() },
        Request { requestId: "pay_other".into(), ..asked.clone() },
        Request { metadata: metadata(NOW + 60, B256::repeat_byte(8)), ..asked.clone() },
        Request { metadata: Bytes::new(), ..asked.clone() },
    ];
    for request in changed {
        assert!(
            world.send(&world.other, X402_PAY, &with(request.clone(), signed.clone())).is_err(),
            "{request:?}"
        );
    }
    let stolen = Authorization { buyer: world.other.address, ..signed.clone() };
    assert!(world.send(&world.other, X402_PAY, &with(asked.clone(), stolen)).is_err());
    let settled = world.ok(&world.other, X402_PAY, &with(asked.clone(), signed.clone()));
    assert_eq!(settled, [event(&world.buyer, &asked, "USDC")]);
    assert_eq!(world.balance(USDC, SELLER), 10_000);
    assert_eq!(world.balance(USDC, world.buyer.address), 990_000);
    world.holds_nothing();
    assert!(world.send(&world.other, X402_PAY, &with(asked, signed)).is_err(), "once");
}

#[test]
fn a_contract_wallet_authorizes_with_a_signature_of_any_length() {
    let world = World::new();
    // Says yes to every signature, also to one that is no ECDSA.
    let always = alloy_primitives::address!("0x0DD1000000000000000000000000000000000003");
    world.mint(USDC, always, 50);
    let asked = request(ID, 50);
    for signature in [vec![1; 65], vec![1; 7]] {
        let snapshot = world.chain.snapshot();
        let authorization = Authorization {
            buyer: always,
            validAfter: U256::ZERO,
            validBefore: U256::from(NOW + 1),
            signature: signature.into(),
        };
        let call = Payments::payWithAuthorizationCall { token: USDC, request: asked.clone(), authorization };
        assert_eq!(world.ok(&world.other, X402_PAY, &call)[0].buyer, always);
        assert!(world.chain.revert(snapshot));
    }
}

#[test]
fn a_permit_and_its_payment_are_one_call_and_only_of_its_owner() {
    let world = World::new();
    let asked = request(ID, 10_000);
    let deadline = U256::from(NOW + 60);
    let kind =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    let message = (kind, world.buyer.address, X402_PAY, asked.amount, U256::ZERO, deadline);
    let signature = world.buyer.sign(world.typed(USDC, keccak256(message.abi_encode())));
    let (v, r, s) = (27 + u8::from(signature.v()), signature.r().into(), signature.s().into());
    let call = Payments::payWithPermitCall { token: USDC, request: asked.clone(), deadline, v, r, s };
    // Somebody else with the same permit pays from his own account, which has nothing.
    assert!(world.send(&world.other, X402_PAY, &call).is_err());
    for shown_first in [false, true] {
        let snapshot = world.chain.snapshot();
        if shown_first {
            let (owner, value) = (world.buyer.address, asked.amount);
            let permit = Token::permitCall { owner, spender: X402_PAY, value, deadline, v, r, s };
            world.ok(&world.other, USDC, &permit);
        }
        let settled = world.ok(&world.buyer, X402_PAY, &call);
        assert_eq!(settled, [event(&world.buyer, &asked, "USDC")]);
        assert_eq!(world.balance(USDC, SELLER), 10_000);
        world.holds_nothing();
        assert!(world.chain.revert(snapshot));
    }
}

#[test]
fn receivers_of_erc1363_say_so() {
    let world = World::new();
    let says = |id: u32| {
        let call = Payments::supportsInterfaceCall { interfaceId: FixedBytes(id.to_be_bytes()) };
        world.ask(X402_PAY, &call)
    };
    assert!(says(0x01ff_c9a7) && says(0x88a7_ca5c));
    assert!(!says(0xffff_ffff) && !says(0xb020_2a11));
}
