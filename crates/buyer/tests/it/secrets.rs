//! Keys and passwords stay where they are.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use groat_buyer::LocalSigner;
use groat_core::Network;
use groat_core::ports::Signer;
use groat_store::SqliteStore;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::kit::{Act, Owner, Seller, offer};

const KEY: &str = "c0ffee11c0ffee22c0ffee33c0ffee44c0ffee55c0ffee66c0ffee77c0ffee88";
const DEV_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Keeps everything that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The bytes that a header field holds.
fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|b| *b == byte)
    };
    let (mut bits, mut count, mut bytes) = (0_usize, 0, Vec::new());
    for value in text.bytes().map_while(digit) {
        (bits, count) = ((bits << 6 | value) & 0xffff, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// Whether the key is in there: as bytes, as hex, or as Rust shows an array of bytes.
fn shows_key(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen).to_lowercase();
    let bytes = seen.windows(4).any(|four| four == [0xc0, 0xff, 0xee, 0x11]);
    bytes || text.contains("c0ffee11") || text.contains("192, 255, 238, 17")
}

#[test]
fn k08_the_search_finds_a_key() {
    let bytes = [0xc0, 0xff, 0xee, 0x11];
    assert!(shows_key(b"0xC0FFEE11c0") && shows_key(&bytes) && shows_key(format!("{bytes:?}").as_bytes()));
    assert!(!shows_key(b"c0ffee22"));
}

#[tokio::test]
async fn k08_the_key_is_in_no_answer_error_log_book_or_request() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_shared(&folder.path().join("purchases.db")).unwrap();
    let signer = Arc::new(LocalSigner::from_hex(KEY).unwrap());
    let (seller, owner) =
        (Seller::start().await, Owner { signer: signer.clone(), ..Owner::on(Arc::new(store)) });
    let client = owner.client();
    seller.acts([Act::Status(500), Act::Status(403)]);
    let lost = client.get(&seller.url).await.unwrap_err();
    let refused = client.get(&seller.url).await.unwrap_err();
    let mut bought = client.get(&seller.url).await.unwrap();
    // What another test logs for the first time at this moment may be left out.
    for _ in 0..50 {
        if log.0.lock().unwrap().contains("signed") {
            break;
        }
        tracing::callsite::rebuild_interest_cache();
        bought = client.get(&seller.url).await.unwrap();
    }
    let denied = {
        seller.challenge.lock().unwrap().offers = vec![offer("$9")];
        client.get(&seller.url).await.unwrap_err()
    };
    let book = client.purchases().await.unwrap();
    let seen =
        format!("{lost:?} {lost} {refused:?} {refused} {denied:?} {denied} {bought:?} {book:?} {signer:?}");
    assert!(!shows_key(seen.as_bytes()), "{seen}");
    for payment in seller.payments() {
        let data = base64(&payment);
        assert!(!data.is_empty() && !shows_key(&data));
    }
    for file in std::fs::read_dir(folder.path()).unwrap() {
        assert!(!shows_key(&std::fs::read(file.unwrap().path()).unwrap()));
    }
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.contains("signed"), "nothing was logged: {logged}");
    assert!(!shows_key(logged.as_bytes()), "{logged}");
    // A payment is as good as money until it is taken: it is in the book and not in the log.
    assert!(!logged.contains(&seller.payments()[0][..40]), "{logged}");
}

#[tokio::test]
async fn k12_a_key_that_everybody_has_pays_only_where_that_was_asked_for() {
    let (seller, mut owner) = (Seller::start().await, Owner::new());
    let signer: Arc<dyn Signer> = Arc::new(LocalSigner::from_hex(DEV_KEY).unwrap());
    owner.signer = signer;
    let refused = owner.client().get(&seller.url).await.unwrap_err();
    assert!(refused.to_string().contains("everybody has the key"), "{refused}");
    owner.options.published_keys = true;
    owner.client().get(&seller.url).await.unwrap();
    // Never for real money.
    owner.policy.mainnet = true;
    let mut real = offer("$0.01");
    real.network = Network::eip155(8453);
    real.asset = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into();
    seller.challenge.lock().unwrap().offers = vec![real];
    let refused = owner.client().get(&seller.url).await.unwrap_err();
    assert!(refused.to_string().contains("everybody has the key"), "{refused}");
    assert_eq!(seller.signed(), 1);
}
