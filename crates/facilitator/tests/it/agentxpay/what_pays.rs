//! Which transactions buy, and which do not.

use alloy_primitives::{TxKind, U256};
use groat_core::Reason;
use groat_core::books::Book;
use groat_core::offer::Ask;
use groat_core::ports::Mechanism;
use groat_devchain::agentxpay::PAYMENT_MANAGER;
use groat_devchain::{Mining, USDC};
use http::{Method, StatusCode};

use super::market::{Manager, Market, PRICE};
use crate::outsider::{Outsider, Token};
use crate::world::World;

fn one() -> U256 {
    U256::from(1)
}

#[tokio::test]
async fn an_unpaid_request_is_told_all_five_fields_and_a_paid_one_is_served_with_a_receipt() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop();
    let asked = shop.send(Method::GET, "/forecast", &[], "").await;
    assert_eq!(asked.status, StatusCode::PAYMENT_REQUIRED);
    let told = ["address", "amount", "token", "serviceid", "chainid"]
        .map(|name| asked.headers[format!("x-payment-{name}")].to_str().unwrap());
    assert_eq!(told, [&PAYMENT_MANAGER.to_string(), "1000", "native", "1", "84532"]);
    let seen = shop.serves("/forecast", market.pay(1, PRICE)).await;
    assert_eq!((seen.body.as_str(), market.runs()), ("run 1", 1));
}

#[tokio::test]
async fn g17_the_handler_sees_nothing_of_the_payment() {
    let market = Market::new(Mining::Instant);
    let hash = market.pay(1, PRICE);
    let mut fields: Vec<_> = ["Address", "Amount", "Token", "ServiceId", "Payer", "Signature"]
        .map(|name| (format!("X-Payment-{name}"), "1"))
        .into();
    fields.push(("X-Subscription-Address".into(), "1"));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let seen = market.shop().show_signed("/forecast", hash, &fields).await;
    assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
    let seen = market.last_seen();
    let leaked: Vec<_> = seen.keys().filter(|name| name.as_str().starts_with("x-")).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

#[tokio::test]
async fn f053_a_deposit_that_can_be_withdrawn_does_not_buy_and_a_payment_from_it_does() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop();
    let deposit = market.send(&market.ada, PAYMENT_MANAGER, 5 * PRICE, Manager::depositCall {});
    let seen = shop.refuses("/forecast", deposit).await;
    assert_eq!(seen.error(), Reason::TransferEventMismatch.code());
    assert_eq!((market.runs(), market.store.count(Book::Sales)), (0, 0));
    let paid = market.send(&market.ada, PAYMENT_MANAGER, 0, Manager::payFromBalanceCall { serviceId: one() });
    shop.serves("/forecast", paid).await;
    shop.refuses("/forecast", deposit).await;
    assert_eq!(market.runs(), 1);
}

#[tokio::test]
async fn f059_a_payment_through_an_agent_wallet_buys() {
    let market = Market::new(Mining::Instant);
    let wallet = market.wallet();
    market.shop().serves("/forecast", market.pay_from(wallet, &market.ada)).await;
    assert_eq!(market.runs(), 1);
}

#[tokio::test]
async fn b16_a_payment_for_another_service_does_not_buy() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop();
    // Her own service, for one wei; and the cheaper one of ours.
    let own =
        market.send(&market.eve, PAYMENT_MANAGER, 1, Manager::payPerUseCall { serviceId: U256::from(3) });
    assert_eq!(shop.refuses("/forecast", own).await.error(), Reason::RecipientMismatch.code());
    let cheap = market.pay(1, PRICE);
    shop.refuses("/report", cheap).await;
    assert_eq!((market.runs(), market.store.count(Book::Sales)), (0, 0));
    shop.serves("/forecast", cheap).await;
    assert_eq!(market.runs(), 1);
}

#[tokio::test]
async fn b16_the_same_service_number_at_another_manager_does_not_buy() {
    let market = Market::new(Mining::Instant);
    let other = market.other_manager();
    let hash = market.send(&market.ada, other, PRICE, Manager::payPerUseCall { serviceId: one() });
    assert_eq!(market.receipt(hash)["status"], "0x1");
    market.shop().refuses("/forecast", hash).await;
    assert_eq!(market.runs(), 0);
}

#[tokio::test]
async fn b16_a_payment_that_another_provider_earns_does_not_buy() {
    let market = Market::new(Mining::Instant);
    // The seller believes that number 3 is its own.
    let shop = market.shop_of([("/forecast", market.service("3", 1))]);
    let hash =
        market.send(&market.ada, PAYMENT_MANAGER, 1, Manager::payPerUseCall { serviceId: U256::from(3) });
    assert_eq!(market.receipt(hash)["status"], "0x1");
    shop.refuses("/forecast", hash).await;
    assert_eq!(market.runs(), 0);
}

#[tokio::test]
async fn too_little_does_not_buy_even_when_more_was_sent_along() {
    let market = Market::new(Mining::Instant);
    // The route wants twice of what the registry says; the manager gives change.
    let shop = market.shop_of([("/forecast", market.service("1", 2 * PRICE))]);
    let hash = market.pay(1, 9 * PRICE);
    assert_eq!(shop.refuses("/forecast", hash).await.error(), Reason::AmountMismatch.code());
    assert_eq!(market.runs(), 0);
}

#[tokio::test]
async fn more_than_the_price_buys() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop_of([("/forecast", market.service("1", PRICE - 1))]);
    shop.serves("/forecast", market.pay(1, PRICE)).await;
    assert_eq!(market.runs(), 1);
}

