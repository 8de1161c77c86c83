//! The shared suite, run against every back end, and what only a file can show.

#![allow(clippy::unwrap_used, missing_docs)]

mod suite;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use groat_core::books::Book;
use groat_core::ports::{Expect, Store};
use groat_store::{MemoryStore, OpenError, SqliteStore};

#[tokio::test]
async fn memory_keeps_the_promises_of_a_store() {
    suite::all(Arc::new(MemoryStore::default())).await;
}

#[tokio::test]
async fn sqlite_keeps_the_promises_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    suite::all(Arc::new(SqliteStore::open(&folder.path().join("deep/book.db")).unwrap())).await;
}

#[tokio::test]
async fn two_processes_on_one_shared_file_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let (one, two) = (SqliteStore::open_shared(&path).unwrap(), SqliteStore::open_shared(&path).unwrap());
    let write = || suite::write("k", Expect::Absent, "1");
    let (first, second) = tokio::join!(one.commit(vec![write()]), two.commit(vec![write()]));
    assert_ne!(first.unwrap(), second.unwrap());
    assert_eq!(two.get(Book::Sales, "k").await.unwrap(), one.get(Book::Sales, "k").await.unwrap());
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.commit(vec![suite::write("k", Expect::Absent, "1")]).await.unwrap());
    drop(store);
    // The writer thread lets go of the file a moment after the last handle is gone.
    let store = loop {
        match SqliteStore::open(&path) {
            Ok(store) => break store,
            Err(OpenError::InUse(_)) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(store.get(Book::Sales, "k").await.unwrap().unwrap().body, "1");
}

#[test]
fn k09_the_file_is_private_and_a_readable_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = SqliteStore::open_shared(&path).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn o10_a_second_owner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let _first = SqliteStore::open(&path).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::InUse(_))));
}

/// Set for the child of the next test: where it writes.
const CHILD: &str = "GROAT_STORE_TEST_CHILD";

#[test]
fn r08_every_acknowledged_commit_survives_a_kill() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    for _ in 0..3 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture", "--ignored"])
            .env(CHILD, &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let acknowledged: Vec<String> = lines
            .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned))
            .take(200)
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(acknowledged.len(), 200);
        let store = SqliteStore::open_shared(&path).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for key in acknowledged {
            assert!(runtime.block_on(store.get(Book::Sales, &key)).unwrap().is_some(), "{key} is lost");
        }
        drop(store);
    }
}

#[test]
#[ignore = "a child process of another test"]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = SqliteStore::open(path.as_ref()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for number in 0u64.. {
        let key = format!("{}-{number}", std::process::id());
        runtime.block_on(store.commit(vec![suite::write(&key, Expect::Absent, "1")])).unwrap();
        println!("acknowledged {key}");
    }
}
