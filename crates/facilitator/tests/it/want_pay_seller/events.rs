//! Which events on chain pay a request, and when.

use alloy_primitives::{Bytes, TxKind, U256, keccak256};
use alloy_sol_types::SolValue;
use groat_core::Confirmations;
use groat_devchain::{Mining, USDC, X402_PAY};
use http::StatusCode;
use serde_json::{Value, json};

use super::bazaar::*;

#[tokio::test]
async fn t07_only_an_event_with_this_id_buyer_seller_amount_and_time_pays() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let other = shop.asked("/forecast").await;
    let seller = bazaar.seller();
    let (ada, eve) = (&bazaar.ada, &bazaar.eve);
    let ways = [
        (bazaar.settle_as(ada, &other, seller, CENT, true), "not_settled"),
        (bazaar.settle_as(eve, &request, seller, CENT + 2, true), "not_settled"),
        (bazaar.settle_as(ada, &request, eve.address, CENT, true), "wrong_seller"),
        (bazaar.settle_as(ada, &request, seller, CENT - 1, true), "amount_mismatch"),
        (bazaar.settle_as(ada, &request, seller, CENT + 1, true), "amount_mismatch"),
        // Money, and no event of the contract.
        (bazaar.transact(ada, TxKind::Call(eve.address), 1, vec![]), "not_settled"),
    ];
    for (tx, code) in ways {
        let seen = shop.prove("/forecast", &bazaar.proof(&request, tx)).await;
        assert_eq!(seen.error(), code, "{seen:?}");
        seen.is_refused(code);
    }
    assert_eq!(bazaar.runs(), 0);
    shop.prove("/forecast", &bazaar.proof(&request, bazaar.settle(&request))).await.is_served();
}

#[tokio::test]
async fn t07_a_transaction_that_reverted_pays_nothing() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let paid = bazaar.settle(&request);
    // The same again reverts: a request is settled once.
    let reverted = bazaar.settle(&request);
    assert_eq!(bazaar.receipt(reverted)["status"], "0x0");
    shop.prove("/forecast", &bazaar.proof(&request, reverted)).await.is_refused("not_settled");
    shop.prove("/forecast", &bazaar.proof(&request, paid)).await.is_served();
}

/// Code that emits one event: topics and data lie behind the program.
fn shouter(request: &Value, bazaar: &Bazaar) -> Vec<u8> {
    let topic = keccak256("PaymentSettled(bytes32,address,address,uint256,string,uint256)");
    let id = keccak256(text(request, "id"));
    let (buyer, seller) = (bazaar.ada.address, bazaar.seller());
    let data = (buyer, seller, U256::from(CENT), "USDC".to_owned(), U256::from(START)).abi_encode_params();
    let size = u8::try_from(data.len() / 32).unwrap();
    // PUSH32 word, PUSH1 offset, MSTORE for each word; then LOG2(0, length, topic, id).
    let mut code = Vec::new();
    for (index, word) in data.chunks(32).enumerate() {
        code.push(0x7f);
        code.extend(word);
        code.extend([0x61, (index * 32 / 256) as u8, (index * 32 % 256) as u8, 0x52]);
    }
    code.push(0x7f);
    code.extend(id);
    code.push(0x7f);
    code.extend(topic);
    let length = usize::from(size) * 32;
    code.extend([0x61, (length / 256) as u8, (length % 256) as u8, 0x60, 0, 0xa2, 0x00]);
    code
}

#[tokio::test]
async fn t08_the_same_event_of_another_contract_pays_nothing() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    // The constructor shouts.
    let tx = bazaar.transact(&bazaar.eve, TxKind::Create, 0, shouter(&request, &bazaar));
    let logs = bazaar.receipt(tx)["logs"].clone();
    assert_eq!(logs[0]["topics"][1], json!(keccak256(text(&request, "id"))));
    let data: Bytes = serde_json::from_value(logs[0]["data"].clone()).unwrap();
    assert!(data.len() > 160, "{logs}");
    shop.prove("/forecast", &bazaar.proof(&request, tx)).await.is_refused("not_settled");
    assert_eq!(bazaar.runs(), 0);
}

#[tokio::test]
async fn a_payment_in_a_block_after_expires_pays_nothing() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let expires = request["expires"].as_u64().unwrap();
    bazaar.chain.set_time(expires + 1);
    // Without metadata the contract does not know how late it is.
    let tx = bazaar.settle_as(&bazaar.ada, &request, bazaar.seller(), CENT, false);
    assert_eq!(bazaar.receipt(tx)["status"], "0x1");
    let claims = but(&bazaar.claims(&request, tx), "exp", json!(expires + 300));
    shop.prove("/forecast", &bazaar.token("ES256K", &claims, &bazaar.ada)).await.is_refused("not_settled");
    assert_eq!(bazaar.runs(), 0);
}

