//! Transactions that are in no block, not yet or no longer.

use std::time::{Duration, Instant};

use alloy_primitives::TxKind;
use groat_core::Confirmations;
use groat_core::books::Book;
use groat_devchain::Mining;
use http::StatusCode;
use serde_json::json;

use super::market::{Market, PRICE, Seen, Shop};

/// Nobody knows yet: come again, and never a bare 402.
fn is_pending(seen: &Seen) {
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE, "{seen:?}");
    assert_eq!(seen.headers["retry-after"], "2");
    assert_eq!(seen.error(), "settlement_pending");
}

/// Until the answer is there; nothing but "pending" may be said before.
async fn served(shop: &Shop, target: &str, hash: alloy_primitives::B256) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        let seen = shop.show(target, hash).await;
        if seen.status == StatusCode::OK {
            return;
        }
        is_pending(&seen);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is never served");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmined_transaction_is_held_ten_seconds_and_served_after_its_block() {
    let market = Market::new(Mining::Manual);
    let (shop, hash) = (market.shop(), market.pay(1, PRICE));
    let begun = Instant::now();
    is_pending(&shop.show("/forecast", hash).await);
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
    assert_eq!((market.runs(), market.store.count(Book::Sales)), (0, 0));
    let waiting = tokio::spawn({
        let shop = shop.clone();
        async move { shop.show("/forecast", hash).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    market.chain.mine(1);
    assert_eq!(waiting.await.unwrap().status, StatusCode::OK);
    assert_eq!(market.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_that_nobody_knows_is_503_and_leaves_nothing_in_the_books() {
    let market = Market::new(Mining::Instant);
    is_pending(&market.shop().show("/forecast", alloy_primitives::B256::repeat_byte(0xab)).await);
    assert_eq!(
        (market.runs(), market.store.count(Book::Sales), market.store.count(Book::Settlements)),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_answer_is_503_and_takes_nothing() {
    let market = Market::new(Mining::Instant);
    // Straight to the provider: what moved is in the transaction itself.
    let shop = market.shop_of([("/forecast", market.direct("native", PRICE))]);
    let hash = market.transact(&market.ada, TxKind::Call(market.provider.address), PRICE, vec![]);
    for method in ["eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockByNumber"] {
        market.ask("dev_failNext", json!([method, 3, -32603]));
        let seen = shop.show("/forecast", hash).await;
        assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE, "{method}: {seen:?}");
        assert!(seen.headers.contains_key("retry-after"));
        market.chain.faults(|faults| faults.fail_next.clear());
    }
    assert_eq!(market.runs(), 0);
    shop.serves("/forecast", hash).await;
    assert_eq!(market.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_payment_that_a_reorganisation_drops_before_it_lies_deep_enough_buys_nothing() {
    let market = Market::new(Mining::Manual);
    let hash = market.pay(1, PRICE);
    let shop = market.shop_when(Confirmations::Blocks(3), [("/forecast", market.service("1", PRICE))]);
    market.chain.mine(1);
    is_pending(&shop.show("/forecast", hash).await);
    market.chain.reorg(1, true);
    market.chain.mine(5);
    is_pending(&shop.show("/forecast", hash).await);
    is_pending(&shop.show("/forecast?day=2", hash).await);
    assert_eq!(market.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_payment_that_a_reorganisation_moves_is_served_when_it_lies_deep_enough_there() {
    let market = Market::new(Mining::Manual);
    let hash = market.pay(1, PRICE);
    let shop = market.shop_when(Confirmations::Blocks(3), [("/forecast", market.service("1", PRICE))]);
    market.chain.mine(1);
    is_pending(&shop.show("/forecast", hash).await);
    market.chain.reorg(1, false);
    market.chain.mine(1);
    is_pending(&shop.show("/forecast", hash).await);
    assert_eq!(market.runs(), 0);
    market.chain.mine(2);
    served(&shop, "/forecast", hash).await;
    assert_eq!(market.runs(), 1);
}

/// Nobody settles again while one request waits: whoever looks how deep the payment lies has to find it again.
#[tokio::test(flavor = "multi_thread")]
async fn i7_a_payment_that_moves_while_a_request_waits_is_served_by_that_request() {
    let market = Market::new(Mining::Manual);
    let hash = market.pay(1, PRICE);
    let shop = market.shop_when(Confirmations::Blocks(3), [("/forecast", market.service("1", PRICE))]);
    market.chain.mine(1);
    let waiting = tokio::spawn({
        let shop = shop.clone();
        async move { shop.show("/forecast", hash).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    market.chain.reorg(1, false);
    market.chain.mine(4);
    let seen = waiting.await.unwrap();
    assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
    assert_eq!(market.runs(), 1);
}
