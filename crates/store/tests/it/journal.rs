//! The journal: events under compare-and-set, and records that cannot be read.

use std::sync::Arc;

use groat_core::books::{Book, Sale, SaleEvent, SaleState};
use groat_core::key::KeyKind;
use groat_core::payment::Fingerprint;
use groat_core::ports::{Expect, Store, Write};
use groat_core::{Fault, Network, PaymentKey, Timestamp};
use groat_store::{Applied, Entry, Journal, MemoryStore, Trouble};

use crate::suite::write;

const NOW: Timestamp = Timestamp(1);

fn sale(number: u8) -> Sale {
    Sale {
        id: PaymentKey::new(KeyKind::Transaction, &Network::eip155(84532), &[&[number]]).id(),
        payment: Fingerprint("payment".into()),
        request: Fingerprint("request".into()),
        route: "/weather".into(),
        held_at: NOW,
        holder: None,
        pay_to: "0xp".into(),
        amount: groat_core::Amount::from_units(1),
        confirmations: groat_core::Confirmations::default(),
        valid_until: NOW.plus(30),
        keep_until: NOW.plus(60),
        paid_at: None,
        owed: None,
        pass: None,
        state: SaleState::Held { started: false },
    }
}

fn journal() -> (MemoryStore, Journal<Sale>) {
    let store = MemoryStore::default();
    (store.clone(), Journal::new(Arc::new(store)))
}

fn done(applied: Applied<Sale>) -> Entry<Sale> {
    match applied {
        Applied::Done(entry) => entry,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_creates_and_the_other_finds_it() {
    let (_, journal) = journal();
    let entry = journal.create(sale(1)).await.unwrap().unwrap();
    assert_eq!(entry.version, 1);
    assert_eq!(journal.create(sale(1)).await.unwrap(), None);
    assert_eq!(journal.load(&sale(1).id.to_string()).await.unwrap(), Some(entry));
    assert_eq!(journal.load(&sale(2).id.to_string()).await.unwrap(), None);
}

#[tokio::test]
async fn an_event_is_done_stale_or_impossible() {
    let (_, journal) = journal();
    let first = journal.create(sale(1)).await.unwrap().unwrap();
    let started = done(journal.apply(first.clone(), SaleEvent::Start, NOW).await.unwrap());
    assert_eq!(started.version, 2);
    assert_eq!(journal.apply(first, SaleEvent::Release, NOW).await.unwrap(), Applied::Stale);
    let refused = journal.apply(started.clone(), SaleEvent::Start, NOW).await.unwrap();
    assert_eq!(refused, Applied::Impossible(started.clone()));
    assert_eq!(journal.load(&sale(1).id.to_string()).await.unwrap(), Some(started), "nothing was written");
}

#[tokio::test]
async fn after_a_lost_answer_loading_tells() {
    let (store, journal) = journal();
    let entry = journal.create(sale(1)).await.unwrap().unwrap();
    for (trouble, version) in [(Trouble::CommitFails, 1), (Trouble::CommitAnswerLost, 2)] {
        store.trouble(trouble);
        assert!(journal.apply(entry.clone(), SaleEvent::Start, NOW).await.is_err());
        assert_eq!(journal.load(&sale(1).id.to_string()).await.unwrap().unwrap().version, version);
    }
}

#[tokio::test]
async fn records_are_committed_together_with_others() {
    let (store, journal) = journal();
    let entry = journal.create(sale(1)).await.unwrap().unwrap();
    let next = Sale { state: SaleState::Released, ..entry.record.clone() };
    let nonce = Write { book: Book::Nonces, ..write("n", Expect::Version(1), "{}") };
    let writes = || vec![journal.stage_create(&sale(2)), journal.stage(&entry, &next)];
    let with_stale = writes().into_iter().chain([nonce]).collect();
    assert!(!journal.commit(with_stale).await.unwrap());
    assert_eq!(store.count(Book::Sales), 1);
    assert!(journal.commit(writes()).await.unwrap());
    let open = journal.scan_open(None, 9).await.unwrap();
    assert_eq!(open.iter().map(|entry| entry.record.id).collect::<Vec<_>>(), [sale(2).id]);
    assert_eq!(journal.scan_all(None, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named_and_not_quoted() {
    let (store, journal) = journal();
    let key = sale(1).id.to_string();
    let other = serde_json::to_string(&sale(2)).unwrap();
    for (version, body) in ["{\"id\":\"secret\"}", "", "[]", &other].into_iter().enumerate() {
        let version = version as u64;
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        assert!(store.commit(vec![write(&key, expect, body)]).await.unwrap());
        for fault in [journal.load(&key).await.unwrap_err(), journal.scan_open(None, 9).await.unwrap_err()] {
            assert!(matches!(fault, Fault::Garbled { what: "store", .. }));
            let text = fault.to_string();
            assert!(text.contains(&format!("sales {key}")) && !text.contains("secret"), "{text}");
        }
    }
}
