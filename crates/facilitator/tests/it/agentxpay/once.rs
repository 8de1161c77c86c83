//! One payment buys one run, however it is shown.

use futures_util::future::join_all;
use groat_devchain::Mining;
use http::{Method, StatusCode};

use super::market::{Market, PRICE};

#[tokio::test]
async fn r03_an_identical_request_gets_the_kept_answer_and_any_other_is_refused() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay(1, PRICE));
    assert_eq!(shop.serves("/forecast", hash).await.body, "run 1");
    for _ in 0..3 {
        assert_eq!(shop.serves("/forecast", hash).await.body, "run 1");
    }
    assert_eq!(shop.refuses("/forecast?day=2", hash).await.error(), "payment_already_used");
    let shown = format!("{hash:#x}");
    let fields = [("X-Payment-TxHash", shown.as_str()), ("X-Payment-ChainId", "84532")];
    for (method, body) in
        [(Method::POST, ""), (Method::POST, "more"), (Method::PUT, ""), (Method::GET, "more")]
    {
        let seen = shop.send(method, "/forecast", &fields, body).await;
        assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED, "{seen:?}");
        assert_eq!(seen.error(), "payment_already_used");
    }
    assert_eq!(market.runs(), 1);
}

#[tokio::test]
async fn r21_another_spelling_of_the_hash_is_the_same_payment() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay(1, PRICE));
    shop.serves("/forecast", hash).await;
    let digits = format!("{hash:x}");
    let digits = digits.trim_start_matches("0x");
    let mixed: String =
        digits.char_indices().map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
    let spellings = [
        (format!("0x{}", digits.to_uppercase()), 402),
        (format!("0X{digits}"), 402),
        (format!("0x{mixed}"), 402),
        (digits.to_owned(), 400),
        (format!("0x0{digits}"), 400),
        (format!("0x{digits}00"), 400),
        (format!("0x{}", &digits[1..]), 400),
        (format!("{hash:#x},{hash:#x}"), 400),
    ];
    for target in ["/forecast", "/forecast?day=2"] {
        for (spelling, status) in &spellings {
            let seen = shop.show_as(target, spelling).await;
            assert_eq!(seen.status.as_u16(), *status, "{spelling}: {seen:?}");
        }
    }
    // White space around a value is none of it (RFC 9110).
    assert_eq!(shop.show_as("/forecast", &format!("  {hash:#x}\t")).await.body, "run 1");
    assert_eq!(market.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_fifty_identical_requests_at_once_are_one_run() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay(1, PRICE));
    let seen = join_all((0..50).map(|_| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.show("/forecast", hash).await })
    }))
    .await;
    for seen in seen {
        let seen = seen.unwrap();
        assert_eq!((seen.status, seen.body.as_str()), (StatusCode::OK, "run 1"));
    }
    assert_eq!(market.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_fifty_different_requests_at_once_with_one_hash_are_one_run() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay(1, PRICE));
    let seen = join_all((0..50).map(|day| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.show(&format!("/forecast?day={day}"), hash).await.status.as_u16() })
    }))
    .await;
    let seen: Vec<u16> = seen.into_iter().map(Result::unwrap).collect();
    assert_eq!(seen.iter().filter(|status| **status == 200).count(), 1, "{seen:?}");
    assert!(seen.iter().all(|status| [200, 402, 409].contains(status)), "{seen:?}");
    assert_eq!(market.runs(), 1);
    // Afterwards there is nothing left to wait for.
    shop.refuses("/forecast?day=50", hash).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_many_spellings_at_once_are_one_run() {
    let market = Market::new(Mining::Instant);
    let (shop, hash) = (market.shop(), market.pay(1, PRICE));
    let digits: Vec<char> = format!("{hash:x}").trim_start_matches("0x").chars().collect();
    let spelling = |number: usize| {
        let upper =
            |(at, c): (usize, &char)| if (number >> (at % 6)) & 1 == 1 { c.to_ascii_uppercase() } else { *c };
        format!("0x{}", digits.iter().enumerate().map(upper).collect::<String>())
    };
    join_all((0..50).map(|number| {
        let (shop, spelling) = (shop.clone(), spelling(number));
        tokio::spawn(async move { shop.show_as("/forecast", &spelling).await })
    }))
    .await;
    assert_eq!(market.runs(), 1);
}

#[tokio::test]
async fn f046_after_a_restart_a_payment_buys_no_second_run() {
    let market = Market::new(Mining::Instant);
    let hash = market.pay(1, PRICE);
    market.shop().serves("/forecast", hash).await;
    let shop = market.shop();
    assert_eq!(shop.serves("/forecast", hash).await.body, "run 1");
    assert_eq!(shop.refuses("/forecast?day=2", hash).await.error(), "payment_already_used");
    assert_eq!(market.runs(), 1);
}

/// Two requests share a batch. While the second is still at work the first is answered; a copy of the second then finds
/// nobody at work on the first payment, and the second payment is not its to run again.
#[tokio::test(flavor = "multi_thread")]
async fn r01_a_copy_of_a_request_that_runs_on_a_later_payment_of_its_transaction_waits_for_it() {
    for method in [Method::GET, Method::POST] {
        let market = Market::new(Mining::Instant);
        let (shop, hash) = (market.shop(), market.pay_batch(&[1, 1], 2 * PRICE));
        let gate = market.hold_handlers();
        let ask = |target: &'static str| {
            let (shop, method, hash) = (shop.clone(), method.clone(), format!("{hash:#x}"));
            tokio::spawn(async move { shop.send(method, target, &[("X-Payment-TxHash", &hash)], "").await })
        };
        let first = ask("/forecast?day=1");
        market.until_runs(1).await;
        let second = ask("/forecast?day=2");
        market.until_runs(2).await;
        gate.add_permits(1);
        assert_eq!(first.await.unwrap().status, StatusCode::OK);
        let copy = ask("/forecast?day=2");
        // It must not get anywhere: there is nothing to wait for but time.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(market.runs(), 2, "{method}");
        gate.add_permits(10);
        let (second, copy) = (second.await.unwrap(), copy.await.unwrap());
        assert_eq!((second.status, copy.status), (StatusCode::OK, StatusCode::OK), "{copy:?}");
        assert_eq!((second.body, market.runs()), (copy.body, 2));
    }
}
