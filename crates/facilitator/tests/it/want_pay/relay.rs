//! `POST /v1/payments`: what a buyer has signed is sent for it, exactly once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use groat_core::ports::{Facilitator, Store};
use groat_devchain::Mining;
use serde_json::{Value, json};

use super::{SELLER, Shop, UNITS, request, with};
use crate::outsider::waiting;
use crate::world::NOW;

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_without_gas_pays_and_its_proof_opens_the_resource() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let answer = shop.post("/v1/payments", &buyer.order(&asked)).await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("settled")), "{answer:?}");
    assert_eq!((shop.sent(), shop.received()), (1, UNITS));
    let id = answer.body["id"].as_str().unwrap();
    let status = shop.get(&format!("/v1/payments/{id}")).await;
    assert_eq!((&status.body["status"], &status.body["tx"]), (&json!("settled"), &answer.body["tx"]));
    assert_eq!((&status.body["amount"], &status.body["seller"]), (&json!("0.01"), &json!(SELLER)));
    let tx = answer.body["tx"].as_str().unwrap().parse().unwrap();
    // Relaying is not using: the seller is the first to take it.
    let question = with(super::question(&asked, &buyer.proof(&asked, tx)), "consume", json!(true));
    let verified = shop.post("/v1/verify", &question).await;
    assert_eq!((&verified.body["valid"], &verified.body["firstUse"]), (&json!(true), &json!(true)));
    assert_eq!(shop.get("/v1/payments/pay_1").await.status, 400);
    let nobody = format!("/v1/payments/pay_{}", "a".repeat(52));
    assert_eq!(shop.get(&nobody).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_parallel_posts_are_one_transaction_with_one_key_with_many_and_after_a_restart() {
    let shop = Arc::new(Shop::new(Mining::Manual));
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let order = buyer.order(&asked);
    let posts: Vec<_> = (0..20)
        .map(|turn| {
            let (shop, order) = (Arc::clone(&shop), order.clone());
            tokio::spawn(async move {
                match turn % 2 {
                    0 => shop.post("/v1/payments", &order).await,
                    _ => shop.post_keyed("/v1/payments", &order, &format!("key-{turn}")).await,
                }
            })
        })
        .collect();
    while waiting(&shop.chain) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(waiting(&shop.chain), 1);
    shop.chain.mine(1);
    let mut transactions = HashSet::new();
    let mut settled = 0;
    for post in posts {
        let answer = post.await.unwrap();
        match answer.status {
            200 => {
                settled += 1;
                transactions.insert(answer.body["tx"].as_str().unwrap().to_owned());
            }
            // One key: the others come while the first is worked on.
            409 => assert_eq!(answer.body["code"], "request_in_progress", "{answer:?}"),
            _ => panic!("{answer:?}"),
        }
    }
    // The ten with keys of their own and at least one of the others.
    assert!(settled >= 11 && transactions.len() == 1, "{settled} {transactions:?}");
    shop.chain.mine(3);
    assert_eq!((shop.sent(), shop.received(), waiting(&shop.chain)), (1, UNITS, 0));
    let again = shop.restart().post_keyed("/v1/payments", &order, "another").await;
    assert_eq!(
        (again.status, again.body["tx"].as_str()),
        (200, transactions.iter().next().map(String::as_str))
    );
    let again = shop.restart().post("/v1/payments", &order).await;
    assert_eq!((again.status, again.replayed), (200, true));
    assert_eq!((shop.sent(), shop.received()), (1, UNITS));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_behind_is_taken_up_and_sent_once() {
    let shop = Shop::new(Mining::Manual);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let order = buyer.order(&asked);
    // Written, and lost on the way to the node: nobody has it but the book.
    shop.chain.faults(|faults| faults.drop_next = 1);
    let first = shop.restart();
    let post = tokio::spawn({
        let order = order.clone();
        async move { first.post("/v1/payments", &order).await }
    });
    let is_written = async || {
        let open = shop.store.scan(groat_core::books::Book::Nonces, None, true, 9).await.unwrap();
        !open.is_empty()
    };
    while !is_written().await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = shop.restart();
    assert_eq!(second.engine.recover().await.unwrap(), 1);
    while waiting(&shop.chain) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shop.chain.mine(1);
    let answer = post.await.unwrap();
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("settled")), "{answer:?}");
    let again = second.post_keyed("/v1/payments", &order, "k").await;
    assert_eq!((again.status, &again.body["tx"]), (200, &answer.body["tx"]));
    shop.chain.mine(3);
    assert_eq!((shop.sent(), shop.received(), waiting(&shop.chain)), (1, UNITS, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_long_is_told_the_transaction_and_asks_again() {
    let shop = Shop::new(Mining::Manual);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let answer = shop.post("/v1/payments", &buyer.order(&asked)).await;
    assert_eq!((answer.status, &answer.body["status"]), (202, &json!("pending")), "{answer:?}");
    assert!(answer.body["tx"].is_string() && answer.retry_after.is_some(), "{answer:?}");
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(shop.get(&format!("/v1/payments/{id}")).await.body["status"], "pending");
    shop.chain.mine(1);
    let again = shop.post("/v1/payments", &buyer.order(&asked)).await;
    assert_eq!((again.status, again.replayed), (200, false), "not now is not kept: {again:?}");
    assert_eq!((shop.sent(), shop.received()), (1, UNITS));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_good_costs_no_gas() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let poor = super::Buyer(secp256k1::SecretKey::from_byte_array([8; 32]).unwrap());
    let good = buyer.order(&asked);
    let signed = |key: &str, value: Value| {
        let mut order = good.clone();
        order["authorization"][key] = value;
        order
    };
    let asking = |key: &str, value: Value| {
        let mut order = good.clone();
        order["request"].as_object_mut().unwrap().remove("requestHash");
        order["request"][key] = value;
        order
    };
    let elsewhere = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let rows = [
        ("another payee", asking("seller", json!(elsewhere)), 422),
        ("another amount", asking("amount", json!("0.02")), 422),
        ("another id", asking("id", json!("pay_2")), 422),
        ("another buyer", signed("buyer", json!(elsewhere)), 422),
        ("no money", poor.order(&asked), 422),
        ("good for too long", signed("validBefore", json!((NOW + 400).to_string())), 422),
        ("not yet good", signed("validAfter", json!((NOW + 100).to_string())), 422),
        ("a short signature", signed("signature", json!("0x12")), 422),
        ("no signature", signed("signature", Value::Null), 400),
        ("a number", signed("validBefore", json!(7)), 400),
        ("no authorization", json!({ "request": good["request"] }), 400),
        ("no request", json!({ "authorization": good["authorization"] }), 400),
        ("nobody's request", with(good.clone(), "request", json!("pay_9")), 404),
    ];
    for (what, order, status) in rows {
        let answer = shop.post("/v1/payments", &order).await;
        assert_eq!(
            (answer.status, answer.media.as_str()),
            (status, "application/problem+json"),
            "{what}: {answer:?}"
        );
    }
    assert_eq!((shop.sent(), shop.received()), (0, 0));
    // And nothing of it stands in the way.
    assert_eq!(shop.post("/v1/payments", &good).await.status, 200);
    let other = shop.buyer(2).order(&asked);
    for answer in
        [shop.post("/v1/payments", &other).await, shop.post_keyed("/v1/payments", &other, "other").await]
    {
        assert_eq!((answer.status, &answer.body["code"]), (422, &json!("already_settled")), "{answer:?}");
    }
    // The same, written otherwise.
    let spaced = serde_json::to_string_pretty(&good).unwrap();
    assert_eq!(shop.ask("POST", "/v1/payments", spaced, &[]).await.body["status"], "settled");
    assert_eq!((shop.sent(), shop.received()), (1, UNITS));
}

#[tokio::test(flavor = "multi_thread")]
async fn relayed_payments_and_plain_ones_share_a_signer_s_nonces() {
    let shop = Arc::new(Shop::new(Mining::Instant));
    let mut posts = Vec::new();
    for turn in 0..8 {
        let (buyer, asked) = (shop.buyer(10 + turn), request(&format!("pay_{turn}")));
        let relaying = Arc::clone(&shop);
        posts.push(tokio::spawn(async move {
            relaying.post("/v1/payments", &buyer.order(&asked)).await.status == 200
        }));
        let payer = crate::world::World::new(Mining::Instant).payer(30 + turn);
        shop.chain.mint_usdc(payer.address(), alloy_primitives::U256::from(UNITS));
        let settling = Arc::clone(&shop);
        posts.push(tokio::spawn(async move {
            settling.engine.settle(&payer.pay(turn), &crate::world::offer()).await.is_ok()
        }));
    }
    for post in posts {
        assert!(post.await.unwrap());
    }
    assert_eq!(shop.received(), 16 * UNITS);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gas_of_a_caller_s_day_bounds_what_is_sent_for_it() {
    let caller = groat_facilitator::http::Caller {
        name: "shop".into(),
        digest: groat_facilitator::http::digest("groat_shop"),
        networks: Vec::new(),
        assets: Vec::new(),
        pay_to: Vec::new(),
        gas_per_day: Some(groat_facilitator::http::Caller::GAS_PER_DAY_MIN),
    };
    let shop = Shop::with(Mining::Instant, vec![caller]);
    let fields = [("authorization", "Bearer groat_shop")];
    let first = shop.buyer(1).order(&request("pay_1")).to_string();
    let second = shop.buyer(2).order(&request("pay_2")).to_string();
    let answer = shop.ask("POST", "/v1/payments", first.clone(), &fields).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = shop.ask("POST", "/v1/payments", second, &fields).await;
    assert_eq!((answer.status, &answer.body["code"]), (429, &json!("gas_budget_spent")), "{answer:?}");
    assert!(answer.retry_after.is_some());
    let again = shop.ask("POST", "/v1/payments", first, &fields).await;
    assert_eq!((again.status, shop.sent(), shop.received()), (200, 1, UNITS));
}
