//! One payment buys one run, however it is shown.

use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::json;

use super::bazaar::*;

#[tokio::test(flavor = "multi_thread")]
async fn r20_one_proof_fifty_times_at_once_is_one_run() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    for method in [Method::GET, Method::POST] {
        let request = shop.asked_by(method.clone(), "/forecast").await;
        let token = bazaar.proof(&request, bazaar.settle(&request));
        let before = bazaar.runs();
        let seen = join_all((0..50).map(|_| {
            let (shop, token, method) = (shop.clone(), token.clone(), method.clone());
            tokio::spawn(async move { shop.prove_by(method, "/forecast", &token, "").await })
        }));
        for seen in seen.await {
            seen.unwrap().is_served();
        }
        assert_eq!(bazaar.runs(), before + 1);
    }
}

#[tokio::test]
async fn r03_an_identical_request_gets_the_kept_answer_and_any_other_is_already_used() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked_by(Method::POST, "/forecast").await;
    let tx = bazaar.settle(&request);
    let token = bazaar.proof(&request, tx);
    let first = shop.prove_by(Method::POST, "/forecast", &token, "a").await;
    first.is_served();
    let again = shop.prove_by(Method::POST, "/forecast", &token, "a").await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    shop.prove_by(Method::POST, "/forecast", &token, "b").await.is_refused("already_used");
    shop.prove_by(Method::POST, "/forecast?a", &token, "a").await.is_refused("unknown_request");
    // Another signature over the same claims, and other claims.
    let input = input("ES256K", &bazaar.claims(&request, tx));
    let digest = alloy_primitives::B256::new(<sha2::Sha256 as sha2::Digest>::digest(&input).into());
    let longer = format!("{input}.{}", encode(&bazaar.ada.sign(digest)));
    let claims = but(&bazaar.claims(&request, tx), "jti", json!("2"));
    let other = bazaar.token("ES256K", &claims, &bazaar.ada);
    for token in [longer, other] {
        shop.prove_by(Method::POST, "/forecast", &token, "b").await.is_refused("already_used");
        let seen = shop.prove_by(Method::POST, "/forecast", &token, "a").await;
        assert!(seen.status == StatusCode::OK || seen.error() == "already_used", "{seen:?}");
    }
    assert_eq!(bazaar.runs(), 1);
}

#[tokio::test]
async fn f046_after_a_restart_and_at_another_gate_a_payment_buys_no_second_run() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let tx = bazaar.settle(&request);
    let token = bazaar.proof(&request, tx);
    shop.prove("/forecast", &token).await.is_served();
    let shop = bazaar.shop();
    assert_eq!(shop.prove("/forecast", &token).await.body, "run 1");
    let claims = but(&bazaar.claims(&request, tx), "jti", json!("2"));
    let other = bazaar.token("ES256K", &claims, &bazaar.ada);
    shop.prove("/forecast", &other).await.is_refused("already_used");
    assert_eq!(bazaar.runs(), 1);
}

#[tokio::test]
async fn a_run_that_failed_gives_the_payment_back_to_its_payer_and_to_nobody_else() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let tx = bazaar.settle(&request);
    let token = bazaar.proof(&request, tx);
    bazaar.fail_next(1);
    assert_eq!(shop.prove("/forecast", &token).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    // Eve knows id and transaction by now.
    let claims = but(&bazaar.claims(&request, tx), "iss", json!(bazaar.eve.address.to_string()));
    let seen = shop.prove("/forecast", &bazaar.token("ES256K", &claims, &bazaar.eve)).await;
    seen.is_refused("not_settled");
    let forged = bazaar.token("ES256K", &bazaar.claims(&request, tx), &bazaar.eve);
    shop.prove("/forecast", &forged).await.is_refused("bad_signature");
    assert_eq!(bazaar.runs(), 1);
    shop.prove("/forecast", &token).await.is_served();
    assert_eq!(bazaar.runs(), 2);
}

/// Keeping answers for a short time must not make a payment good again while another proof of it could still be shown.
#[tokio::test]
async fn a_short_proof_does_not_shorten_the_memory_of_its_payment() {
    let bazaar = Bazaar::new();
    let mut setup = Setup::default();
    setup.limits.keep_answer_s = 0;
    let shop = bazaar.shop_with(setup);
    let request = shop.asked("/forecast").await;
    let expires = request["expires"].as_u64().unwrap();
    let tx = bazaar.settle(&request);
    let claims = but(&bazaar.claims(&request, tx), "exp", json!(START + 2));
    shop.prove("/forecast", &bazaar.token("ES256K", &claims, &bazaar.ada)).await.is_served();
    let kept = bazaar.sale(&request).await.keep_until.0;
    assert!(kept >= expires + 300, "{kept} {expires}");
}
