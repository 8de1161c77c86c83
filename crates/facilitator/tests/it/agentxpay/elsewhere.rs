//! Payments by hash through a facilitator elsewhere.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::B256;
use async_trait::async_trait;
use groat_chain_evm::{ByHashEvm, ExactEvm};
use groat_core::ports::{Facilitator, Mechanism};
use groat_core::{Failure, Fault};
use groat_devchain::Mining;
use groat_facilitator::http::{Ready, Service};
use groat_facilitator::{Carrier, Remote};
use serde_json::Value;
use tokio::net::TcpListener;

use super::market::{Market, PRICE};
use super::seen::{offer, payment};
use crate::world::World;

fn mechanisms() -> Vec<Arc<dyn Mechanism>> {
    vec![Arc::new(ExactEvm::offline()), Arc::new(ByHashEvm::offline())]
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_what_is_in_no_block_yet_is_pending_and_not_a_facilitator_that_is_broken() {
    let market = Market::new(Mining::Instant);
    let service = Service::new(Arc::new(market.engine()), mechanisms(), String::new, Ready::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, service.router()).await });
    let (payment, offer) = (payment(B256::repeat_byte(0xab)), offer(&market.service("1", PRICE)));
    let remote = Remote::new(&base, mechanisms()).unwrap();
    let verdict = remote.verify(&payment, &offer).await;
    assert!(matches!(verdict, Err(Failure::Fault(Fault::Pending { .. }))), "{verdict:?}");
    // A facilitator of somebody else is told in words of the protocol.
    let body = groat_wire::facilitator::write_request(&payment, &offer);
    let asked = reqwest::Client::new().post(format!("{base}/verify"));
    let answer = asked.header("content-type", "application/json").body(body).send().await.unwrap();
    let (status, body) = (answer.status(), answer.bytes().await.unwrap());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status.as_u16(), &body["isValid"]), (200, &Value::Bool(false)), "{body}");
    assert_eq!(body["invalidReason"], "settlement_pending");
}

/// Writes down how long it may take.
#[derive(Default)]
struct Patience(Mutex<Vec<Duration>>);

#[async_trait]
impl Carrier for Patience {
    async fn carry(&self, _: &str, _: Option<String>, timeout: Duration) -> Result<Vec<u8>, Fault> {
        self.0.lock().unwrap().push(timeout);
        Ok(br#"{"isValid":true,"payer":"0x1"}"#.to_vec())
    }
}

#[tokio::test]
async fn a_payment_that_was_made_before_is_looked_for_as_long_as_its_block_may_take() {
    let (market, patience) = (Market::new(Mining::Instant), Arc::new(Patience::default()));
    let remote = Remote::over(patience.clone(), "http://elsewhere", mechanisms());
    remote.verify(&payment(B256::ZERO), &offer(&market.service("1", PRICE))).await.unwrap();
    let exact = World::new(Mining::Instant).payer(1).pay(1);
    remote.verify(&exact, &crate::world::offer()).await.unwrap();
    assert_eq!(*patience.0.lock().unwrap(), [Duration::from_secs(60), Duration::from_secs(10)]);
}
