//! A book that cannot be written at one moment: what it does not say must not have happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use groat_core::books::{Answer, Book, Sale, SaleState};
use groat_core::ports::{Record, Store, Write};
use groat_core::{Fault, Reason};
use groat_store::MemoryStore;
use http::StatusCode;
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::kit::*;

/// A store that refuses one commit, counted from zero.
struct Stumbling {
    inner: MemoryStore,
    left: AtomicUsize,
}

#[async_trait]
impl Store for Stumbling {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        self.inner.get(book, key).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        // Below zero it wraps and never comes back to it.
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(Fault::unavailable("store", "the disk is full")),
            _ => self.inner.commit(writes).await,
        }
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
async fn kp2_kp3_nothing_runs_and_no_money_moves_that_the_book_does_not_know() {
    // Hold, serve and pay; or hold, pay, start and serve.
    for (request, commits) in [(get("/weather"), 3), (post("/weather", "x"), 4)] {
        let copy = copies(request).await;
        let mut stumbles = 0;
        loop {
            assert!(stumbles <= commits, "it never ends well");
            let world = World::new();
            let store = Stumbling { inner: world.store.clone(), left: AtomicUsize::new(stumbles) };
            let app = world.weather(&world.builder().store(Arc::new(store)).build().unwrap());
            let paid = pay_for(&app, copy(), "n").await;
            let (parts, body) = app.oneshot(paid).await.unwrap().into_parts();
            // An answer that could not be kept is cut off.
            let body = body.collect().await.map(|body| body.to_bytes());
            let is_served = parts.status == StatusCode::OK && body.is_ok();
            if world.sales() == 0 {
                assert_eq!((world.hits(), world.fake.settles(), stumbles), (0, 0, 0));
                stumbles += 1;
                continue;
            }
            let state = world.sale("n").await.state;
            let ran = !matches!(
                state,
                SaleState::Held { started: false }
                    | SaleState::Paid { started: false, .. }
                    | SaleState::Released
            );
            assert_eq!(world.hits(), usize::from(ran), "commit {stumbles}: {state:?}");
            if is_served {
                assert!(matches!(state, SaleState::Done { .. }), "commit {stumbles}: {state:?}");
                break;
            }
            // The money may have moved by now, and then nobody may be told to pay again.
            assert!(
                world.fake.settles() == 0 || parts.status != StatusCode::PAYMENT_REQUIRED,
                "commit {stumbles}"
            );
            stumbles += 1;
        }
        assert_eq!(stumbles, commits);
    }
}

#[tokio::test]
async fn i6_a_hold_is_kept_while_a_settlement_may_be_under_way() {
    let world = World::new();
    world.fake.script_verify(pending("0xsent"));
    let app = world.weather(&world.pay());
    let seen = buy(&app, get("/weather"), "n").await;
    assert_eq!((seen.status, seen.error().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "settlement_pending"));
    assert_eq!(world.sale("n").await.state, SaleState::Held { started: false });
    // It is for this request, and for no other.
    assert_eq!(buy(&app, get("/weather?other"), "n").await.error(), "payment_in_progress");
    // Asked again, it is not given back either.
    world.fake.script_verify(pending("0xsent"));
    assert_eq!(buy(&app, get("/weather"), "n").await.error(), "settlement_pending");
    assert_eq!(world.sale("n").await.state, SaleState::Held { started: false });
    assert_eq!(buy(&app, get("/weather"), "n").await.status, StatusCode::OK);
    assert_eq!((world.hits(), world.fake.settles()), (1, 1));
}

/// While a gate is about to start the handler of a paid request, another finishes the sale.
struct Overtaking(Arc<dyn Store>);

#[async_trait]
impl Store for Overtaking {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        self.0.get(book, key).await
    }

    async fn commit(&self, mut writes: Vec<Write>) -> Result<bool, Fault> {
        let sale: Option<Sale> = writes.first().and_then(|write| serde_json::from_str(&write.body).ok());
        let Some(Sale { state: SaleState::Paid { receipt, started: true }, .. }) = sale.clone() else {
            return self.0.commit(writes).await;
        };
        let body = Some(data_encoding::BASE64.encode(b"told by another"));
        let answer = Answer { status: 200, headers: Vec::new(), body };
        let done = Sale { state: SaleState::Done { answer, receipt }, ..sale.unwrap() };
        writes[0].body = serde_json::to_string(&done).unwrap();
        self.0.commit(writes).await.map(|_| false)
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        self.0.scan(book, after, open_only, count_max).await
    }
}

#[tokio::test]
async fn i2_what_another_instance_finishes_meanwhile_is_not_run_again() {
    let world = World::new();
    let store = Overtaking(Arc::new(world.store.clone()));
    let app = world.weather(&world.builder().store(Arc::new(store)).build().unwrap());
    let seen = buy(&app, post("/weather", "x"), "n").await;
    assert_eq!((seen.status, seen.body.as_ref()), (StatusCode::OK, b"told by another".as_ref()));
    assert_eq!(world.hits(), 0);
}

/// A book in which a sale is not there yet when it is first looked for.
struct Late(MemoryStore, AtomicUsize);

#[async_trait]
impl Store for Late {
    async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        let found = self.0.get(book, key).await?;
        Ok(found.filter(|_| self.1.fetch_add(1, Ordering::SeqCst) > 0))
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<bool, Fault> {
        self.0.commit(writes).await
    }

    async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        self.0.scan(book, after, open_only, count_max).await
    }
}

#[tokio::test]
async fn i6_what_another_instance_sells_meanwhile_is_not_refused_as_used() {
    let world = World::new();
    let copy = copies(pay_for(&world.weather(&world.pay()), get("/weather"), "n").await).await;
    assert_eq!(send(&world.weather(&world.pay()), copy()).await.status, StatusCode::OK);
    let store = Late(world.store.clone(), AtomicUsize::new(0));
    let app = world.weather(&world.builder().store(Arc::new(store)).build().unwrap());
    world.fake.script_verify(refuse(Reason::NonceAlreadyUsed));
    assert_eq!(send(&app, copy()).await.status, StatusCode::OK);
    assert_eq!(world.hits(), 1);
}
