//! An fsync that fails: what callers then read stays true after a crash.
//!
//! `cargo test -p groat-store -- --ignored fsync` with `strace` installed, which makes the system call fail.

use std::path::Path;
use std::process::Command;

use groat_core::books::Book;
use groat_core::ports::{Expect, Store};
use groat_store::SqliteStore;

use crate::suite::write;

/// Set for the child of the tests: where it writes.
const CHILD: &str = "GROAT_STORE_TEST_FSYNC";

/// What the child saw, a line for each commit (`key answer seen`), and the keys found after its crash.
fn crash_with_failing_fsyncs(which: &str) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-P"])
        .arg(folder.path().join("book.db-wal"))
        .args(["-e", &format!("inject=fsync,fdatasync:error=EIO:when={which}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "fsync_fails::child_that_crashes_after_an_error", "--nocapture", "--ignored"])
        .env(CHILD, &path)
        .output()
        .expect("strace is installed");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().filter_map(|line| line.strip_prefix("saw ").map(str::to_owned)).collect();
    (lines, keys(&path))
}

fn keys(path: &Path) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = SqliteStore::open(path).unwrap();
    let records = runtime.block_on(store.scan(Book::Sales, None, false, 99)).unwrap();
    records.into_iter().map(|record| record.key).collect()
}

#[test]
#[ignore = "needs strace"]
fn o08_what_an_fsync_did_not_keep_does_not_come_back_after_a_crash() {
    // Counted for each thread, and the fifth of the writing one belongs to the fifth commit.
    let (seen, found) = crash_with_failing_fsyncs("5");
    assert_eq!(seen.last().unwrap(), "k4 refused absent", "{seen:?}");
    assert_eq!(seen.len(), 5, "the child stops at the first error");
    assert_eq!(found, ["k0", "k1", "k2", "k3"]);
}

#[test]
#[ignore = "needs strace"]
fn o08_while_fsyncs_fail_nothing_is_promised() {
    let (seen, found) = crash_with_failing_fsyncs("5+");
    assert_eq!(seen.last().unwrap(), "k4 refused absent", "{seen:?}");
    assert_eq!(found[..4], ["k0", "k1", "k2", "k3"], "what was promised is there");
}

#[tokio::test]
#[ignore = "a child process of another test"]
async fn child_that_crashes_after_an_error() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = SqliteStore::open(path.as_ref()).unwrap();
    let body = "x".repeat(9000);
    for number in 0..9 {
        let key = format!("k{number}");
        let answer = store.commit(vec![write(&key, Expect::Absent, &body)]).await;
        let seen = store.get(Book::Sales, &key).await.unwrap();
        let word = if answer.is_ok() { "kept" } else { "refused" };
        println!("saw {key} {word} {}", if seen.is_some() { "present" } else { "absent" });
        if answer.is_err() {
            std::process::exit(9);
        }
    }
}
