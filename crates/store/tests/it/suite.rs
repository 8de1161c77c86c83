//! What every store must do.

use std::sync::Arc;

use groat_core::books::Book;
use groat_core::ports::{Expect, Store, Write};

/// A write into the book of sales.
pub(crate) fn write(key: &str, expect: Expect, body: &str) -> Write {
    Write {
        book: Book::Sales,
        key: key.to_owned(),
        expect,
        state: "held",
        is_final: false,
        body: body.to_owned(),
    }
}

/// Runs everything against an empty store.
pub(crate) async fn all(store: Arc<dyn Store>) {
    expectations_decide(store.as_ref()).await;
    commits_are_all_or_nothing(store.as_ref()).await;
    odd_keys_and_large_bodies_come_back(store.as_ref()).await;
    scans_are_ordered_paged_and_know_what_is_open(store.as_ref()).await;
    concurrent_counting_loses_nothing(&store).await;
    one_claim_of_a_hundred_wins(&store).await;
}

async fn expectations_decide(store: &dyn Store) {
    assert_eq!(store.get(Book::Sales, "a").await.unwrap(), None);
    assert!(!store.commit(vec![write("a", Expect::Version(1), "x")]).await.unwrap());
    assert!(store.commit(vec![write("a", Expect::Absent, "x")]).await.unwrap());
    assert!(!store.commit(vec![write("a", Expect::Absent, "y")]).await.unwrap());
    assert!(store.commit(vec![write("a", Expect::Version(1), "y")]).await.unwrap());
    assert!(!store.commit(vec![write("a", Expect::Version(1), "z")]).await.unwrap());
    let record = store.get(Book::Sales, "a").await.unwrap().unwrap();
    assert_eq!((record.version, record.body.as_str()), (2, "y"));
    assert_eq!(store.get(Book::Purchases, "a").await.unwrap(), None, "books do not share keys");
}

async fn commits_are_all_or_nothing(store: &dyn Store) {
    let other = Write { book: Book::Nonces, ..write("b", Expect::Absent, "n") };
    let stale = write("a", Expect::Version(1), "stale");
    assert!(!store.commit(vec![other.clone(), stale]).await.unwrap());
    assert_eq!(store.get(Book::Nonces, "b").await.unwrap(), None);
    assert!(store.commit(vec![other, write("a", Expect::Version(2), "fresh")]).await.unwrap());
    assert!(store.get(Book::Nonces, "b").await.unwrap().is_some());
    assert!(store.commit(vec![]).await.unwrap(), "nothing always fits");
}

async fn odd_keys_and_large_bodies_come_back(store: &dyn Store) {
    let body = "\u{20ac}".repeat(1 << 20);
    for key in ["", "a/b", "ключ", "'; DROP TABLE sales; --", "x\u{0}y"] {
        let write = Write { book: Book::Purchases, ..write(key, Expect::Absent, &body) };
        assert!(store.commit(vec![write]).await.unwrap(), "{key:?}");
        assert_eq!(store.get(Book::Purchases, key).await.unwrap().unwrap().body, body, "{key:?}");
    }
}

async fn scans_are_ordered_paged_and_know_what_is_open(store: &dyn Store) {
    for number in 0..10 {
        let write = Write {
            book: Book::Settlements,
            is_final: number % 2 == 1,
            ..write(&format!("s{number}"), Expect::Absent, "{}")
        };
        assert!(store.commit(vec![write]).await.unwrap());
    }
    let keys = async |after, open, count| -> Vec<String> {
        let records = store.scan(Book::Settlements, after, open, count).await.unwrap();
        records.into_iter().map(|record| record.key).collect()
    };
    assert_eq!(keys(None, false, 3).await, ["s0", "s1", "s2"]);
    assert_eq!(keys(Some("s2"), false, 3).await, ["s3", "s4", "s5"]);
    assert_eq!(keys(None, true, 99).await, ["s0", "s2", "s4", "s6", "s8"]);
    assert_eq!(keys(Some("s4"), true, 99).await, ["s6", "s8"]);
    assert!(keys(Some("s9"), false, 99).await.is_empty());
}

async fn concurrent_counting_loses_nothing(store: &Arc<dyn Store>) {
    assert!(store.commit(vec![write("counter", Expect::Absent, "0")]).await.unwrap());
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let store = Arc::clone(store);
        tasks.push(tokio::spawn(async move {
            for _ in 0..8 {
                loop {
                    let record = store.get(Book::Sales, "counter").await.unwrap().unwrap();
                    let next = (record.body.parse::<u64>().unwrap() + 1).to_string();
                    if store
                        .commit(vec![write("counter", Expect::Version(record.version), &next)])
                        .await
                        .unwrap()
                    {
                        break;
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.get(Book::Sales, "counter").await.unwrap().unwrap().body, "128");
}

async fn one_claim_of_a_hundred_wins(store: &Arc<dyn Store>) {
    let claims = (0..100).map(|number| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            store.commit(vec![write("claim", Expect::Absent, &number.to_string())]).await.unwrap()
        })
    });
    let mut won = 0;
    for claim in claims.collect::<Vec<_>>() {
        won += usize::from(claim.await.unwrap());
    }
    assert_eq!(won, 1);
}
