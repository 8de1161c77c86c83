//! A payment is found by what its payer has kept: its id, or only what was signed.

use groat_seller::Settle;
use http::StatusCode;

use crate::kit::*;
use crate::token_shop::*;

fn by(authorization: &str) -> http::Request<axum::body::Body> {
    get(&format!("/x402/payments?authorization={authorization}"))
}

#[tokio::test]
async fn f079_the_payer_learns_what_became_of_a_payment_by_what_it_has_signed() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    let kept = format!("{NETWORK}:{ASSET}:{PAYER}:n");
    let unknown = send(&app, by(&kept)).await;
    assert_eq!((unknown.status, unknown.error().as_str()), (StatusCode::NOT_FOUND, "unknown_payment"));
    world.fake.script_settle(pending("0x1"));
    world.fake.script_settle(pending("0x1"));
    send(&app, order_at(ENDPOINT, &permit("n"))).await;
    assert_eq!(send(&app, by(&kept)).await.json()["status"], "verified");
    send(&app, order_at(ENDPOINT, &permit("n"))).await;
    let by_id = send(&app, get(&format!("/x402/payments/{}", id("n")))).await;
    assert_eq!(by_id.json()["status"], "settled");
    let number = NETWORK.strip_prefix("eip155:").unwrap();
    for spelling in
        [kept.clone(), kept.to_lowercase(), kept.replace(':', "%3A"), format!("{number}:{ASSET}:{PAYER}:n")]
    {
        let seen = send(&app, by(&spelling)).await;
        assert_eq!((seen.status, seen.json()), (StatusCode::OK, by_id.json()), "{spelling}");
    }
    // Another nonce and another chain are another payment.
    for other in [format!("{NETWORK}:{ASSET}:{PAYER}:m"), format!("eip155:8453:{ASSET}:{PAYER}:n")] {
        assert_eq!(send(&app, by(&other)).await.status, StatusCode::NOT_FOUND, "{other}");
    }
}

#[tokio::test]
async fn what_names_no_payment_is_told_and_never_taken_for_another() {
    let world = World::new();
    let app = shop(&world, Settle::After);
    send(&app, order_at(ENDPOINT, &permit("n"))).await;
    let good = format!("{NETWORK}:{ASSET}:{PAYER}:n");
    for bad in [
        "",
        ":",
        "n",
        "84532",
        ":::::",
        "%00%ff",
        &format!("{ASSET}:{PAYER}:n"),
        &format!("{NETWORK}:{PAYER}:n"),
        &format!("{NETWORK}:{ASSET}:x:n"),
        &format!("eip155:084532:{ASSET}:{PAYER}:n"),
        &format!("084532:{ASSET}:{PAYER}:n"),
        &format!("99999999999999999999999:{ASSET}:{PAYER}:n"),
        &format!("eip155:{ASSET}:{PAYER}:n"),
        &format!("solana:mainnet:{ASSET}:{PAYER}:n"),
        &format!("{good}{}", "0".repeat(600)),
        &format!("{good}&authorization={good}"),
    ] {
        let seen = send(&app, by(bad)).await;
        assert_eq!(
            (seen.status, seen.error().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_request"),
            "{bad}"
        );
    }
    for path in ["/x402/payments", "/x402/payments/", "/x402/payments?transaction=0x1"] {
        assert_eq!(send(&app, get(path)).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(send(&app, post("/x402/payments", "")).await.status, StatusCode::METHOD_NOT_ALLOWED);
}
