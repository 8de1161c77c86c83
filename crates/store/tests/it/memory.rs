//! The memory store misbehaves as told.

use groat_core::Fault;
use groat_core::books::Book;
use groat_core::ports::{Expect, Store};
use groat_store::{MemoryStore, Trouble};

use crate::suite::write;

#[tokio::test]
async fn trouble_strikes_once_and_only_where_it_fits() {
    let store = MemoryStore::default();
    store.trouble(Trouble::CommitFails);
    store.trouble(Trouble::GetFails);
    store.trouble(Trouble::ScanFails);
    assert!(store.scan(Book::Sales, None, true, 9).await.is_err());
    assert!(store.scan(Book::Sales, None, true, 9).await.unwrap().is_empty());
    assert!(store.get(Book::Sales, "k").await.is_err());
    assert!(store.get(Book::Sales, "k").await.unwrap().is_none());
    let create = || vec![write("k", Expect::Absent, "1")];
    assert!(matches!(store.commit(create()).await, Err(Fault::Unavailable { what: "store", .. })));
    assert_eq!(store.count(Book::Sales), 0);
    store.trouble(Trouble::CommitAnswerLost);
    assert!(store.commit(create()).await.is_err());
    assert_eq!(store.count(Book::Sales), 1, "written, although nobody was told");
    assert!(!store.commit(create()).await.unwrap());
}

#[tokio::test]
async fn a_store_that_is_down_does_nothing_until_it_is_up_again() {
    let store = MemoryStore::default();
    store.set_down(true);
    for _ in 0..3 {
        assert!(store.commit(vec![write("k", Expect::Absent, "1")]).await.is_err());
        assert!(store.get(Book::Sales, "k").await.is_err());
        assert!(store.scan(Book::Sales, None, false, 1).await.is_err());
    }
    store.set_down(false);
    assert_eq!(store.count(Book::Sales), 0);
    assert!(store.commit(vec![write("k", Expect::Absent, "1")]).await.unwrap());
}
