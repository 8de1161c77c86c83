use super::*;
use crate::sqlite::file::make_private;

fn fresh() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    make_private(&path).unwrap();
    (folder, path)
}

#[test]
fn an_answered_commit_is_on_the_disk() {
    let (_folder, path) = fresh();
    let connection = open(&path).unwrap();
    let asked =
        |what| connection.pragma_query_value(None, what, |row| row.get::<_, rusqlite::types::Value>(0));
    assert_eq!(asked("journal_mode").unwrap(), "wal".to_owned().into());
    assert_eq!(asked("synchronous").unwrap(), 2.into());
}

#[test]
fn every_book_has_its_own_statements() {
    for book in Book::ALL {
        assert!(sql(book).get.contains(&format!("FROM {} ", book.table())));
    }
}

#[test]
fn scans_begin_at_their_bound() {
    let (_folder, path) = fresh();
    let connection = open(&path).unwrap();
    let plan = |query: &str| -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        statement.query_row(("k", false, 10), |row| row.get(3)).unwrap()
    };
    for book in Book::ALL {
        let all = plan(sql(book).scan);
        assert!(all.starts_with("SEARCH") && all.contains("key>?"), "{all}");
        let open = plan(sql(book).scan_open);
        assert!(open.starts_with("SEARCH") && open.contains("_open (key>?"), "{open}");
    }
}

#[test]
fn readers_cannot_write() {
    let (_folder, path) = fresh();
    let _first = open(&path).unwrap();
    assert!(connect_reader(&path).unwrap().execute("DELETE FROM meta", []).is_err());
}

#[test]
fn opening_waits_for_a_process_that_writes() {
    let (_folder, path) = fresh();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let opener = std::thread::spawn(move || open(&path).map(drop));
    std::thread::sleep(BUSY_TIMEOUT / 50);
    other.execute_batch("COMMIT").unwrap();
    opener.join().unwrap().unwrap();
}
