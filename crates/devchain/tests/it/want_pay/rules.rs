//! What the contract refuses, and what it never lets happen.

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError};
use groat_devchain::{USDC, X402_PAY};

use super::*;

#[test]
fn the_same_request_settles_once_by_whatever_way() {
    let world = World::new();
    let asked = request(ID, 10_000);
    world.pay(&world.buyer, D1363, &asked).unwrap();
    let Request { seller, amount, requestId, .. } = asked.clone();
    let key = world.ask(X402_PAY, &Payments::settlementKeyCall { token: D1363, seller, amount, requestId });
    let again = Bytes::from(Payments::AlreadySettled { key }.abi_encode());
    assert_eq!(world.pay(&world.buyer, D1363, &asked).unwrap_err(), again);
    for data in encodings(&asked) {
        assert_eq!(world.bring(&world.buyer, D1363, 10_000, data).unwrap_err(), again);
    }
    let late = Request { metadata: metadata(NOW + 1, B256::ZERO), ..asked.clone() };
    assert_eq!(world.pay(&world.buyer, D1363, &late).unwrap_err(), again, "metadata makes no other request");
    assert_eq!(world.balance(D1363, world.buyer.address), 990_000);
    // Another token is another payment.
    assert_eq!(world.pay(&world.buyer, D677, &asked).unwrap().len(), 1);
}

#[test]
fn t14_a_payment_of_one_unit_blocks_nobody() {
    let world = World::new();
    world.mint(D677, world.other.address, 5);
    let asked = request(ID, 10_000);
    let dust = request(ID, 1);
    let elsewhere = Request { seller: world.other.address, ..asked.clone() };
    world.pay(&world.other, D677, &dust).unwrap();
    world.pay(&world.buyer, D677, &elsewhere).unwrap();
    assert_eq!(world.pay(&world.buyer, D677, &asked).unwrap(), [event(&world.buyer, &asked, "D677")]);
}

#[test]
fn a_late_payment_goes_back_and_one_in_the_last_second_counts() {
    let world = World::new();
    let until = |expires| Request { metadata: metadata(expires, B256::ZERO), ..request(ID, 10_000) };
    let late = Bytes::from(Payments::RequestExpired { expires: U256::from(NOW - 1) }.abi_encode());
    assert_eq!(world.pay(&world.buyer, D677, &until(NOW - 1)).unwrap_err(), late);
    for data in encodings(&until(NOW - 1)) {
        assert_eq!(world.bring(&world.buyer, D1363, 10_000, data).unwrap_err(), late);
    }
    let signed = world.authorize(USDC, &until(NOW - 1), B256::ZERO);
    let call =
        Payments::payWithAuthorizationCall { token: USDC, request: until(NOW - 1), authorization: signed };
    assert_eq!(world.send(&world.other, X402_PAY, &call).unwrap_err(), late);
    assert_eq!(world.balance(D677, world.buyer.address), 1_000_000);
    world.pay(&world.buyer, D677, &until(NOW)).unwrap();
    world.holds_nothing();
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    let world = World::new();
    let good = request(ID, 10_000);
    let refused = |request: &Request, error: Vec<u8>| {
        assert_eq!(
            world.pay(&world.buyer, D1363, request).unwrap_err(),
            Bytes::from(error.clone()),
            "{request:?}"
        );
        for data in encodings(request) {
            let value = request.amount.to();
            assert_eq!(
                world.bring(&world.buyer, D1363, value, data).unwrap_err(),
                Bytes::from(error.clone())
            );
        }
    };
    for seller in [Address::ZERO, X402_PAY, D1363, world.buyer.address] {
        let error = Payments::InvalidSeller { seller }.abi_encode();
        refused(&Request { seller, ..good.clone() }, error);
    }
    refused(&request(ID, 0), Payments::InvalidAmount {}.abi_encode());
    refused(&request("", 1), Payments::InvalidRequestId {}.abi_encode());
    refused(&request(&"x".repeat(65), 1), Payments::InvalidRequestId {}.abi_encode());
    for metadata in [vec![0; 32], vec![0; 63], vec![0; 65], vec![0xff; 64]] {
        let error = Payments::InvalidMetadata {}.abi_encode();
        refused(&Request { metadata: metadata.into(), ..good.clone() }, error);
    }
    assert_eq!(world.balance(D1363, SELLER), 0);
}

#[test]
fn what_a_token_brings_is_what_was_asked() {
    let world = World::new();
    for token in [D1363, D677] {
        for value in [0, 1, 9_999, 10_001] {
            for data in encodings(&request(ID, 10_000)) {
                let error = Payments::AmountMismatch { asked: U256::from(10_000), given: U256::from(value) };
                let refused = world.bring(&world.buyer, token, value, data).unwrap_err();
                assert_eq!(refused, Bytes::from(error.abi_encode()));
            }
        }
        for garbage in [vec![], vec![0; 31], vec![0xff; 32], vec![0x20; 64], {
            let mut cut = request(ID, 5).abi_encode();
            cut.truncate(200);
            cut
        }] {
            assert!(world.bring(&world.buyer, token, 5, garbage).is_err());
        }
    }
    world.holds_nothing();
}

