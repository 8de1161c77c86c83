//! Kill -9 in the middle of a stream of commits: what was answered is there, and nothing is there by half.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::Arc;

use groat_core::books::Book;
use groat_core::ports::{Expect, Store, Write};
use groat_store::{OpenError, SqliteStore};

use crate::suite::write;

/// Set for the child of the test: where it writes.
const CHILD: &str = "GROAT_STORE_TEST_CHILD";

#[test]
fn r08_every_acknowledged_commit_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_commits_until_it_is_killed", "--nocapture", "--ignored"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let count = acknowledged.len() + 300 + 217 * round;
        acknowledged.extend(lines.by_ref().filter_map(key).take(count - acknowledged.len()));
        child.kill().unwrap();
        // It went on until the signal came; what it said by then is in the pipe, the last line perhaps by half.
        acknowledged.extend(lines.filter_map(key));
        assert!(!child.wait().unwrap().success());
        assert!(acknowledged.len() >= count);
        assert_whole(&path, &acknowledged);
    }
}

/// The key in a line of the child, when the line is whole.
fn key(line: String) -> Option<String> {
    Some(line.strip_prefix("acknowledged ")?.strip_suffix('.')?.to_owned())
}

/// Another test that starts a process at this moment holds all our files, locks included, until that process runs.
fn open(path: &std::path::Path) -> SqliteStore {
    for _ in 0..100 {
        match SqliteStore::open(path) {
            Err(OpenError::InUse { .. }) => std::thread::sleep(std::time::Duration::from_millis(50)),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays in use", path.display())
}

fn assert_whole(path: &std::path::Path, acknowledged: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // The killed process holds no lock any more.
    let store = open(path);
    let keys = |book| -> std::collections::BTreeSet<String> {
        let records = runtime.block_on(store.scan(book, None, false, usize::MAX)).unwrap();
        records.into_iter().map(|record| record.key).collect()
    };
    let (sales, nonces) = (keys(Book::Sales), keys(Book::Nonces));
    assert_eq!(sales, nonces, "both records of a commit or none");
    for key in acknowledged {
        assert!(sales.contains(key), "{key} is lost");
    }
    let connection = rusqlite::Connection::open(path).unwrap();
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[test]
#[ignore = "a child process of another test"]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Arc::new(open(path.as_ref()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let body = "x".repeat(700);
    let tasks = (0..16).map(|task| {
        let (store, body) = (Arc::clone(&store), body.clone());
        runtime.spawn(async move {
            for number in 0u64.. {
                let key = format!("{}-{task}-{number}", std::process::id());
                let pair = [Book::Sales, Book::Nonces]
                    .map(|book| Write { book, ..write(&key, Expect::Absent, &body) });
                assert!(store.commit(pair.to_vec()).await.unwrap());
                println!("acknowledged {key}.");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        runtime.block_on(task).unwrap();
    }
}
