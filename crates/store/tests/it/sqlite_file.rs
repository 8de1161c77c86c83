//! The file of the SQLite store: who may read it, who owns it, what is in it afterwards.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use groat_core::books::Book;
use groat_core::ports::{Expect, Store};
use groat_store::{OpenError, SqliteStore};

use crate::suite::write;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn k09_everything_written_is_private_and_a_readable_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/deep/book.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(vec![write("k", Expect::Absent, "1")]).await.unwrap();
    assert_eq!(mode(&folder.path().join("new")), 0o700);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let files: Vec<_> =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 4, "file, lock, log and its index: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    drop(store);
    for readable in [0o644, 0o640, 0o604] {
        set_mode(&path, readable);
        for result in [SqliteStore::open(&path), SqliteStore::open_shared(&path)] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
    }
    set_mode(&path, 0o600);
    assert!(SqliteStore::open(&path).is_ok());
}

#[test]
fn o10_a_second_owner_is_refused_and_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let first = SqliteStore::open(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    let OpenError::InUse { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()) && text.contains("process"), "{text}");
    drop(first);
    assert!(SqliteStore::open(&path).is_ok(), "free again as soon as the store is dropped");
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    for round in 0..3 {
        let store = SqliteStore::open(&path).unwrap();
        for number in 0..100 {
            let key = format!("{round}-{number}");
            assert!(store.commit(vec![write(&key, Expect::Absent, &key)]).await.unwrap());
        }
        drop(store);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.scan(Book::Sales, None, true, 999).await.unwrap().len(), (round + 1) * 100);
    }
    let log = path.with_file_name("book.db-wal");
    assert!(!log.exists(), "everything is in the one file");
}

#[tokio::test]
async fn two_processes_on_one_shared_file_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let (one, two) = (SqliteStore::open_shared(&path).unwrap(), SqliteStore::open_shared(&path).unwrap());
    for number in 0..50 {
        let claim = || vec![write(&number.to_string(), Expect::Absent, "1")];
        let (first, second) = tokio::join!(one.commit(claim()), two.commit(claim()));
        assert_ne!(first.unwrap(), second.unwrap());
    }
    assert_eq!(
        two.scan(Book::Sales, None, true, 99).await.unwrap(),
        one.scan(Book::Sales, None, true, 99).await.unwrap()
    );
}

#[test]
fn many_may_make_a_shared_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| SqliteStore::open_shared(&path))).collect();
        for opener in openers {
            opener.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_newer_file_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    drop(SqliteStore::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("UPDATE meta SET value = 2 WHERE key = 'format'; DROP TABLE lanes;").unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'lanes'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 0);
}

#[test]
fn a_file_of_another_program_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE cookies (a)").unwrap();
    set_mode(&path, 0o600);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::Foreign(_))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::write(&path, "not a database, and long enough to see that it is not one").unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::Sqlite { .. })));
}

#[tokio::test]
async fn a_person_can_read_the_book_while_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.commit(vec![write("k", Expect::Absent, "{\"a\":1}")]).await.unwrap());
    let shell =
        rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let row: (String, i64, String, i64) = shell
        .query_row(
            "SELECT state, version, updated_at, body ->> 'a' FROM sales WHERE key = 'k' AND open = 1",
            [],
            |row| row.try_into(),
        )
        .unwrap();
    assert_eq!((row.0.as_str(), row.1, row.3), ("held", 1, 1));
    assert_eq!(row.2.len(), "2026-01-01 00:00:00".len());
}