#[tokio::test]
async fn two_requests_in_one_transaction_are_two_runs() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let [one, two] = [shop.asked("/forecast").await, shop.asked("/news").await];
    // Through Multicall3 the contract sees one buyer: Multicall3, so it needs the money.
    let caller = groat_devchain::MULTICALL3;
    alloy_sol_types::sol! {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        function aggregate3(Call3[] calls) external payable;
    }
    use alloy_sol_types::SolCall;
    bazaar.chain.mint_usdc(caller, U256::from(10 * CENT));
    let approve = approveCall { spender: X402_PAY, amount: U256::MAX }.abi_encode();
    let call = |target, data: Vec<u8>| Call3 { target, allowFailure: false, callData: data.into() };
    let pays = [&one, &two].map(|request| call(X402_PAY, pay_call(request, bazaar.seller(), CENT, true)));
    let calls = std::iter::once(call(USDC, approve)).chain(pays).collect();
    let tx = bazaar.transact(&bazaar.ada, TxKind::Call(caller), 0, aggregate3Call { calls }.abi_encode());
    assert_eq!(bazaar.receipt(tx)["status"], "0x1");
    // The buyer of the event is the contract that called, not whoever sent the transaction.
    shop.prove("/forecast", &bazaar.proof(&one, tx)).await.is_refused("not_settled");
    assert_eq!(bazaar.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_on_its_way_is_waited_for_and_the_same_proof_then_opens() {
    let bazaar = Bazaar::mining(Mining::Manual);
    bazaar.chain.mine(1);
    let mut setup = Setup::default();
    setup.limits.settle_timeout_s = 1;
    let shop = bazaar.shop_with(setup);
    let request = shop.asked("/forecast").await;
    let tx = bazaar.settle(&request);
    let token = bazaar.proof(&request, tx);
    let seen = shop.prove("/forecast", &token).await;
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE, "{seen:?}");
    assert!(seen.headers.contains_key("retry-after"), "{seen:?}");
    assert_eq!(bazaar.runs(), 0);
    bazaar.chain.mine(1);
    shop.prove_until_known("/forecast", &token).await.is_served();
    assert_eq!(bazaar.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_served_when_it_lies_as_deep_as_its_amount_wants() {
    let bazaar = Bazaar::mining(Mining::Manual);
    bazaar.chain.mine(1);
    let mut setup = Setup { confirmations: Confirmations::Blocks(3), ..Setup::default() };
    setup.limits.settle_timeout_s = 4;
    let shop = bazaar.shop_with(setup);
    let request = shop.asked("/forecast").await;
    let token = bazaar.proof(&request, bazaar.settle(&request));
    bazaar.chain.mine(1);
    assert_eq!(shop.prove("/forecast", &token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    bazaar.chain.mine(2);
    shop.prove_until_known("/forecast", &token).await.is_served();
    assert_eq!(bazaar.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_a_reorganisation_drops_before_it_lies_deep_enough_pays_nothing() {
    let bazaar = Bazaar::mining(Mining::Manual);
    bazaar.chain.mine(1);
    let mut setup = Setup { confirmations: Confirmations::Blocks(3), ..Setup::default() };
    setup.limits.settle_timeout_s = 1;
    let shop = bazaar.shop_with(setup);
    let request = shop.asked("/forecast").await;
    let token = bazaar.proof(&request, bazaar.settle(&request));
    bazaar.chain.mine(1);
    assert_eq!(shop.prove("/forecast", &token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    bazaar.chain.reorg(1, true);
    bazaar.chain.mine(5);
    assert_eq!(shop.prove("/forecast", &token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(bazaar.runs(), 0);
}

/// The payer sends again for more gas, or because a reorganisation has lost the first: the request is paid all the same.
#[tokio::test(flavor = "multi_thread")]
async fn i7_a_request_that_another_transaction_pays_after_a_reorganisation_opens() {
    let bazaar = Bazaar::mining(Mining::Manual);
    bazaar.chain.mine(1);
    let mut setup = Setup { confirmations: Confirmations::Blocks(3), ..Setup::default() };
    setup.limits.settle_timeout_s = 4;
    let shop = bazaar.shop_with(setup);
    let request = shop.asked("/forecast").await;
    let first = bazaar.settle(&request);
    bazaar.chain.mine(1);
    let seen = shop.prove("/forecast", &bazaar.proof(&request, first)).await;
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
    bazaar.chain.reorg(1, true);
    let second = bazaar.settle_as(&bazaar.ada, &request, bazaar.seller(), CENT, false);
    assert_ne!(first, second);
    bazaar.chain.mine(4);
    shop.prove_until_known("/forecast", &bazaar.proof(&request, second)).await.is_served();
    assert_eq!(bazaar.runs(), 1);
}
