//! Ledgers, payers and a seller made of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use groat_buyer::LocalSigner;
use groat_chain_ledger::{BalanceLedger, BalancePayer, Currency, Holder, Ledger};
use groat_core::books::Book;
use groat_core::key::KeyKind;
use groat_core::offer::Ask;
use groat_core::payment::DialectId;
use groat_core::ports::{Clock, Mechanism, PayRequest, Payer, Record, Signer, Store, Write};
use groat_core::{Amount, Fault, Network, Offer, Payment, PaymentId, PaymentKey, Terms, Timestamp};
use groat_facilitator::{Engine, EngineOptions};
use groat_store::MemoryStore;

pub(crate) const NOW: u64 = 1_700_000_000;
pub(crate) const AUDIENCE: &str = "https://api.example.com/token";
pub(crate) const PAYEE: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

pub(crate) fn ledger_on(store: &MemoryStore) -> Ledger {
    ledger_over(Arc::new(store.clone()))
}

pub(crate) fn ledger_over(store: Arc<dyn Store>) -> Ledger {
    Ledger::new("main", vec![Currency::USD], store).unwrap()
}

/// A store that lets others go first before each answer, as a database does: calls at once meet in it.
pub(crate) struct Yielding(pub(crate) MemoryStore);

#[async_trait]
impl Store for Yielding {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        tokio::task::yield_now().await;
        let answer = self.0.get(book, key).await;
        tokio::task::yield_now().await;
        answer
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        tokio::task::yield_now().await;
        let answer = self.0.commit(writes).await;
        tokio::task::yield_now().await;
        answer
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        tokio::task::yield_now().await;
        self.0.scan(book, after, open_only, count_max).await
    }
}

pub(crate) fn wallet(seed: u8) -> LocalSigner {
    LocalSigner::from_hex(&format!("{seed:02x}").repeat(32)).unwrap()
}

pub(crate) fn holder(seed: u8) -> Holder {
    Holder::parse(&wallet(seed).account()).unwrap()
}

pub(crate) fn units(units: u128) -> Amount {
    Amount::from_units(units)
}

pub(crate) fn payment_id(number: u64) -> PaymentId {
    PaymentKey::new(KeyKind::Transaction, &Network::eip155(1), &[&number.to_be_bytes()]).id()
}

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
pub(crate) struct Hands(Arc<AtomicU64>);

impl Hands {
    pub(crate) fn at(now: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now)))
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        let hands = self.clone();
        Arc::new(move || Timestamp(hands.now()))
    }
}

/// The scheme, and an engine that takes its payments.
pub(crate) fn till(store: &MemoryStore, hands: &Hands) -> (BalanceLedger, Engine) {
    till_over(Arc::new(store.clone()), hands)
}

/// The same in a process of its own beside others.
pub(crate) fn till_beside(store: &MemoryStore, hands: &Hands) -> (BalanceLedger, Engine) {
    till_over(Arc::new(Yielding(store.clone())), hands)
}

fn till_over(store: Arc<dyn Store>, hands: &Hands) -> (BalanceLedger, Engine) {
    let scheme = BalanceLedger::new(ledger_over(Arc::clone(&store)), AUDIENCE);
    let cashier = Arc::new(scheme.clone());
    let engine =
        Engine::taking(vec![], vec![], vec![cashier], store, hands.clock(), EngineOptions::default());
    (scheme, engine)
}

pub(crate) fn offer(scheme: &BalanceLedger, amount: u128) -> Offer {
    let terms = Terms {
        scheme: "balance".into(),
        network: Network::parse("ledger:main").unwrap(),
        price: Ask::Units { asset: "USD".into(), amount: units(amount), extra: Default::default() },
        pay_to: PAYEE.into(),
        timeout_s: 60,
    };
    scheme.offer(&terms).unwrap().unwrap()
}

/// A debit, signed by the wallet of this seed.
pub(crate) async fn debit(offer: &Offer, seed: u8, nonce: u8, now: u64) -> Payment {
    let request = PayRequest {
        dialect: &DialectId::new("token"),
        offer,
        now: Timestamp(now),
        window_s_max: 600,
        nonce: [nonce; 32],
    };
    BalancePayer::default().pay(request, &wallet(seed)).await.unwrap()
}
