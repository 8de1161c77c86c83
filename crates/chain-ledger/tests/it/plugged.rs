//! A way to pay from outside: nothing in the crates knows vouchers, and passes are sold for them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use groat_core::books::{Mined, Settled};
use groat_core::key::KeyKind;
use groat_core::offer::{Ask, Currency};
use groat_core::payment::DialectId;
use groat_core::ports::{Mechanism, Observer, Seen, Token};
use groat_core::{
    Claim, Depth, Failure, Fault, Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp,
};
use groat_store::MemoryStore;
use http::StatusCode;
use serde_json::{Value, json};

use crate::kit::*;
use crate::service::{Ways, request, seller, send, terms};

/// Printed vouchers, each good for what it says.
struct Vouchers(Mutex<Vec<&'static str>>);

impl Mechanism for Vouchers {
    fn scheme(&self) -> &'static str {
        "Voucher"
    }

    fn speaks(&self, network: &Network) -> bool {
        network.as_str() == "paper:desk"
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        let Ask::Price(price) = &terms.price else { return Ok(None) };
        if terms.scheme != self.scheme() || !self.speaks(&terms.network) {
            return Ok(None);
        }
        Ok(Some(Offer {
            scheme: terms.scheme.clone(),
            network: terms.network.clone(),
            asset: "USD".into(),
            amount: price.to_units(2).map_err(|error| error.to_string())?,
            pay_to: terms.pay_to.clone(),
            timeout_s: terms.timeout_s,
            extra: [("permitType".to_owned(), json!("Voucher"))].into_iter().collect(),
            price: None,
            dialect: Some(DialectId::new("token")),
            currency: Some(Currency { symbol: "USD".into(), decimals: 2 }),
            verbatim: None,
        }))
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let number = payment.proof.get("number").and_then(Value::as_str).ok_or(Reason::InvalidPayload)?;
        Ok((PaymentKey::new(KeyKind::Order, &offer.network, &[number.as_bytes()]), Timestamp(u64::MAX)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        one == other
    }

    fn is_paid_before(&self) -> bool {
        true
    }

    fn token(&self, _network: &Network, _asset: &str) -> Option<Token> {
        None
    }
}

#[async_trait]
impl Observer for Vouchers {
    async fn ready(&self) -> Vec<Network> {
        vec![Network::parse("paper:desk").unwrap()]
    }

    async fn observe(&self, payment: &Payment, offer: &Offer, _now: Timestamp) -> Result<Seen, Failure> {
        let (key, valid_until) = self.key(payment, offer)?;
        let number = payment.proof["number"].as_str().unwrap_or_default();
        let is_known = self.0.lock().unwrap().contains(&number);
        if !is_known {
            return Err(Reason::InvalidSignature.into());
        }
        let claim = Claim {
            key,
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payer: "bearer".into(),
            pay_to: offer.pay_to.clone(),
            amount: offer.amount,
            valid_from: Timestamp(0),
            valid_until,
            alone: false,
            funds: None,
        };
        let settled =
            Settled { transaction: number.to_owned(), block: 0, block_hash: String::new(), by_other: true };
        Ok(Seen { claim, settled })
    }

    async fn depth(&self, _network: &Network, _mined: &Mined) -> Result<Depth, Fault> {
        Ok(Depth { confirmations: 1, safe: true, finalized: true })
    }
}

#[tokio::test]
async fn f080_a_method_from_outside_is_offered_described_and_paid() {
    let store = MemoryStore::default();
    let vouchers = Arc::new(Vouchers(Mutex::new(vec!["v-1"])));
    let ways = Ways {
        mechanisms: vec![vouchers.clone()],
        observers: vec![vouchers],
        terms: vec![terms("Voucher", "paper:desk")],
        ..Ways::default()
    };
    let (_, service, app, _) = seller(&store, &Hands::at(NOW), ways);
    let app = app.fallback_service(service);
    let asked = send(&app, request("GET", "/weather", &Value::Null)).await;
    let component = &asked.json()["payment_scheme"]["offchain_components"][0];
    assert_eq!((&component["permit_type"], &component["amount"]), (&json!("Voucher"), &json!("0.01")));
    assert!(asked.headers["payment-scheme"].to_str().unwrap().ends_with("/x402/schemes/Voucher"));
    let told = send(&app, request("GET", "/x402/schemes/Voucher", &Value::Null)).await.json();
    assert_eq!((&told["kind"], &told["networks"]), (&json!("offchain"), &json!(["paper:desk"])));
    let order = |number: &str| json!({ "permit": { "permit_type": "Voucher", "number": number } });
    let forged = send(&app, request("POST", "/token/GET/weather", &order("v-2"))).await;
    assert_eq!(forged.status, StatusCode::BAD_REQUEST, "{:?}", forged.json());
    let first = send(&app, request("POST", "/token/GET/weather", &order("v-1"))).await;
    assert_eq!(first.status, StatusCode::OK, "{:?}", first.json());
    let again = send(&app, request("POST", "/token/GET/weather", &order("v-1"))).await;
    assert_eq!(again.json()["access_token"], first.json()["access_token"]);
    let unknown = json!({ "permit": { "permit_type": "Cheque", "number": "1" } });
    let unknown = send(&app, request("POST", "/token/GET/weather", &unknown)).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "{:?}", unknown.json());
}
