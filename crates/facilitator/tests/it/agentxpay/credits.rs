//! What a transaction with several payments buys, and what becomes of one whose run came to nothing.

use groat_core::Reason;
use groat_devchain::Mining;
use http::StatusCode;

use super::market::{Market, PRICE, PRICE_OF_REPORT};

#[tokio::test]
async fn f052_a_batch_over_two_services_buys_exactly_what_it_paid_for_on_each_route() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay_batch(&[1, 2, 1], 2 * PRICE + PRICE_OF_REPORT));
    // Identical requests too, until all is used up.
    for body in ["run 1", "run 2", "run 1", "run 1"] {
        assert_eq!(shop.serves("/forecast", hash).await.body, body);
    }
    assert_eq!(shop.refuses("/forecast?day=2", hash).await.error(), "payment_already_used");
    for body in ["run 1", "run 1"] {
        assert_eq!(shop.serves("/report", hash).await.body, body);
    }
    shop.refuses("/report?of=2", hash).await;
    assert_eq!((market.runs_of("/forecast"), market.runs_of("/report")), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn f052_different_requests_at_once_get_as_many_runs_as_a_batch_paid_for() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay_batch(&[2, 1, 3, 1, 1], 3 * PRICE + PRICE_OF_REPORT + 1));
    let asked = (0..30).map(|day| {
        let (shop, path) = (shop.clone(), if day % 3 == 0 { "/report" } else { "/forecast" });
        tokio::spawn(async move { shop.show(&format!("{path}?day={day}"), hash).await.status.as_u16() })
    });
    let seen = futures_util::future::join_all(asked).await;
    let seen: Vec<u16> = seen.into_iter().map(Result::unwrap).collect();
    assert!(seen.iter().all(|status| [200, 402, 409].contains(status)), "{seen:?}");
    // Who came at the wrong moment comes again.
    for day in 0..30 {
        let path = if day % 3 == 0 { "/report" } else { "/forecast" };
        shop.show(&format!("{path}?again={day}"), hash).await;
    }
    assert_eq!((market.runs_of("/forecast"), market.runs_of("/report")), (3, 1));
}

#[tokio::test]
async fn f052_a_batch_longer_than_what_is_looked_at_still_repeats_its_answer() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay_batch(&[1; 70], 70 * PRICE));
    for day in 0..64 {
        shop.serves(&format!("/forecast?day={day}"), hash).await;
    }
    assert_eq!(shop.serves("/forecast?day=7", hash).await.body, "run 8");
    shop.refuses("/forecast?day=64", hash).await;
    assert_eq!(market.runs(), 64);
}

#[tokio::test]
async fn a_run_that_fails_gives_the_payment_back_for_one_other_request() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay(1, PRICE));
    market.fail_next(1);
    let seen = shop.show("/forecast", hash).await;
    assert_eq!(seen.status, StatusCode::INTERNAL_SERVER_ERROR);
    shop.serves("/forecast?day=2", hash).await;
    shop.refuses("/forecast", hash).await;
    shop.refuses("/forecast?day=3", hash).await;
    assert_eq!(market.runs(), 2);
}

#[tokio::test]
async fn a_run_that_fails_gives_the_payment_back_for_the_same_request_and_after_a_restart() {
    let market = Market::new(Mining::Instant);
    let hash = market.pay(1, PRICE);
    market.fail_next(2);
    for _ in 0..2 {
        assert_eq!(market.shop().show("/forecast", hash).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    // It was shown in time; our failure must not make it too old.
    market.chain.increase_time(2_000);
    let shop = market.shop();
    shop.serves("/forecast?day=2", hash).await;
    assert_eq!(shop.refuses("/forecast", hash).await.error(), "payment_already_used");
    assert_eq!(market.runs(), 3);
}

#[tokio::test]
async fn b16_a_payment_that_was_given_back_buys_no_other_service() {
    let market = Market::new(Mining::Instant);
    // The second sells the same at the same price, for another number.
    market.register(&market.provider, PRICE);
    let shop = market.shop_of([
        ("/forecast", market.service("1", PRICE)),
        ("/report", market.service("2", PRICE_OF_REPORT)),
        ("/twin", market.service("4", PRICE)),
    ]);
    let hash = market.pay(1, PRICE);
    market.fail_next(1);
    assert_eq!(shop.show("/forecast", hash).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    for path in ["/report", "/twin"] {
        let seen = shop.refuses(path, hash).await;
        assert!([Reason::RecipientMismatch.code(), Reason::AmountMismatch.code()].contains(&&*seen.error()));
    }
    assert_eq!((market.runs_of("/report"), market.runs_of("/twin")), (0, 0));
    shop.serves("/forecast?day=2", hash).await;
    assert_eq!(market.runs(), 2);
}

/// The first run may still come to nothing, and then the payment is free: who would be told to pay again pays twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_for_a_payment_in_work_is_told_to_come_again_and_not_to_pay_again() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay(1, PRICE));
    let gate = market.hold_handlers();
    market.fail_next(1);
    let first = tokio::spawn({
        let shop = shop.clone();
        async move { shop.show("/forecast?day=1", hash).await.status }
    });
    market.until_runs(1).await;
    let second = shop.show("/forecast?day=2", hash).await;
    assert_eq!((second.status, second.error().as_str()), (StatusCode::CONFLICT, "payment_in_progress"));
    assert_eq!(second.headers["retry-after"], "2");
    gate.add_permits(10);
    assert_eq!(first.await.unwrap(), StatusCode::INTERNAL_SERVER_ERROR);
    shop.serves("/forecast?day=2", hash).await;
    assert_eq!(market.runs(), 2);
}
