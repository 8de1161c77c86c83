//! A small axum server with our layer, for the comparison of sellers: `GET /free` is bare, `GET /paid` has a price, and
//! so has `GET /pass`, where a payment brings a pass for an hour.
//!
//! Its environment is the same as that of the other sellers in `bench/peers`: `PORT`, `PAY_TO`, `FACILITATOR_URL`, and
//! `BOOK`, an SQLite file or `:memory:`.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has to stop")]

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use groat_chain_evm::ExactEvm;
use groat_core::ports::{Mechanism, Store};
use groat_facilitator::Remote;
use groat_seller::{PassTerms, Pay};
use groat_store::{MemoryStore, SqliteStore};

fn mechanisms() -> Vec<Arc<dyn Mechanism>> {
    vec![Arc::new(ExactEvm::offline())]
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn book(place: &str) -> Arc<dyn Store> {
    match place {
        ":memory:" => Arc::new(MemoryStore::default()),
        path => Arc::new(SqliteStore::open(Path::new(path)).unwrap()),
    }
}

#[tokio::main]
async fn main() {
    let pay = Pay::builder()
        .facilitator(Arc::new(Remote::new(&variable("FACILITATOR_URL"), mechanisms()).unwrap()))
        .mechanisms(mechanisms())
        .store(book(&variable("BOOK")))
        .network("eip155:84532")
        .pay_to(&variable("PAY_TO"))
        .timeout_s(300)
        .public_url("http://bench.invalid")
        .build()
        .unwrap();
    let answer = || async { ([("content-type", "application/json")], r#"{"ok":true}"#) };
    let hour = PassTerms { ttl_s: 3_600, scope: None, uses: None };
    let with_pass = pay.route().price("$0.001").pass(hour).build().unwrap();
    let app = Router::new()
        .route("/free", get(answer))
        .route("/paid", get(answer).layer(pay.price("$0.001")))
        .route("/pass", get(answer).layer(with_pass));
    let port: u16 = variable("PORT").parse().unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    axum::serve(listener, app).await.unwrap();
}
