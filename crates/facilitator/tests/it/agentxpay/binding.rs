//! Who may show a payment.

use alloy_primitives::B256;
use groat_core::Reason;
use groat_devchain::Mining;
use http::{Method, StatusCode};

use super::market::{Account, Market, PRICE, Shop, Wallet};

const URL: &str = "https://api.example.com/forecast";

async fn shown_by(shop: &Shop, signer: &Account, hash: B256) -> StatusCode {
    let signature = signer.sign_request("GET", URL, hash, b"");
    shop.show_signed("/forecast", hash, &[("X-Payment-Signature", &signature)]).await.status
}

#[tokio::test]
async fn b15_with_binding_a_stranger_is_refused_and_the_payer_is_let_in() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop_of([("/forecast", market.bound("required"))]);
    let hash = market.pay(1, PRICE);
    let seen = shop.refuses("/forecast", hash).await;
    assert_eq!(seen.error(), Reason::InvalidSignature.code());
    assert_eq!(shown_by(&shop, &market.eve, hash).await, StatusCode::PAYMENT_REQUIRED);
    for garbage in ["0x", "0x00", "nonsense", &"0x11".repeat(65), &format!("0x{}", "00".repeat(65))] {
        let seen = shop.show_signed("/forecast", hash, &[("X-Payment-Signature", garbage)]).await;
        assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED, "{garbage}: {seen:?}");
    }
    assert_eq!(market.runs(), 0);
    assert_eq!(shown_by(&shop, &market.ada, hash).await, StatusCode::OK);
    // What she has bought is hers.
    shop.refuses("/forecast", hash).await;
    assert_eq!(shown_by(&shop, &market.eve, hash).await, StatusCode::PAYMENT_REQUIRED);
    assert_eq!((shown_by(&shop, &market.ada, hash).await, market.runs()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn b15_a_signature_is_for_one_method_url_hash_and_body() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop_of([("/forecast", market.bound("required"))]);
    let [hash, other] = [market.pay(1, PRICE), market.pay(1, PRICE)];
    let ada = &market.ada;
    let others = [
        ada.sign_request("POST", "https://api.example.com/forecast?day=2", hash, b"body"),
        ada.sign_request("POST", "http://api.example.com/forecast", hash, b"body"),
        ada.sign_request("GET", URL, hash, b"body"),
        ada.sign_request("POST", URL, other, b"body"),
        ada.sign_request("POST", URL, hash, b"BODY"),
        ada.sign_request("POST", URL, hash, b""),
    ];
    let shown = format!("{hash:#x}");
    let send = |signature: &str| {
        let (shop, shown, signature) = (shop.clone(), shown.clone(), signature.to_owned());
        async move {
            let fields = [("X-Payment-TxHash", &*shown), ("X-Payment-Signature", &*signature)];
            shop.send(Method::POST, "/forecast", &fields, "body").await.status
        }
    };
    for signature in &others {
        assert_eq!(send(signature).await, StatusCode::PAYMENT_REQUIRED);
    }
    assert_eq!(market.runs(), 0);
    assert_eq!(send(&ada.sign_request("POST", URL, hash, b"body")).await, StatusCode::OK);
    assert_eq!(market.runs(), 1);
}

#[tokio::test]
async fn b15_owner_and_agents_of_a_paying_wallet_are_let_in_and_nobody_else() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop_of([("/forecast", market.bound("required"))]);
    let wallet = market.wallet();
    let [by_owner, by_agent] = [1, 2].map(|_| market.pay_from(wallet, &market.ada));
    assert_eq!(shown_by(&shop, &market.eve, by_agent).await, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(shown_by(&shop, &market.ada, by_owner).await, StatusCode::OK);
    market.send(&market.ada, wallet, 0, Wallet::authorizeAgentCall { agent: market.eve.address });
    assert_eq!(shown_by(&shop, &market.eve, by_agent).await, StatusCode::OK);
    assert_eq!(shown_by(&shop, &market.provider, by_agent).await, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(market.runs(), 2);
}

#[tokio::test]
async fn the_payer_field_names_the_payer_or_who_signs_for_it() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop_of([("/forecast", market.bound("required"))]);
    let wallet = market.wallet();
    let named = |payer: String, hash: B256| {
        let (shop, signature) = (shop.clone(), market.ada.sign_request("GET", URL, hash, b""));
        async move {
            let fields = [("X-Payment-Payer", &*payer), ("X-Payment-Signature", &*signature)];
            shop.show_signed("/forecast", hash, &fields).await.status
        }
    };
    let hash = market.pay_from(wallet, &market.ada);
    for wrong in [market.eve.address.to_string(), "ada".into()] {
        assert_eq!(named(wrong, hash).await, StatusCode::PAYMENT_REQUIRED);
    }
    assert_eq!(market.runs(), 0);
    assert_eq!(named(wallet.to_string(), hash).await, StatusCode::OK);
    let hash = market.pay_from(wallet, &market.ada);
    assert_eq!(named(market.ada.address.to_string().to_lowercase(), hash).await, StatusCode::OK);
    assert_eq!(market.runs(), 2);
}

#[tokio::test]
async fn b15_where_binding_is_optional_a_signature_must_be_right_and_where_it_is_off_none_is_read() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop_of([("/forecast", market.bound("optional"))]);
    let hash = market.pay(1, PRICE);
    assert_eq!(shown_by(&shop, &market.eve, hash).await, StatusCode::PAYMENT_REQUIRED);
    shop.serves("/forecast", hash).await;
    assert_eq!(shown_by(&shop, &market.ada, market.pay(1, PRICE)).await, StatusCode::OK);
    let shop = market.shop_of([("/forecast", market.bound("off"))]);
    assert_eq!(shown_by(&shop, &market.eve, market.pay(1, PRICE)).await, StatusCode::OK);
    assert_eq!(market.runs(), 3);
}

#[tokio::test]
async fn b15_a_payment_that_was_given_back_is_still_its_payers() {
    let market = Market::new(Mining::Instant);
    let shop = market.shop_of([("/forecast", market.bound("required"))]);
    let hash = market.pay(1, PRICE);
    market.fail_next(1);
    assert_eq!(shown_by(&shop, &market.ada, hash).await, StatusCode::INTERNAL_SERVER_ERROR);
    shop.refuses("/forecast", hash).await;
    assert_eq!(shown_by(&shop, &market.eve, hash).await, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(market.runs(), 1);
    assert_eq!((shown_by(&shop, &market.ada, hash).await, market.runs()), (StatusCode::OK, 2));
}
