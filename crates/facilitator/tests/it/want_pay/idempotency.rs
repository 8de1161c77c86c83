//! `Idempotency-Key`: the same answer again, never another's.

use groat_devchain::Mining;
use serde_json::{Value, json};

use super::{Shop, body, question, request, with};
use crate::world::NOW;

#[tokio::test]
async fn r12_r13_whoever_lost_an_answer_gets_it_again_also_after_a_restart() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let tx = shop.paid(&buyer, &asked);
    let take = with(question(&asked, &buyer.proof(&asked, tx)), "consume", json!(true));
    let first = shop.post_keyed("/v1/verify", &take, "k1").await;
    assert_eq!((&first.body["firstUse"], first.replayed), (&json!(true), false));
    // Quoted it is the same key.
    for (shop, key) in [(&shop, "k1"), (&shop.restart(), "\"k1\"")] {
        let again = shop.post_keyed("/v1/verify", &take, key).await;
        assert_eq!((again.status, &again.body, again.replayed), (first.status, &first.body, true));
    }
    // Without it, or with another, it is a second time.
    for again in [shop.post("/v1/verify", &take).await, shop.post_keyed("/v1/verify", &take, "k2").await] {
        assert_eq!((&again.body["firstUse"], again.replayed), (&json!(false), false));
    }
}

#[tokio::test]
async fn r14_t23_a_key_with_another_body_is_422_for_a_day() {
    let shop = Shop::new(Mining::Instant);
    let asked = request("pay_1");
    let first = shop.post_keyed("/v1/requests", &body(&asked), "k").await;
    assert_eq!(first.status, 201);
    let other = shop.post_keyed("/v1/requests", &body(&request("pay_2")), "k").await;
    assert_eq!((other.status, &other.body["code"]), (422, &json!("idempotency_key_reused")));
    assert_eq!(shop.get("/v1/requests/pay_2").await.status, 404, "nothing was done");
    let again = shop.post_keyed("/v1/requests", &body(&asked), "k").await;
    assert_eq!((again.status, again.replayed), (201, true), "as it was answered then");
    // Another path is another key.
    let (buyer, paid) = (shop.buyer(1), request("pay_3"));
    let tx = shop.paid(&buyer, &paid);
    let answer = shop.post_keyed("/v1/verify", &question(&paid, &buyer.proof(&paid, tx)), "k").await;
    assert_eq!(answer.body["valid"], true);
    shop.chain.set_time(NOW + 86_000);
    let still = shop.post_keyed("/v1/requests", &body(&asked), "k").await;
    assert_eq!((still.status, still.replayed), (201, true));
    shop.chain.set_time(NOW + 87_000);
    let late = shop.post_keyed("/v1/requests", &body(&asked), "k").await;
    assert_eq!((late.status, late.replayed), (200, false), "it is told of, and the key is free: {late:?}");
}

#[tokio::test]
async fn pending_and_trouble_are_not_kept_but_verdicts_are() {
    let shop = Shop::new(Mining::Manual);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let tx = shop.paid(&buyer, &asked);
    let take = question(&asked, &buyer.proof(&asked, tx));
    let held = shop.post_keyed("/v1/verify", &take, "k").await;
    assert_eq!((held.status, &held.body["status"]), (202, &json!("pending")));
    shop.chain.mine(1);
    shop.chain.faults(|faults| faults.fail_next.insert("eth_getTransactionReceipt".into(), (1, -32_000)));
    assert_eq!(shop.post_keyed("/v1/verify", &take, "k").await.status, 503);
    let good = shop.post_keyed("/v1/verify", &take, "k").await;
    assert_eq!((good.status, &good.body["valid"], good.replayed), (200, &json!(true), false));
    let bad = with(take, "seller", json!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"));
    for is_replayed in [false, true] {
        let answer = shop.post_keyed("/v1/verify", &bad, "bad").await;
        assert_eq!((&answer.body["valid"], answer.replayed), (&json!(false), is_replayed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_request_is_worked_on_the_same_is_409_and_another_422() {
    let shop = std::sync::Arc::new(Shop::new(Mining::Manual));
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let tx = shop.paid(&buyer, &asked);
    let take = question(&asked, &buyer.proof(&asked, tx));
    let working = tokio::spawn({
        let (shop, take) = (std::sync::Arc::clone(&shop), take.clone());
        async move { shop.post_keyed("/v1/verify", &take, "k").await }
    });
    // It waits for a block.
    let answer = loop {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let is_begun =
            !groat_core::ports::Store::scan(&shop.store, groat_core::books::Book::Answers, None, false, 9)
                .await
                .unwrap()
                .is_empty();
        if is_begun {
            break shop.post_keyed("/v1/verify", &take, "k").await;
        }
    };
    assert_eq!((answer.status, &answer.body["code"]), (409, &json!("request_in_progress")));
    assert!(answer.retry_after.is_some());
    let other = with(take.clone(), "consume", json!(true));
    let answer = shop.post_keyed("/v1/verify", &other, "k").await;
    assert_eq!((answer.status, &answer.body["code"]), (422, &json!("idempotency_key_reused")));
    shop.chain.mine(1);
    assert_eq!(working.await.unwrap().body["valid"], true);
    assert!(shop.post_keyed("/v1/verify", &take, "k").await.replayed);
}

#[tokio::test]
async fn what_is_no_key_and_no_json_is_refused_before_anything_is_done() {
    let shop = Shop::new(Mining::Instant);
    let asked = body(&request("pay_1")).to_string();
    let long = "k".repeat(256);
    let key = "idempotency-key";
    let rows = [
        (vec![(key, long.as_str())], 400, "invalid_idempotency_key"),
        (vec![(key, "")], 400, "invalid_idempotency_key"),
        (vec![(key, "a"), (key, "b")], 400, "invalid_idempotency_key"),
        (vec![("content-type", "text/plain")], 415, "unsupported_media_type"),
        (vec![("content-encoding", "gzip")], 415, "unsupported_encoding"),
    ];
    for (fields, status, code) in rows {
        let answer = shop.ask("POST", "/v1/requests", asked.clone(), &fields).await;
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)));
        assert_eq!(answer.media, "application/problem+json");
    }
    for bad in ["", "{", "[]", "null", "{\"id\":1,\"id\":2}"] {
        for path in ["/v1/verify", "/v1/requests", "/v1/payments"] {
            let answer = shop.ask("POST", path, bad, &[]).await;
            assert_eq!(
                (answer.status, answer.media.as_str()),
                (400, "application/problem+json"),
                "{path} {bad}"
            );
        }
    }
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(shop.ask("POST", "/v1/requests", deep, &[]).await.status, 400);
    let answer = shop.ask("POST", "/v1/requests", " ".repeat(300_000), &[]).await;
    assert_eq!((answer.status, &answer.body["status"]), (413, &Value::from(413)));
    assert_eq!(shop.get("/v1/requests/pay_1").await.status, 404);
}
