//! What a service says when its facilitator does not know yet, and a client that is told of another payment.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use groat_chain_evm::ExactEvm;
use groat_core::books::SettlementState;
use groat_core::ports::{Facilitator, Mechanism, PaymentStatus, Supported};
use groat_core::{Amount, Claim, Failure, Fault, Network, Offer, Payment, PaymentId, Receipt, Timestamp};
use groat_devchain::Mining;
use groat_facilitator::Remote;
use groat_facilitator::http::{Ready, Service};
use groat_wire::facilitator::write_request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{World, offer};

/// A facilitator that never knows, and remembers one payment whatever it is asked.
struct Unsure {
    transaction: Option<String>,
    remembers: PaymentId,
}

fn unsure(fault: &str) -> Fault {
    Fault::unavailable("chain", fault)
}

#[async_trait]
impl Facilitator for Unsure {
    async fn supported(&self) -> Result<Supported, Fault> {
        Err(unsure("not asked"))
    }

    async fn verify(&self, _: &Payment, _: &Offer) -> Result<Claim, Failure> {
        Err(unsure("not asked").into())
    }

    async fn settle(&self, _: &Payment, _: &Offer) -> Result<Receipt, Failure> {
        Err(Fault::Pending { transaction: self.transaction.clone() }.into())
    }

    async fn status(&self, _: &PaymentId) -> Result<Option<PaymentStatus>, Fault> {
        Ok(Some(PaymentStatus {
            id: self.remembers,
            payer: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".into(),
            pay_to: offer().pay_to,
            network: Network::eip155(84532),
            asset: offer().asset,
            amount: Amount::from_units(10_000),
            valid_until: Timestamp(1),
            gas: 0,
            reverted: false,
            depth: None,
            state: SettlementState::Submitted { slot: String::new(), transaction: "0x1".into() },
        }))
    }
}

fn id(payment: &Payment) -> PaymentId {
    ExactEvm::offline().key(payment, &offer()).unwrap().0.id()
}

fn service(unsure: Unsure) -> axum::Router {
    Service::new(Arc::new(unsure), Vec::new(), String::new, Ready::default()).router()
}

#[tokio::test]
async fn i6_a_settlement_that_is_under_way_is_told_with_its_transaction_and_never_as_a_fault_alone() {
    let payment = World::new(Mining::Instant).payer(1).pay(1);
    let settle = |transaction: Option<&str>| {
        let router = service(Unsure { transaction: transaction.map(str::to_owned), remembers: id(&payment) });
        let body = Body::from(write_request(&payment, &offer()));
        let request = Request::post("/settle").header("content-type", "application/json").body(body);
        async move {
            let response = router.oneshot(request.unwrap()).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            (parts.status, serde_json::from_slice::<Value>(&bytes).unwrap())
        }
    };
    let (status, answer) = settle(Some("0xsent")).await;
    let told = json!({
        "success": false, "errorReason": "settlement_pending", "transaction": "0xsent", "network": "eip155:84532",
    });
    assert_eq!((status, answer), (StatusCode::OK, told));
    let (status, answer) = settle(None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(answer["error"].as_str().unwrap().starts_with("settlement_pending"), "{answer}");
}

#[tokio::test]
async fn g06_the_status_of_another_payment_is_not_believed() {
    let world = World::new(Mining::Instant);
    let (asked, other) = (world.payer(1).pay(1), world.payer(1).pay(2));
    let router = service(Unsure { transaction: None, remembers: id(&other) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let remote = Remote::new(&base, vec![Arc::new(ExactEvm::offline()) as Arc<dyn Mechanism>]).unwrap();
    assert_eq!(remote.status(&id(&other)).await.unwrap().unwrap().id, id(&other));
    assert!(matches!(remote.status(&id(&asked)).await, Err(Fault::Garbled { .. })));
}
