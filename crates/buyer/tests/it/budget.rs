//! Limits that hold: per payment, per day, across tasks and processes.

use std::sync::Arc;

use groat_core::policy::{Denial, Policy};
use groat_store::SqliteStore;

use crate::kit::{Act, Owner, PAY_TO, Seller, denials, offer};

#[tokio::test]
async fn a_price_above_the_limit_is_denied_and_nothing_is_signed() {
    let seller = Seller::start().await;
    seller.challenge.lock().unwrap().offers = vec![offer("$0.11")];
    let denied = denials(Owner::new().client().get(&seller.url).await.unwrap_err());
    assert_eq!(denied, [Denial::Payment { asked: 110_000, limit: 100_000 }]);
    // Of two offers the cheaper one is taken.
    seller.challenge.lock().unwrap().offers = vec![offer("$0.11"), offer("$0.02")];
    let bought = Owner::new().client().get(&seller.url).await.unwrap();
    assert_eq!(bought.payment.unwrap().offer.amount.to_string(), "20000");
    assert_eq!(seller.signed(), 1);
}

#[tokio::test]
async fn r0_34_a_day_has_so_many_payments_and_the_next_day_as_many_again() {
    let seller = Seller::start().await;
    let owner = Owner { policy: Policy { day_payments_max: Some(2), ..Policy::default() }, ..Owner::new() };
    for day in 1..=2 {
        for path in ["?a", "?b"] {
            owner.client().get(&format!("{}{path}", seller.url)).await.unwrap();
        }
        let denied = denials(owner.client().get(&seller.url).await.unwrap_err());
        assert_eq!(denied, [Denial::Payments { count: 2, limit: 2 }]);
        assert_eq!(seller.signed(), 2 * day);
        owner.later(86_400);
    }
}

#[tokio::test]
async fn y07_a_token_of_unknown_value_is_never_paid_with() {
    let seller = Seller::start().await;
    let mut strange = offer("$0.01");
    strange.asset = "0x1111111111111111111111111111111111111111".into();
    seller.challenge.lock().unwrap().offers = vec![strange];
    let denied = denials(Owner::new().client().get(&seller.url).await.unwrap_err());
    assert_eq!(denied, [Denial::UnknownAsset]);
}

#[tokio::test]
async fn y21_forty_at_once_with_a_budget_for_ten_are_ten() {
    let seller = Seller::start().await;
    let policy = Policy { day_usd_micros_max: 100_000, ..Policy::default() };
    let owner = Owner { policy, ..Owner::new().patient() };
    let client = owner.client();
    let calls: Vec<_> = (0..40)
        .map(|n| {
            let (client, url) = (client.clone(), format!("{}?{n}", seller.url));
            tokio::spawn(async move { client.get(&url).await })
        })
        .collect();
    let mut bought = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => bought += 1,
            Err(error) => assert!(matches!(denials(error)[..], [Denial::Day { .. }])),
        }
    }
    assert_eq!((bought, seller.signed()), (10, 10));
    assert_eq!(client.spent_today().await.unwrap().total_usd_micros, 100_000);
    // Tomorrow is another day.
    owner.later(86_400);
    client.get(&seller.url).await.unwrap();
}

#[tokio::test]
async fn y21_two_processes_on_one_book_share_one_budget() {
    let seller = Seller::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("purchases.db");
    let policy = Policy { day_usd_micros_max: 30_000, ..Policy::default() };
    let first = Owner { policy, ..Owner::on(Arc::new(SqliteStore::open_shared(&file).unwrap())).patient() };
    let second = Owner { store: Arc::new(SqliteStore::open_shared(&file).unwrap()), ..first.clone() };
    let (one, two) = (first.client(), second.client());
    let calls: Vec<_> = (0..12)
        .map(|n| {
            let client = if n % 2 == 0 { one.clone() } else { two.clone() };
            let url = format!("{}?{n}", seller.url);
            tokio::spawn(async move { client.get(&url).await.is_ok() })
        })
        .collect();
    let mut bought = 0;
    for call in calls {
        bought += usize::from(call.await.unwrap());
    }
    assert!(bought <= 3, "{bought} bought with a budget for three");
    assert_eq!(seller.signed(), bought);
    // Whoever lost a race may simply ask again.
    for n in 20..23 {
        let _ = one.get(&format!("{}?{n}", seller.url)).await;
    }
    assert_eq!(seller.signed(), 3);
}

#[tokio::test]
async fn y12_what_may_still_be_taken_counts_as_spent() {
    let seller = Seller::start().await;
    let owner = Owner { policy: Policy { day_usd_micros_max: 10_000, ..Policy::default() }, ..Owner::new() };
    seller.acts([Act::Status(500)]);
    owner.client().get(&seller.url).await.unwrap_err();
    let denied = denials(owner.client().get(&format!("{}?other", seller.url)).await.unwrap_err());
    assert!(matches!(denied[..], [Denial::Day { .. }]), "{denied:?}");
}

#[tokio::test]
async fn y03_a_changed_payee_is_denied_until_the_host_is_forgotten() {
    let (seller, mut owner) = (Seller::start().await, Owner::new());
    owner.client().get(&seller.url).await.unwrap();
    seller.challenge.lock().unwrap().offers[0].pay_to = PAY_TO.to_lowercase();
    owner.client().get(&seller.url).await.unwrap();
    seller.challenge.lock().unwrap().offers[0].pay_to = "0x90F79bf6EB2c4f870365E785982E1f101E93b906".into();
    owner.later(1);
    let denied = denials(owner.client().get(&seller.url).await.unwrap_err());
    assert!(denied[0].to_string().contains("groat wallet forget 127.0.0.1:"), "{denied:?}");
    let host = seller.url.trim_start_matches("http://").trim_end_matches("/thing").to_owned();
    owner.options.payees_forgotten.insert(host, groat_core::Timestamp(crate::kit::NOW + 1));
    owner.client().get(&seller.url).await.unwrap();
    assert_eq!(seller.signed(), 3);
}
