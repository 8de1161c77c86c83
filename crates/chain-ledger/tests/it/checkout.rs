//! Orders that are paid elsewhere: one webhook or ten, one pass; a forged one, none.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use groat_chain_ledger::{CheckoutOrders, Currency, MockDriver};
use groat_core::Timestamp;
use groat_core::books::{Book, Checkout, CheckoutState};
use groat_core::ports::{Checkouts, ForeignStatus, Mechanism};
use groat_store::{Journal, MemoryStore};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::kit::*;
use crate::service::{Ways, request, seller, send, terms};

const HOOK: &str = "/x402/webhooks/mock";

struct Shop {
    app: Router,
    driver: Arc<MockDriver>,
    orders: CheckoutOrders,
    store: MemoryStore,
}

fn open(store: &MemoryStore, hands: &Hands, driver: &Arc<MockDriver>) -> Shop {
    let orders = CheckoutOrders::new(driver.clone(), vec![Currency::USD], Arc::new(store.clone())).unwrap();
    let shared = Arc::new(orders.clone());
    let ways = Ways {
        mechanisms: vec![shared.clone()],
        observers: vec![shared.clone()],
        terms: vec![terms("external-order", "checkout:mock")],
        ..Ways::default()
    };
    let (_, service, app, _) = seller(store, hands, ways);
    let app = app.fallback_service(service.checkout(shared));
    Shop { app, driver: driver.clone(), orders, store: store.clone() }
}

fn shop(hands: &Hands) -> Shop {
    let driver = Arc::new(MockDriver::new([7; 32], "https://checkout.example"));
    open(&MemoryStore::default(), hands, &driver)
}

impl Shop {
    async fn begin(&self) -> String {
        let body = json!({ "resource": "https://api.example.com/weather" });
        let begun = send(&self.app, request("POST", "/x402/orders", &body)).await;
        assert_eq!(begun.status, StatusCode::CREATED, "{:?}", begun.json());
        let told = begun.json();
        assert!(told["payment_link"].as_str().unwrap().starts_with("https://checkout.example/pay/"));
        assert_eq!((&told["expires"], &told["amount"]), (&json!(NOW + 900), &json!("0.01")));
        told["order_id"].as_str().unwrap().to_owned()
    }

    async fn poll(&self, order_id: &str) -> (StatusCode, Value) {
        let body = json!({ "permit": { "permit_type": "ExternalOrder", "order_id": order_id } });
        let answer = send(&self.app, request("POST", "/token/GET/weather", &body)).await;
        if answer.status == StatusCode::ACCEPTED {
            assert!(answer.headers.contains_key("retry-after"));
        }
        (answer.status, answer.json())
    }

    async fn hook(&self, (fields, body): (Vec<(String, String)>, Vec<u8>)) -> StatusCode {
        let mut asked = Request::post(HOOK).header("host", "api.example.com");
        for (name, value) in fields {
            asked = asked.header(name, value);
        }
        send(&self.app, asked.body(Body::from(body)).unwrap()).await.status
    }

    async fn state(&self, order_id: &str) -> CheckoutState {
        let journal = Journal::<Checkout>::new(Arc::new(self.store.clone()));
        journal.load(order_id).await.unwrap().unwrap().record.state
    }
}

#[tokio::test]
async fn f081_an_order_gives_a_pass_after_it_is_paid_and_only_one() {
    let hands = Hands::at(NOW);
    let shop = shop(&hands);
    let id = shop.begin().await;
    let (status, told) = shop.poll(&id).await;
    assert_eq!((status, &told["status"]), (StatusCode::ACCEPTED, &json!("pending")), "{told}");
    let webhook = shop.driver.pay(&id).unwrap();
    for _ in 0..2 {
        assert_eq!(shop.hook(webhook.clone()).await, StatusCode::OK);
    }
    assert_eq!(shop.state(&id).await, CheckoutState::Paid);
    // Orders are kept: another process on the same books gives the pass.
    let shop = open(&shop.store, &hands, &shop.driver);
    let (status, first) = shop.poll(&id).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(first["metadata"]["payment_id"], told["payment_id"]);
    for _ in 0..3 {
        assert_eq!(shop.poll(&id).await.1["access_token"], first["access_token"]);
    }
    assert_eq!((shop.store.count(Book::Settlements), shop.store.count(Book::Sales)), (1, 1));
}

#[tokio::test]
async fn a_webhook_that_is_forged_or_not_true_pays_nothing() {
    let shop = shop(&Hands::at(NOW));
    let id = shop.begin().await;
    let (fields, body) = shop.driver.webhook(&id);
    let mut forged = fields.clone();
    forged[0].1 = "00".repeat(32);
    let other = MockDriver::new([8; 32], "https://thief.example").webhook(&id);
    for webhook in [(forged, body.clone()), (vec![], body.clone()), (fields.clone(), b"{}".to_vec()), other] {
        assert_eq!(shop.hook(webhook).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(shop.state(&id).await, CheckoutState::Created);
    // Signed, and not true: they are asked, and say no.
    assert_eq!(shop.hook((fields, body)).await, StatusCode::OK);
    assert_eq!(
        (shop.state(&id).await, shop.poll(&id).await.0),
        (CheckoutState::Webhooked, StatusCode::ACCEPTED)
    );
    // Less than the price is not the price.
    shop.driver.set(&id, ForeignStatus::Paid(units(9_999))).unwrap();
    assert_eq!(shop.poll(&id).await.0, StatusCode::ACCEPTED);
    shop.driver.set(&id, ForeignStatus::Approved).unwrap();
    assert_eq!(shop.poll(&id).await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_order_that_nobody_pays_ends_and_late_money_is_still_money() {
    let hands = Hands::at(NOW);
    let shop = shop(&hands);
    let (late, never) = (shop.begin().await, shop.begin().await);
    assert_eq!(shop.orders.tend(Timestamp(NOW + 899)).await.unwrap(), 2);
    assert_eq!(shop.state(&never).await, CheckoutState::Created);
    hands.set(NOW + 900);
    shop.orders.tend(Timestamp(NOW + 900)).await.unwrap();
    assert_eq!(
        (shop.state(&late).await, shop.state(&never).await),
        (CheckoutState::Cancel, CheckoutState::Cancel)
    );
    assert_eq!(shop.poll(&never).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(shop.hook(shop.driver.pay(&late).unwrap()).await, StatusCode::OK);
    assert_eq!(shop.state(&late).await, CheckoutState::Paid);
    assert_eq!(shop.poll(&late).await.0, StatusCode::OK);
    let unknown = format!("ord_{}", "0".repeat(64));
    for id in [unknown.as_str(), "ord_", "", "../../x"] {
        assert!(shop.poll(id).await.0.is_client_error(), "{id}");
    }
}

/// Anybody may make an order for nothing: so many wait at once, and no more calls go out for others.
#[tokio::test]
async fn orders_that_nobody_pays_do_not_pile_up_without_end() {
    let hands = Hands::at(NOW);
    let shop = shop(&hands);
    let offer = Mechanism::offer(&shop.orders, &terms("external-order", "checkout:mock")).unwrap().unwrap();
    for _ in 0..10_000 {
        Checkouts::begin(&shop.orders, &offer, Timestamp(NOW)).await.unwrap();
    }
    let body = json!({ "resource": "https://api.example.com/weather" });
    let full = send(&shop.app, request("POST", "/x402/orders", &body)).await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE, "{:?}", full.json());
    assert_eq!(shop.store.count(Book::Checkouts), 10_000);
    // Their time is over: there is room again.
    shop.orders.tend(Timestamp(NOW + 900)).await.unwrap();
    shop.begin().await;
}
