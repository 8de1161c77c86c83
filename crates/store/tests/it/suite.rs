//! What every store must do. A back end joins with [`run!`] and a future that makes an empty store.

use std::any::Any;
use std::sync::Arc;

use groat_core::books::Book;
use groat_core::ports::{Expect, Store, Write};

/// An empty store, and what must live as long as it (a folder, a server).
pub(crate) struct Fresh {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keep: Box<dyn Any + Send>,
}

/// One test for each promise, against a store of its own.
macro_rules! run {
    ($back_end:ident, $fresh:expr) => {
        mod $back_end {
            use super::*;
            $crate::suite::run! { $fresh =>
                expectations_decide
                commits_are_all_or_nothing
                odd_keys_and_large_bodies_come_back
                scans_are_ordered_and_know_what_is_open
                paging_sees_every_record_once
                concurrent_counting_loses_nothing
                one_claim_of_a_hundred_wins
                money_only_moves_between_records
                an_answered_commit_is_seen_by_the_next_read
                a_caller_that_leaves_breaks_nothing
                a_commit_that_names_a_record_twice_is_a_bug
            }
        }
    };
    ($fresh:expr => $($promise:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let fresh: $crate::suite::Fresh = $fresh.await;
            $crate::suite::$promise(&fresh.store).await;
            drop(fresh.store);
            drop(fresh.keep);
        })*
    };
}
pub(crate) use run;

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

async fn body(store: &Arc<dyn Store>, key: &str) -> String {
    store.get(Book::Sales, key).await.unwrap().unwrap().body
}

pub(crate) async fn expectations_decide(store: &Arc<dyn Store>) {
    assert_eq!(store.get(Book::Sales, "a").await.unwrap(), None);
    for version in [0, 1, u64::MAX] {
        assert!(!store.commit(vec![write("a", Expect::Version(version), "x")]).await.unwrap());
    }
    assert!(store.commit(vec![write("a", Expect::Absent, "x")]).await.unwrap());
    assert!(!store.commit(vec![write("a", Expect::Absent, "y")]).await.unwrap());
    assert!(!store.commit(vec![write("a", Expect::Version(0), "y")]).await.unwrap());
    assert!(store.commit(vec![write("a", Expect::Version(1), "y")]).await.unwrap());
    assert!(!store.commit(vec![write("a", Expect::Version(1), "z")]).await.unwrap());
    let record = store.get(Book::Sales, "a").await.unwrap().unwrap();
    assert_eq!((record.key.as_str(), record.version, record.body.as_str()), ("a", 2, "y"));
    for book in Book::ALL.into_iter().filter(|book| *book != Book::Sales) {
        assert_eq!(store.get(book, "a").await.unwrap(), None, "books do not share keys");
    }
}

pub(crate) async fn commits_are_all_or_nothing(store: &Arc<dyn Store>) {
    assert!(store.commit(vec![write("a", Expect::Absent, "1")]).await.unwrap());
    let every_book =
        |key: &str| Book::ALL.map(|book| Write { book, ..write(key, Expect::Absent, "n") }).to_vec();
    // Whatever fails, in whichever place, the others leave no trace.
    for place in 0..=Book::ALL.len() {
        for stale in [
            write("a", Expect::Version(9), "stale"),
            write("a", Expect::Absent, "stale"),
            write("missing", Expect::Version(1), "stale"),
        ] {
            let mut writes = every_book("b");
            writes.insert(place, stale);
            assert!(!store.commit(writes).await.unwrap());
        }
    }
    for book in Book::ALL {
        assert_eq!(store.get(book, "b").await.unwrap(), None);
    }
    assert_eq!(body(store, "a").await, "1");
    let mut writes = every_book("b");
    writes.push(write("a", Expect::Version(1), "2"));
    assert!(store.commit(writes).await.unwrap());
    for book in Book::ALL {
        assert_eq!(store.get(book, "b").await.unwrap().unwrap().version, 1);
    }
    assert_eq!(body(store, "a").await, "2");
    assert!(store.commit(vec![]).await.unwrap(), "nothing always fits");
}

