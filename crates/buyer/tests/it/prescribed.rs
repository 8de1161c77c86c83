//! A seller's challenge may say which number a payment carries and when it ends.

use std::sync::Arc;

use groat_core::payment::DialectId;
use groat_core::{Challenge, Offer, Payment, Reason, Receipt, Timestamp};
use groat_wire::x402_v2::V2;
use groat_wire::{ChallengeParts, Dialect, Dialects, Prescribed, WireError};
use http::HeaderMap;

use crate::kit::{NOW, Owner, Seller};

/// Version 2, and what every challenge of it prescribes.
struct Prescribing(Prescribed);

impl Dialect for Prescribing {
    fn id(&self) -> DialectId {
        V2.id()
    }

    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts) {
        V2.write_challenge(challenge, out);
    }

    fn read_challenge(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<Challenge>, WireError> {
        V2.read_challenge(headers, body)
    }

    fn prescribe(&self, _challenge: &Challenge, _offer: &Offer) -> Prescribed {
        self.0
    }

    fn accept(&self, payment: Payment, challenge: &Challenge, offer: &Offer) -> Payment {
        V2.accept(payment, challenge, offer)
    }

    /// One that shares its field with what the caller says there.
    fn write_payment(&self, payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError> {
        if headers.contains_key("authorization") {
            let problem = "the request says something else there".to_owned();
            return Err(WireError::Malformed { place: "authorization", problem });
        }
        V2.write_payment(payment, headers)
    }

    fn read_payment(&self, headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        V2.read_payment(headers)
    }

    fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        V2.choose(payment, challenge)
    }

    fn write_receipt(&self, receipt: &Receipt, headers: &mut HeaderMap) {
        V2.write_receipt(receipt, headers);
    }

    fn read_receipt(&self, headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        V2.read_receipt(headers)
    }
}

fn client(owner: &Owner, prescribed: Prescribed) -> groat_buyer::Client {
    let dialects = Dialects::new(vec![Arc::new(Prescribing(prescribed))]);
    groat_buyer::Client::new(groat_buyer::Buyer { dialects, ..owner.buyer() }).unwrap()
}

fn signed(payment: &str) -> serde_json::Value {
    let mut headers = HeaderMap::new();
    headers.insert("payment-signature", payment.parse().unwrap());
    V2.read_payment(&headers).unwrap().unwrap().proof["authorization"].clone()
}

#[tokio::test]
async fn a_payment_carries_the_number_and_the_end_that_its_challenge_prescribes() {
    let seller = Seller::start().await;
    let prescribed = Prescribed { nonce: Some([7; 32]), expires_at: Some(Timestamp(NOW + 9)) };
    client(&Owner::new(), prescribed).get(&seller.url).await.unwrap();
    let signed = signed(&seller.payments()[0]);
    assert_eq!(signed["nonce"], format!("0x{}", "07".repeat(32)));
    assert_eq!(signed["validBefore"], (NOW + 9).to_string());
}

#[tokio::test]
async fn an_end_that_lies_far_ahead_prolongs_nothing() {
    let seller = Seller::start().await;
    let prescribed = Prescribed { nonce: None, expires_at: Some(Timestamp(NOW + 1_000_000)) };
    client(&Owner::new(), prescribed).get(&seller.url).await.unwrap();
    let with_end = signed(&seller.payments()[0]);
    client(&Owner::new(), Prescribed::default()).get(&seller.url).await.unwrap();
    assert_eq!(with_end["validBefore"], signed(&seller.payments()[1])["validBefore"]);
}

#[tokio::test]
async fn nothing_is_signed_for_a_challenge_that_has_expired() {
    let seller = Seller::start().await;
    let owner = Owner::new();
    let over = Prescribed { nonce: None, expires_at: Some(Timestamp(NOW)) };
    let error = client(&owner, over).get(&seller.url).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    // The place in the budget is given back: the next call pays.
    client(&owner, Prescribed::default()).get(&seller.url).await.unwrap();
    assert_eq!(seller.payments().len(), 1);
}

#[tokio::test]
async fn nothing_is_kept_of_a_payment_that_this_request_cannot_carry() {
    let seller = Seller::start().await;
    let owner = Owner::new();
    let client = client(&owner, Prescribed::default());
    let mut request = reqwest::Request::new(reqwest::Method::GET, seller.url.parse().unwrap());
    request.headers_mut().insert("authorization", "Bearer mine".parse().unwrap());
    client.execute(request).await.unwrap_err();
    assert!(seller.payments().is_empty());
    client.get(&seller.url).await.unwrap();
    assert_eq!(seller.payments().len(), 1);
}
