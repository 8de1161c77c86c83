//! A journal that fails once, or belongs to others meanwhile: what it did not take must not have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use groat_buyer::LocalSigner;
use groat_core::Fault;
use groat_core::books::Book;
use groat_core::ports::{Record, SignError, Signer, Store, TypedIntent, Write};
use groat_store::MemoryStore;
use groat_wire::Dialects;

use crate::kit::{Owner, Seller};

/// A store that refuses the first commit that shall bring a purchase into a certain state.
struct Stumbling {
    inner: MemoryStore,
    state: &'static str,
    stumbled: AtomicBool,
}

#[async_trait]
impl Store for Stumbling {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        self.inner.get(book, key).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        let fits = writes.iter().any(|write| write.state == self.state);
        if fits && !self.stumbled.swap(true, Ordering::SeqCst) {
            return Err(Fault::unavailable("store", "the disk is full"));
        }
        self.inner.commit(writes).await
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        self.inner.scan(book, after, open_only, count_max).await
    }
}

#[tokio::test]
async fn kp17_kp18_what_was_not_written_down_does_not_leave_even_when_the_journal_works_again() {
    for state in ["planned", "signed", "sent"] {
        let (seller, inner) = (Seller::start().await, MemoryStore::default());
        let owner = Owner::on(Arc::new(Stumbling { inner, state, stumbled: AtomicBool::new(false) }));
        let client = owner.client();
        client.get(&seller.url).await.unwrap_err();
        assert_eq!(seller.payments().len(), 0, "{state}");
        client.get(&seller.url).await.unwrap();
        assert_eq!(seller.signed(), 1, "{state}");
    }
}

/// A person who thinks for so long that another process takes the place for abandoned, and buys something else.
struct Slow {
    inner: LocalSigner,
    clock: Arc<AtomicU64>,
    other: Owner,
    url: String,
}

#[async_trait]
impl Signer for Slow {
    fn account(&self) -> String {
        self.inner.account()
    }

    async fn sign(&self, intent: &TypedIntent) -> Result<Vec<u8>, SignError> {
        self.clock.fetch_add(700, Ordering::SeqCst);
        self.other.client().get(&self.url).await.unwrap();
        self.inner.sign(intent).await
    }
}

#[tokio::test]
async fn y22_a_signature_whose_place_was_given_back_meanwhile_does_not_leave() {
    let (seller, other) = (Seller::start().await, Owner::new());
    let slow = Slow {
        inner: LocalSigner::random().unwrap(),
        clock: Arc::clone(&other.clock),
        other: other.clone(),
        url: format!("{}?other", seller.url),
    };
    let owner = Owner { signer: Arc::new(slow), ..other.clone() };
    owner.client().get(&seller.url).await.unwrap_err();
    assert_eq!(seller.signed(), 1);
    assert_eq!(other.client().spent_today().await.unwrap().total_usd_micros, 10_000);
}

/// Asks for money once, loses the answer to the first payment, and then sells to nobody but who has paid.
async fn forgetful() -> String {
    let parts = Dialects::standard().write_challenge(&Seller::start().await.challenge.lock().unwrap());
    let (asked, paid) = (AtomicBool::new(false), AtomicBool::new(false));
    let answer = move |request: Request| {
        let is_paid = request.headers().contains_key("payment-signature");
        let again = if is_paid { &paid } else { &asked }.swap(true, Ordering::SeqCst);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = match (is_paid, again) {
            (false, false) => 402,
            (false, true) => 404,
            (true, false) => 500,
            (true, true) => 200,
        }
        .try_into()
        .unwrap();
        if !is_paid && !again {
            response.headers_mut().extend(parts.headers.clone());
        }
        std::future::ready(response)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/thing", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    let app = axum::Router::new().fallback(move |request| answer(request));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test]
async fn y13_a_lost_payment_goes_first_whatever_the_seller_would_say_now() {
    let (url, owner) = (forgetful().await, Owner::new());
    owner.client().get(&url).await.unwrap_err();
    let bought = owner.client().get(&url).await.unwrap();
    assert_eq!(bought.response.status(), 200);
    assert!(bought.payment.unwrap().resent);
}