pub(crate) async fn odd_keys_and_large_bodies_come_back(store: &Arc<dyn Store>) {
    let body = "\u{20ac}".repeat(1 << 20);
    for key in ["", " ", "a/b", "ключ", "'; DROP TABLE sales; --", "%_", "A", "a", &"long".repeat(1000)] {
        let write = Write { book: Book::Purchases, ..write(key, Expect::Absent, &body) };
        assert!(store.commit(vec![write]).await.unwrap(), "{key:?}");
        assert_eq!(store.get(Book::Purchases, key).await.unwrap().unwrap().body, body, "{key:?}");
    }
}

/// Ten settlements `s0`…`s9`, the odd ones final.
async fn ten_settlements(store: &Arc<dyn Store>) {
    for number in [3, 1, 4, 5, 9, 2, 6, 8, 7, 0] {
        let write = Write {
            book: Book::Settlements,
            is_final: number % 2 == 1,
            ..write(&format!("s{number}"), Expect::Absent, "{}")
        };
        assert!(store.commit(vec![write]).await.unwrap());
    }
}

async fn keys(store: &Arc<dyn Store>, after: Option<&str>, open_only: bool, count_max: usize) -> Vec<String> {
    let records = store.scan(Book::Settlements, after, open_only, count_max).await.unwrap();
    records.into_iter().map(|record| record.key).collect()
}

pub(crate) async fn scans_are_ordered_and_know_what_is_open(store: &Arc<dyn Store>) {
    assert!(keys(store, None, false, 9).await.is_empty());
    ten_settlements(store).await;
    assert_eq!(keys(store, None, false, 3).await, ["s0", "s1", "s2"]);
    assert_eq!(keys(store, Some("s2"), false, 3).await, ["s3", "s4", "s5"]);
    assert_eq!(keys(store, Some("s25"), false, 1).await, ["s3"], "the bound need not exist");
    assert_eq!(keys(store, None, true, 99).await, ["s0", "s2", "s4", "s6", "s8"]);
    assert_eq!(keys(store, Some("s4"), true, 99).await, ["s6", "s8"]);
    assert!(keys(store, Some("s9"), false, 99).await.is_empty());
    assert!(keys(store, None, false, 0).await.is_empty());
    assert_eq!(keys(store, None, false, usize::MAX).await.len(), 10);
    // A record leaves the open ones when it becomes final, and comes back when it is taken up again.
    let settlement = |expect, is_final| Write {
        book: Book::Settlements,
        is_final,
        ..write("s0", Expect::Version(expect), "{}")
    };
    assert!(store.commit(vec![settlement(1, true)]).await.unwrap());
    assert_eq!(keys(store, None, true, 2).await, ["s2", "s4"]);
    assert!(store.commit(vec![settlement(2, false)]).await.unwrap());
    assert_eq!(keys(store, None, true, 2).await, ["s0", "s2"]);
    // Order is that of the bytes, as in Rust: upper case first, and the empty key before all.
    for key in ["ä", "", "Z"] {
        let write = Write { book: Book::Settlements, is_final: true, ..write(key, Expect::Absent, "{}") };
        assert!(store.commit(vec![write]).await.unwrap());
    }
    assert_eq!(keys(store, None, false, 3).await, ["", "Z", "s0"]);
    assert_eq!(keys(store, Some(""), false, 1).await, ["Z"]);
    assert_eq!(keys(store, Some("s9"), false, 9).await, ["ä"]);
}

pub(crate) async fn paging_sees_every_record_once(store: &Arc<dyn Store>) {
    ten_settlements(store).await;
    for (open_only, total) in [(false, 10), (true, 5)] {
        for size in 1..=11 {
            let mut seen = Vec::new();
            loop {
                let page = keys(store, seen.last().map(String::as_str), open_only, size).await;
                if page.is_empty() {
                    break;
                }
                seen.extend(page);
            }
            assert_eq!(seen.len(), total);
            assert!(seen.is_sorted());
        }
    }
}

