//! No room to write: commits are refused, reads go on, and with room again the store goes on by itself (row O08).
//!
//! The limit on file sizes stands in for a full disk; it holds for a whole process, so a child does the work.

use std::path::Path;
use std::process::Command;

use groat_core::Fault;
use groat_core::books::Book;
use groat_core::ports::{Expect, Store};
use groat_store::SqliteStore;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::suite::write;

/// Set for the child of the test: where it writes.
const CHILD: &str = "GROAT_STORE_TEST_FULL";

#[test]
fn o08_a_full_disk_refuses_commits_and_room_lets_them_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let binary = std::env::current_exe().unwrap();
    // Whoever writes beyond the limit is killed by a signal unless it is ignored, and a shell can make it so.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(binary)
        .args(["--exact", "disk_full::child_that_runs_out_of_room", "--nocapture", "--ignored"])
        .env(CHILD, &path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What the child's callers were told is what a new process finds.
    let store = SqliteStore::open(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let records = runtime.block_on(store.scan(Book::Sales, None, false, 99)).unwrap();
    let keys: Vec<_> = records.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(keys, ["after", "before", "small", "then"]);
}

fn limit_file_size(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, ..getrlimit(Resource::Fsize) }).unwrap();
}

#[tokio::test]
#[ignore = "a child process of another test"]
async fn child_that_runs_out_of_room() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let path = Path::new(&path);
    let store = SqliteStore::open(path).unwrap();
    let large = "x".repeat(1 << 20);
    let create = async |key, body| store.commit(vec![write(key, Expect::Absent, body)]).await;
    let refused =
        |result| assert!(matches!(result, Err(Fault::Unavailable { what: "store", .. })), "{result:?}");
    let log_bytes = || std::fs::metadata(path.with_file_name("book.db-wal")).unwrap().len();
    assert!(create("before", "x").await.unwrap());

    // Room for little: the large one fails by itself.
    limit_file_size(Some(log_bytes() + (64 << 10)));
    refused(create("large", &large).await);
    assert_eq!(store.get(Book::Sales, "large").await.unwrap(), None);
    assert!(create("small", "x").await.unwrap());

    // Room for nothing: all are refused, and what is there can be read.
    limit_file_size(Some(1 << 10));
    for _ in 0..3 {
        refused(create("never", "x").await);
        let together = [create("never", "x"), create("never too", &large)];
        let [one, two] = together;
        let (one, two) = tokio::join!(one, two);
        refused(one);
        refused(two);
        assert!(store.get(Book::Sales, "before").await.unwrap().is_some());
        assert_eq!(store.get(Book::Sales, "never").await.unwrap(), None);
        assert_eq!(store.scan(Book::Sales, None, true, 9).await.unwrap().len(), 2);
    }

    // Room again.
    limit_file_size(None);
    assert!(create("after", "x").await.unwrap());
    assert!(create("then", &large).await.unwrap());
}
