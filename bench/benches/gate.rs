//! What a price costs a route: an unpaid 402, and a paid request with a facilitator that answers at once.
//!
//! The limit is the same handler without a price. Requests go to the service directly, so that no socket is measured.
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use groat_bench::{Purse, Row, World, heading, offer, run};
use groat_chain_evm::ExactEvm;
use groat_core::payment::ReceiptOutcome;
use groat_core::ports::{Facilitator, Mechanism, PaymentStatus, Store, Supported};
use groat_core::{Challenge, Claim, Failure, Fault, Offer, Payment, PaymentId, Receipt, Timestamp};
use groat_seller::Pay;
use groat_store::{MemoryStore, SqliteStore};
use groat_wire::{Dialect, x402_v2};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

const COUNT: usize = 10_000;
const PAYER: &str = "0x857b06519E91e3A54538791bDbb0E22373e36b66";

/// Says yes at once, so that only the seller's own work is measured.
struct Instant(ExactEvm);

#[async_trait]
impl Facilitator for Instant {
    async fn supported(&self) -> Result<Supported, Fault> {
        Ok(Supported::default())
    }

    async fn verify(&self, payment: &Payment, offer: &Offer) -> Result<Claim, Failure> {
        let (key, valid_until) = self.0.key(payment, offer)?;
        Ok(Claim {
            key,
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payer: PAYER.to_owned(),
            pay_to: offer.pay_to.clone(),
            amount: offer.amount,
            valid_from: Timestamp(0),
            valid_until,
            alone: false,
            funds: None,
        })
    }

    async fn settle(&self, payment: &Payment, offer: &Offer) -> Result<Receipt, Failure> {
        Ok(Receipt {
            outcome: ReceiptOutcome::Settled,
            network: offer.network.clone(),
            transaction: Some(self.0.key(payment, offer)?.0.id().to_string()),
            payer: Some(PAYER.to_owned()),
            amount: Some(offer.amount),
            settled_at: None,
        })
    }

    async fn status(&self, _: &PaymentId) -> Result<Option<PaymentStatus>, Fault> {
        Ok(None)
    }
}

#[tokio::main]
async fn main() {
    heading("gate: one route, in process");
    let free = Router::new().route("/weather", get(weather));
    let limit = ask(&free, vec![HeaderMap::new(); COUNT], StatusCode::OK).await.print("limit: no price");

    let unpaid = shop(Arc::new(MemoryStore::default()));
    let row = ask(&unpaid, vec![HeaderMap::new(); COUNT], StatusCode::PAYMENT_REQUIRED).await;
    added(row.print("unpaid: 402 with both generations"), limit);

    let folder = tempfile::tempdir().unwrap();
    for callers in [1, 64] {
        let memory = shop(Arc::new(MemoryStore::default()));
        let row = ask_all(&memory, paid().await, StatusCode::OK, callers).await;
        added(row.print(&format!("paid, book in memory, {callers} callers")), limit);
        let file = folder.path().join(format!("{callers}.db"));
        let sqlite = shop(Arc::new(SqliteStore::open(&file).unwrap()));
        let row = ask_all(&sqlite, paid().await, StatusCode::OK, callers).await;
        added(row.print(&format!("paid, book on SQLite, {callers} callers")), limit);
    }
}

fn added(row: Row, limit: Row) {
    println!("{:<44} {:>22.1} µs of CPU added", "", row.cpu_us - limit.cpu_us);
}

async fn weather() -> &'static str {
    "sunny"
}

fn shop(store: Arc<dyn Store>) -> Router {
    let pay = Pay::builder()
        .facilitator(Arc::new(Instant(ExactEvm::offline())))
        .mechanisms(vec![Arc::new(ExactEvm::offline())])
        .store(store)
        .network("eip155:84532")
        .pay_to(&offer().pay_to)
        .timeout_s(offer().timeout_s)
        .public_url("https://api.example.com")
        .build()
        .unwrap();
    Router::new().route("/weather", get(weather).layer(pay.price("$0.01")))
}

/// Headers of requests that pay, signed before the clock starts.
async fn paid() -> Vec<HeaderMap> {
    let chain = World::new(Arc::new(MemoryStore::default())).chain;
    let challenge = Challenge {
        resource: Default::default(),
        offers: vec![offer()],
        pass_at: None,
        moment: None,
        error: String::new(),
        extensions: Default::default(),
    };
    let header = |payment: Payment| {
        let mut payment = x402_v2::accept(payment, &challenge, &challenge.offers[0]);
        payment.resource = None;
        let mut headers = HeaderMap::new();
        x402_v2::V2.write_payment(&payment, &mut headers).unwrap();
        headers
    };
    Purse::new(&chain, 64).sign(COUNT).await.into_iter().map(header).collect()
}

async fn ask(app: &Router, headers: Vec<HeaderMap>, expected: StatusCode) -> Row {
    ask_all(app, headers, expected, 1).await
}

async fn ask_all(app: &Router, headers: Vec<HeaderMap>, expected: StatusCode, callers: usize) -> Row {
    run(callers, headers, |headers| {
        let app = app.clone();
        async move {
            let mut request =
                Request::get("/weather").header("host", "api.example.com").body(Body::empty()).unwrap();
            request.headers_mut().extend(headers);
            let response = app.oneshot(request).await.unwrap();
            assert_eq!(response.status(), expected);
            response.into_body().collect().await.unwrap();
        }
    })
    .await
}
