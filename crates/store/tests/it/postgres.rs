//! What only a database that several processes share can show: races, schemas, and what operators do to it.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use groat_core::Fault;
use groat_core::books::Book;
use groat_core::ports::{Expect, Store, Write};
use groat_pg_cluster::Cluster;
use groat_store::{PostgresError, PostgresStore};

use crate::suite::write;

/// One server for all tests that leave it as it is; it ends with the process.
pub(crate) fn shared() -> &'static Cluster {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
    &CLUSTER
}

pub(crate) async fn open(url: &str) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(url).await.unwrap())
}

pub(crate) fn database(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    match result {
        Err(Fault::Unavailable { what: "store", detail }) => detail,
        other => panic!("{other:?}"),
    }
}

/// Every commit claims four keys in an order of its own, so that careless locking would deadlock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_of_two_stores_that_race_for_the_same_keys_one_wins_each_and_wholly() {
    const KEYS: usize = 40;
    let url = shared().database();
    let stores = [open(&url).await, open(&url).await];
    let claim = |number: usize, claimer: usize| -> Vec<Write> {
        let mut keys: Vec<usize> = [0, 7, 11, 23].map(|step| (number + step) % KEYS).into();
        keys.rotate_left(claimer % 4);
        let key = |key: &usize| write(&format!("k{key:02}"), Expect::Absent, &format!("{claimer}/{number}"));
        keys.iter().map(key).collect()
    };
    let claims = (0..8 * KEYS).map(|job| {
        let (store, number, claimer) = (Arc::clone(&stores[job % 2]), job / 8, job % 8);
        tokio::spawn(async move { (number, claimer, store.commit(claim(number, claimer)).await.unwrap()) })
    });
    let mut winners = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        let (number, claimer, won) = claim.await.unwrap();
        winners.extend(won.then(|| format!("{claimer}/{number}")));
    }
    let records = stores[0].scan(Book::Sales, None, true, 999).await.unwrap();
    assert_eq!(stores[1].scan(Book::Sales, None, true, 999).await.unwrap(), records);
    assert_eq!(records.len(), 4 * winners.len(), "whoever won has all four");
    assert!(!winners.is_empty());
    for winner in winners {
        assert_eq!(records.iter().filter(|record| record.body == winner).count(), 4, "{winner}");
    }
    assert!(records.iter().all(|record| record.version == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_two_stores_that_count_together_lose_nothing() {
    let url = shared().database();
    let stores = [open(&url).await, open(&url).await];
    assert!(stores[0].commit(vec![write("counter", Expect::Absent, "0")]).await.unwrap());
    let counters = (0..16).map(|task| {
        let store = Arc::clone(&stores[task % 2]);
        tokio::spawn(async move {
            let mut counted = 0;
            while counted < 10 {
                let record = store.get(Book::Sales, "counter").await.unwrap().unwrap();
                let body = (record.body.parse::<u64>().unwrap() + 1).to_string();
                let next = write("counter", Expect::Version(record.version), &body);
                counted += u32::from(store.commit(vec![next]).await.unwrap());
            }
        })
    });
    for counter in counters.collect::<Vec<_>>() {
        counter.await.unwrap();
    }
    let record = stores[1].get(Book::Sales, "counter").await.unwrap().unwrap();
    assert_eq!((record.body.as_str(), record.version), ("160", 161));
}

#[tokio::test]
async fn o11_whoever_wakes_up_after_a_long_sleep_overwrites_nothing() {
    let url = shared().database();
    let (sleeper, other) = (open(&url).await, open(&url).await);
    assert!(sleeper.commit(vec![write("lane", Expect::Absent, "nonce 1")]).await.unwrap());
    let seen = sleeper.get(Book::Sales, "lane").await.unwrap().unwrap();
    // It sleeps here, and another process takes over.
    assert!(other.commit(vec![write("lane", Expect::Version(seen.version), "nonce 2")]).await.unwrap());
    assert!(other.commit(vec![write("tx 2", Expect::Absent, "by the other")]).await.unwrap());
    let late = vec![
        write("tx 2b", Expect::Absent, "by the sleeper"),
        write("lane", Expect::Version(seen.version), "nonce 2 as well"),
    ];
    assert!(!sleeper.commit(late).await.unwrap());
    assert!(!sleeper.commit(vec![write("tx 2", Expect::Absent, "by the sleeper")]).await.unwrap());
    assert_eq!(sleeper.get(Book::Sales, "tx 2b").await.unwrap(), None);
    assert_eq!(other.get(Book::Sales, "lane").await.unwrap().unwrap().body, "nonce 2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_cannot_be_stored_spoils_no_other() {
    let store = open(&shared().database()).await;
    let mut noise = String::new();
    // What cannot be compressed does not fit into an index.
    for number in 0u64..2000 {
        noise.push_str(&format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    }
    let commits = (0..60).map(|number| {
        let (store, noise) = (Arc::clone(&store), noise.clone());
        tokio::spawn(async move {
            let key = match number {
                20 => "zero \0".to_owned(),
                40 => noise,
                _ => format!("good {number}"),
            };
            let good = ![20, 40].contains(&number);
            (good, store.commit(vec![write(&key, Expect::Absent, "x")]).await)
        })
    });
    for commit in commits.collect::<Vec<_>>() {
        match commit.await.unwrap() {
            (true, result) => assert!(result.unwrap()),
            (false, result) => drop(assert_unavailable(result)),
        }
    }
    assert_eq!(store.scan(Book::Sales, None, false, 99).await.unwrap().len(), 58);
    assert_eq!(store.get(Book::Sales, "zero \0").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o15_many_may_make_the_tables_at_once() {
    let url = shared().database();
    let openers = (0..8).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { PostgresStore::open(&url).await.map(drop) })
    });
    for opener in openers.collect::<Vec<_>>() {
        opener.await.unwrap().unwrap();
    }
    let applied = shared().sql(database(&url), "SELECT count(*), max(format) FROM groat.migrations");
    assert_eq!(applied, "1|1", "every change was made once");
}

#[tokio::test]
async fn o15_newer_tables_are_refused_unless_they_say_that_they_still_fit() {
    let url = shared().database();
    let store = open(&url).await;
    assert!(store.commit(vec![write("k", Expect::Absent, "old")]).await.unwrap());
    let sql = |text: &str| shared().sql(database(&url), text);
    sql("INSERT INTO groat.migrations (format, works_with) VALUES (2, 1); \
         ALTER TABLE groat.records ADD note text");
    let beside = open(&url).await;
    for (version, store) in [(1, &store), (2, &beside)] {
        assert!(store.commit(vec![write("k", Expect::Version(version), "new")]).await.unwrap());
        assert_eq!(store.get(Book::Sales, "k").await.unwrap().unwrap().version, version + 1);
    }
    sql("INSERT INTO groat.migrations (format, works_with) VALUES (3, 3); DROP TABLE groat.records");
    let error = PostgresStore::open(&url).await.unwrap_err();
    assert!(matches!(error, PostgresError::Newer { found: 3, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("use a newer groat"), "{error}");
    assert_eq!(sql("SELECT to_regclass('groat.records') IS NULL"), "t", "nothing was made");
}

#[tokio::test]
async fn a_schema_made_by_an_operator_is_enough_without_further_rights() {
    let url = shared().database();
    let name = database(&url);
    let role = format!("clerk_{name}");
    shared().sql(
        name,
        &format!("CREATE ROLE {role} LOGIN PASSWORD 'p'; CREATE SCHEMA groat AUTHORIZATION {role}"),
    );
    let url = format!("postgres://{role}:p@127.0.0.1:{}/{name}", shared().port());
    let store = open(&url).await;
    assert!(store.commit(vec![write("k", Expect::Absent, "x")]).await.unwrap());
}

#[tokio::test]
async fn a_person_can_read_the_books_with_psql() {
    let url = shared().database();
    let store = open(&url).await;
    assert!(store.commit(vec![write("k", Expect::Absent, "{\"a\":1}")]).await.unwrap());
    let asked = "SELECT key, version, state, body::jsonb ->> 'a', updated_at > now() - interval '1 minute' \
                 FROM groat.records WHERE book = 'sales' AND NOT is_final";
    assert_eq!(shared().sql(database(&url), asked), "k|1|held|1|t");
}

#[tokio::test]
async fn whoever_cannot_open_it_is_told_why_and_never_the_password() {
    let good = shared().database();
    let (port, password) = (shared().port(), shared().password());
    for (url, part) in [
        (good.replace(password, "wrong-secret"), "password authentication failed"),
        (format!("postgres://groat:{password}@127.0.0.1:{port}/nowhere"), "does not exist"),
        (format!("postgres://groat:{password}@127.0.0.1:1/books"), "refused"),
    ] {
        let start = Instant::now();
        let error = PostgresStore::open(&url).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(part), "{text}");
        assert!(!text.contains(password) && !text.contains("secret"), "{text}");
        assert!(start.elapsed() < Duration::from_secs(4));
    }
}

#[tokio::test]
async fn a_server_that_does_not_sync_is_refused() {
    let cluster = Cluster::start_with(&["fsync=off"]);
    let error = PostgresStore::open(&cluster.database()).await.unwrap_err().to_string();
    assert!(error.contains("turn fsync on"), "{error}");
}

#[tokio::test]
async fn answers_wait_for_the_disk_whatever_the_database_prefers() {
    let cluster = Cluster::start_with(&["synchronous_commit=off"]);
    let url = cluster.database();
    let store = open(&url).await;
    for number in 0..20 {
        assert!(store.commit(vec![write(&number.to_string(), Expect::Absent, "x")]).await.unwrap());
    }
    cluster.kill();
    cluster.resume();
    let records = open(&url).await.scan(Book::Sales, None, true, 99).await.unwrap();
    assert_eq!(records.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o08_a_database_that_is_away_is_a_fault_at_once_and_its_return_needs_no_restart() {
    let cluster = Cluster::start();
    let store = open(&cluster.database()).await;
    assert!(store.commit(vec![write("before", Expect::Absent, "x")]).await.unwrap());
    cluster.stop();
    let start = Instant::now();
    for number in 0..20 {
        assert_unavailable(store.commit(vec![write(&format!("lost {number}"), Expect::Absent, "x")]).await);
        assert_unavailable(store.get(Book::Sales, "before").await);
        assert_unavailable(store.scan(Book::Sales, None, true, 9).await);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    cluster.resume();
    assert!(store.commit(vec![write("after", Expect::Absent, "x")]).await.unwrap());
    let records = store.scan(Book::Sales, None, true, 99).await.unwrap();
    let keys: Vec<_> = records.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(keys, ["after", "before"], "what was refused was not kept for later");
}

#[tokio::test]
async fn o08_a_database_that_became_read_only_is_a_fault_until_it_is_not() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let store = open(&url).await;
    assert!(store.commit(vec![write("a", Expect::Absent, "x")]).await.unwrap());
    let switch = |to| cluster.configure("default_transaction_read_only", to);
    switch("on");
    let detail = assert_unavailable(store.commit(vec![write("b", Expect::Absent, "x")]).await);
    assert!(detail.contains("read-only") || detail.contains("does not allow writes"), "{detail}");
    switch("off");
    assert!(store.commit(vec![write("c", Expect::Absent, "x")]).await.unwrap());
    assert_eq!(store.scan(Book::Sales, None, true, 9).await.unwrap().len(), 2);
}

/// The limit on file sizes stands in for a full disk, as it does for a file of SQLite.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o08_a_full_disk_refuses_commits_and_room_lets_them_go_on() {
    let cluster = Cluster::start_with(&["autovacuum=off"]);
    let store = open(&cluster.database()).await;
    let mut noise = vec![0; 400_000];
    getrandom::fill(&mut noise).unwrap();
    let large = hex::encode(noise);
    let create = async |number: usize| {
        store.commit(vec![write(&format!("k{number:03}"), Expect::Absent, &large)]).await
    };
    assert!(create(0).await.unwrap());
    cluster.limit_file_size(Some(4 << 20));
    let mut kept = vec!["k000".to_owned()];
    let mut refused = 0;
    for number in 1..40 {
        match create(number).await {
            Ok(written) => {
                assert!(written);
                kept.push(format!("k{number:03}"));
            }
            error => {
                assert_unavailable(error);
                refused += 1;
            }
        }
        assert!(store.get(Book::Sales, "k000").await.unwrap().is_some(), "reads go on");
    }
    assert!(refused > 20 && kept.len() > 1, "{refused} refused");
    cluster.limit_file_size(None);
    assert!(create(999).await.unwrap());
    kept.push("k999".to_owned());
    let records = store.scan(Book::Sales, None, true, 99).await.unwrap();
    assert_eq!(records.into_iter().map(|record| record.key).collect::<Vec<_>>(), kept);
}