#[test]
fn t08_only_a_listed_token_is_believed() {
    let world = World::new();
    let [data, _] = encodings(&request(ID, 10_000));
    let by = |who: &Wallet| Payments::TokenNotTaken { token: who.address };
    // An account that plays token, in both styles.
    let (operator, from, value) = (world.other.address, world.buyer.address, U256::from(10_000));
    let call = Payments::onTransferReceivedCall { operator, from, value, data: data.clone().into() };
    world.refused(&world.other, X402_PAY, &call, by(&world.other));
    let call = Payments::onTokenTransferCall { from, value, data: data.into() };
    world.refused(&world.other, X402_PAY, &call, by(&world.other));
    // A real token that nobody has listed.
    let unlisted = alloy_primitives::address!("0x0Dd0000000000000000000000000000000000001");
    let error = Payments::TokenNotTaken { token: unlisted };
    world.refused(&world.buyer, X402_PAY, &pay(unlisted, &request(ID, 1)), error.clone());
    let authorization = world.authorize(USDC, &request(ID, 1), B256::ZERO);
    let call = Payments::payWithAuthorizationCall { token: unlisted, request: request(ID, 1), authorization };
    world.refused(&world.buyer, X402_PAY, &call, error);
}

#[test]
fn what_others_approved_cannot_be_spent() {
    let world = World::new();
    world.ok(&world.buyer, D677, &Token::approveCall { spender: X402_PAY, value: U256::MAX });
    assert!(world.send(&world.other, X402_PAY, &pay(D677, &request(ID, 1))).is_err());
    assert_eq!(world.balance(D677, world.buyer.address), 1_000_000);
}

#[test]
fn a_token_that_takes_a_fee_is_not_paid_with_until_it_takes_none() {
    let world = World::new();
    world.ok(&world.other, USDT, &Token::setParamsCall { rate: U256::from(10) });
    let error = Payments::WrongAmountReceived { expected: U256::from(10_000), received: U256::from(9_990) };
    let refused = world.pay(&world.buyer, USDT, &request(ID, 10_000)).unwrap_err();
    assert_eq!(refused, Bytes::from(error.abi_encode()));
    world.ok(&world.other, USDT, &Token::setParamsCall { rate: U256::ZERO });
    world.pay(&world.buyer, USDT, &request(ID, 10_000)).unwrap();
}

#[test]
fn an_allowance_of_usdt_goes_through_zero_and_a_token_that_says_no_is_heard() {
    let world = World::new();
    let approve = |value: u64| Token::approveCall { spender: X402_PAY, value: U256::from(value) };
    world.ok(&world.buyer, USDT, &approve(5));
    assert!(world.send(&world.buyer, USDT, &approve(10)).is_err());
    assert!(world.send(&world.buyer, X402_PAY, &pay(USDT, &request(ID, 10))).is_err());
    world.ok(&world.buyer, USDT, &approve(0));
    world.ok(&world.buyer, USDT, &approve(10));
    world.ok(&world.buyer, X402_PAY, &pay(USDT, &request(ID, 10)));
    // The token's own words reach whoever pays.
    world.ok(&world.buyer, D677, &approve(0));
    let error = world.send(&world.buyer, X402_PAY, &pay(D677, &request(ID, 10))).unwrap_err();
    let words = alloy_sol_types::Revert::abi_decode(&error).unwrap();
    assert_eq!(words.reason, "ERC20: transfer amount exceeds allowance");
}

#[test]
fn nobody_comes_in_while_a_payment_is_made() {
    let world = World::new();
    let inner = request("pay_inner", 5);
    let hook = Payments::onTokenTransferCall {
        from: world.buyer.address,
        value: U256::from(5),
        data: inner.abi_encode().into(),
    };
    let authorized = Payments::payWithAuthorizationCall {
        token: USDC,
        authorization: world.authorize(USDC, &inner, B256::ZERO),
        request: inner.clone(),
    };
    let (deadline, v, r, s) = (U256::MAX, 27, B256::ZERO, B256::ZERO);
    let permit = Payments::payWithPermitCall { token: USDC, request: inner.clone(), deadline, v, r, s };
    let (seller, amount) = (inner.seller, inner.amount);
    let plain =
        Payments::pay_0Call { seller, amount, requestId: inner.requestId.clone(), metadata: Bytes::new() };
    let doors = [
        hook.abi_encode(),
        authorized.abi_encode(),
        permit.abi_encode(),
        plain.abi_encode(),
        pay(CALLS, &inner).abi_encode(),
    ];
    // The token itself has money and has approved, so only the guard stands in the way.
    world.mint(CALLS, CALLS, 100);
    for (turn, data) in doors.into_iter().enumerate() {
        world.ok(&world.other, CALLS, &Token::armCall { target: X402_PAY, data: data.into() });
        let outer = request(&format!("pay_{turn}"), 7);
        assert_eq!(world.pay(&world.buyer, CALLS, &outer).unwrap(), [event(&world.buyer, &outer, "CALLS")]);
        assert_eq!(world.ask(CALLS, &Token::callsMadeCall {}), U256::from(turn + 1));
        let refusal = world.ask(CALLS, &Token::refusalCall {});
        assert_eq!(refusal, Bytes::from(Payments::Reentered {}.abi_encode()), "{turn}");
    }
    assert!(!world.is_settled(CALLS, &inner));
    // The guard opens again.
    assert!(world.pay(&world.buyer, CALLS, &inner).is_ok());
}