#[tokio::test]
async fn f044_a_reverted_transaction_does_not_buy_and_is_told_as_such() {
    let market = Market::new(Mining::Instant);
    let hash = market.pay(1, PRICE - 1);
    assert_eq!(market.receipt(hash)["status"], "0x0");
    let seen = market.shop().refuses("/forecast", hash).await;
    assert_eq!(seen.error(), Reason::TransactionFailed.code());
    assert_eq!((market.runs(), market.store.count(Book::Sales)), (0, 0));
}

#[tokio::test]
async fn b18_a_payment_older_than_a_quarter_of_an_hour_does_not_buy() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop();
    let [late, old] = [market.pay(1, PRICE), market.pay(1, PRICE)];
    market.chain.increase_time(900);
    shop.serves("/forecast", late).await;
    market.chain.increase_time(1);
    assert_eq!(shop.refuses("/forecast", old).await.error(), Reason::Expired.code());
    assert_eq!((market.runs(), market.store.count(Book::Sales)), (1, 1));
}

#[tokio::test]
async fn b17_a_hash_for_another_chain_is_400_and_takes_nothing() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), format!("{:#x}", market.pay(1, PRICE)));
    for chain in ["1", "10143", "base-sepolia", "-84532", ""] {
        let fields = [("X-Payment-TxHash", hash.as_str()), ("X-Payment-ChainId", chain)];
        let seen = shop.send(Method::GET, "/forecast?other", &fields, "").await;
        // Said with nothing in it is not said.
        let expected = if chain.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        assert_eq!(seen.status, expected, "{chain}: {seen:?}");
    }
    assert_eq!(market.runs(), 1);
}

#[tokio::test]
async fn a_coin_that_goes_straight_to_the_provider_buys_where_the_route_says_so() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop_of([("/forecast", market.direct("native", PRICE))]);
    let send = |to, value| market.transact(&market.ada, TxKind::Call(to), value, vec![]);
    let asked = shop.send(Method::GET, "/forecast", &[], "").await;
    assert!(asked.has_challenge());
    assert_eq!(asked.headers["x-payment-address"], market.provider.address.to_string());
    let provider = market.provider.address;
    shop.serves("/forecast", send(provider, PRICE)).await;
    shop.refuses("/forecast", send(provider, PRICE - 1)).await;
    shop.refuses("/forecast", send(market.eve.address, PRICE)).await;
    shop.refuses("/forecast", market.pay(1, PRICE)).await;
    assert_eq!(market.runs(), 1);
}

#[tokio::test]
async fn a_token_that_goes_straight_to_the_provider_buys_where_the_route_says_so() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop_of([("/forecast", market.direct(&USDC.to_string(), PRICE))]);
    market.chain.mint_usdc(market.ada.address, U256::from(100 * PRICE));
    let move_to = |to, value: u64| {
        market.send(&market.ada, USDC, 0, Token::transferCall { to, value: U256::from(value) })
    };
    let provider = market.provider.address;
    shop.serves("/forecast", move_to(provider, PRICE)).await;
    shop.refuses("/forecast", move_to(provider, PRICE - 1)).await;
    shop.refuses("/forecast", move_to(market.eve.address, PRICE)).await;
    // Coins are not tokens.
    shop.refuses("/forecast", market.transact(&market.ada, TxKind::Call(provider), PRICE, vec![])).await;
    assert_eq!(market.runs(), 1);
}

/// The hash of every settlement is public, and its transfer looks like any other.
#[tokio::test]
async fn a_transfer_that_an_authorization_made_is_another_payment_and_buys_nothing_by_its_hash() {
    let market = Market::new(Mining::Instant);
    let mut terms = market.direct(&USDC.to_string(), PRICE);
    terms.pay_to = crate::world::PAY_TO.into();
    let shop = market.shop_of([("/forecast", terms)]);
    let payer = World::new(Mining::Instant).payer(1);
    market.chain.mint_usdc(payer.address(), U256::from(10_000_000));
    let stranger = Outsider::stranger(&market.chain);
    let alone = stranger.submit(USDC, &payer.pay(1));
    let together = stranger.submit_all(&[payer.pay(2), payer.pay(3)]);
    for hash in [alone, together] {
        assert_eq!(market.receipt(hash)["status"], "0x1");
        shop.refuses("/forecast", hash).await;
    }
    assert_eq!(market.runs(), 0);
}

#[tokio::test]
async fn g02_a_binding_that_nobody_knows_is_no_offer() {
    let market = Market::new(Mining::Instant);
    let offer = |binding| groat_chain_evm::ByHashEvm::offline().offer(&market.bound(binding));
    for known in ["off", "optional", "required"] {
        assert!(offer(known).is_ok(), "{known}");
    }
    assert!(offer("sometimes").is_err());
    let mut odd = market.service("1", PRICE);
    let Ask::Units { extra, .. } = &mut odd.price else { unreachable!() };
    extra.insert("payer".into(), serde_json::json!(true));
    assert!(groat_chain_evm::ByHashEvm::offline().offer(&odd).is_err());
}

#[tokio::test]
async fn h07_a_hash_beside_another_payment_is_400_and_takes_nothing() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), format!("{:#x}", market.pay(1, PRICE)));
    for other in ["PAYMENT-SIGNATURE", "X-PAYMENT", "X-Payment-TxHash"] {
        let fields = [("X-Payment-TxHash", hash.as_str()), (other, hash.as_str())];
        let seen = shop.send(Method::GET, "/forecast", &fields, "").await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{other}: {seen:?}");
        assert_eq!(seen.error(), "multiple_credentials", "{other}");
    }
    assert_eq!((market.runs(), market.store.count(Book::Sales)), (0, 0));
}