pub(crate) async fn concurrent_counting_loses_nothing(store: &Arc<dyn Store>) {
    assert!(store.commit(vec![write("counter", Expect::Absent, "0")]).await.unwrap());
    let tasks = (0..64).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for _ in 0..4 {
                loop {
                    let record = store.get(Book::Sales, "counter").await.unwrap().unwrap();
                    let next = (record.body.parse::<u64>().unwrap() + 1).to_string();
                    let write = write("counter", Expect::Version(record.version), &next);
                    if store.commit(vec![write]).await.unwrap() {
                        break;
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let record = store.get(Book::Sales, "counter").await.unwrap().unwrap();
    assert_eq!((record.body.as_str(), record.version), ("256", 257));
}

pub(crate) async fn one_claim_of_a_hundred_wins(store: &Arc<dyn Store>) {
    let claims = (0..100).map(|number: u32| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let won = store.commit(vec![write("claim", Expect::Absent, &number.to_string())]).await.unwrap();
            won.then_some(number.to_string())
        })
    });
    let mut winners = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        winners.extend(claim.await.unwrap());
    }
    assert_eq!(winners, [body(store, "claim").await]);
}

/// Transfers between two records at a time, many at once: the sum never changes.
pub(crate) async fn money_only_moves_between_records(store: &Arc<dyn Store>) {
    let account = |number: usize| format!("account-{number}");
    for number in 0..4 {
        assert!(store.commit(vec![write(&account(number), Expect::Absent, "100")]).await.unwrap());
    }
    let tasks = (0..16).map(|task: usize| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for step in 0..8 {
                let (from, to) = (account(task % 4), account((task + 1 + step % 3) % 4));
                let taken = store.get(Book::Sales, &from).await.unwrap().unwrap();
                let given = store.get(Book::Sales, &to).await.unwrap().unwrap();
                let body = |text: &str, by: i64| (text.parse::<i64>().unwrap() + by).to_string();
                let writes = vec![
                    write(&from, Expect::Version(taken.version), &body(&taken.body, -1)),
                    write(&to, Expect::Version(given.version), &body(&given.body, 1)),
                ];
                store.commit(writes).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut sum = 0;
    for number in 0..4 {
        sum += body(store, &account(number)).await.parse::<i64>().unwrap();
    }
    assert_eq!(sum, 400);
}

pub(crate) async fn an_answered_commit_is_seen_by_the_next_read(store: &Arc<dyn Store>) {
    let tasks = (0..16).map(|task| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let key = format!("seen-{task}");
            for version in 0..8 {
                let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
                assert!(store.commit(vec![write(&key, expect, "x")]).await.unwrap());
                assert_eq!(store.get(Book::Sales, &key).await.unwrap().unwrap().version, version + 1);
                let last = store.scan(Book::Sales, Some(&format!("seen-{task}")), true, 1).await.unwrap();
                assert!(last.iter().all(|record| record.key > key));
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// A commit whose caller leaves happens whole or not at all, and holds nobody up.
pub(crate) async fn a_caller_that_leaves_breaks_nothing(store: &Arc<dyn Store>) {
    for number in 0..50 {
        let other = Arc::clone(store);
        let task = tokio::spawn(async move {
            let key = format!("left-{number}");
            let pair =
                [Book::Sales, Book::Nonces].map(|book| Write { book, ..write(&key, Expect::Absent, "x") });
            other.commit(pair.to_vec()).await
        });
        if number % 2 == 0 {
            tokio::task::yield_now().await;
        }
        task.abort();
    }
    assert!(store.commit(vec![write("after", Expect::Absent, "x")]).await.unwrap());
    for number in 0..50 {
        let key = format!("left-{number}");
        let sale = store.get(Book::Sales, &key).await.unwrap();
        assert_eq!(sale.is_some(), store.get(Book::Nonces, &key).await.unwrap().is_some());
    }
}

pub(crate) async fn a_commit_that_names_a_record_twice_is_a_bug(store: &Arc<dyn Store>) {
    let twice = Arc::clone(store);
    let writes = vec![write("t", Expect::Absent, "1"), write("t", Expect::Absent, "2")];
    let error = tokio::spawn(async move { twice.commit(writes).await }).await.unwrap_err();
    assert!(error.is_panic());
    assert_eq!(store.get(Book::Sales, "t").await.unwrap(), None);
    assert!(store.commit(vec![write("t", Expect::Absent, "1")]).await.unwrap(), "the store goes on");
}
