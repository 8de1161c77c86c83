//! One wish, one payment, whatever the seller or the network does.

use std::sync::Arc;

use groat_buyer::BuyError;
use groat_core::Reason;
use groat_core::payment::ReceiptOutcome;
use groat_wire::{Dialects, x402_v1, x402_v2};

use crate::kit::{Act, Owner, Seller};

#[tokio::test]
async fn a_thing_is_paid_once_in_either_generation() {
    for (dialects, name) in [
        (Dialects::new(vec![Arc::new(x402_v2::V2)]), "x402-v2"),
        (Dialects::new(vec![Arc::new(x402_v1::V1::default())]), "x402-v1"),
        (Dialects::standard(), "x402-v2"),
    ] {
        let seller = Seller::speaking(dialects).await;
        let bought = Owner::new().client().get(&seller.url).await.unwrap();
        let payment = bought.payment.unwrap();
        assert_eq!((bought.response.status().as_u16(), payment.dialect.as_str()), (200, name));
        assert!(payment.receipt.unwrap().is_settled() && !payment.resent);
        assert_eq!(bought.response.text().await.unwrap(), "the thing");
        assert_eq!(seller.payments().len(), 1);
    }
}

#[tokio::test]
async fn y13_while_the_outcome_is_unknown_the_same_bytes_are_sent_again() {
    let seller = Seller::start().await;
    let pending = || Act::Receipt(503, ReceiptOutcome::Pending);
    seller.acts([Act::Hang, pending(), Act::Status(503), Act::Status(409)]);
    let mut owner = Owner::new();
    owner.options.patience = std::time::Duration::from_secs(20);
    let bought = owner.client().get(&seller.url).await.unwrap();
    assert_eq!(bought.response.status(), 200);
    assert_eq!((seller.payments().len(), seller.signed()), (5, 1));
}

#[tokio::test]
async fn kp18_what_was_signed_and_never_answered_is_sent_by_the_next_process() {
    for act in [Act::Hang, Act::Status(500), Act::Receipt(503, ReceiptOutcome::Pending)] {
        let seller = Seller::start().await;
        seller.acts(std::iter::repeat_n(act.clone(), 64));
        let owner = Owner::new();
        let lost = owner.client().get(&seller.url).await.unwrap_err();
        assert!(matches!(lost, BuyError::Pending { .. }), "{act:?}: {lost:?}");
        let sent = seller.payments().len();
        seller.recovers();
        let bought = owner.client().get(&seller.url).await.unwrap();
        assert!(bought.payment.unwrap().resent, "{act:?}");
        assert_eq!((seller.payments().len(), seller.signed()), (sent + 1, 1), "{act:?}");
    }
}

#[tokio::test]
async fn y12_y17_the_sellers_no_releases_nothing_until_the_payment_is_dead() {
    let seller = Seller::start().await;
    let owner = Owner::new();
    seller.acts([Act::Receipt(402, ReceiptOutcome::Failed(Reason::InsufficientBalance)), Act::Status(402)]);
    for _ in 0..2 {
        let refused = owner.client().get(&seller.url).await.unwrap_err();
        let BuyError::Refused { retry_after_s, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!(*retry_after_s, 120, "{refused}");
    }
    assert_eq!((seller.payments().len(), seller.signed()), (2, 1));
    // Dead: a new one may be signed.
    owner.later(121);
    owner.client().get(&seller.url).await.unwrap();
    assert_eq!(seller.signed(), 2);
}

#[tokio::test]
async fn a_second_purchase_is_a_second_payment_and_another_body_another_wish() {
    let (seller, owner) = (Seller::start().await, Owner::new());
    let client = owner.client();
    client.get(&seller.url).await.unwrap();
    client.get(&seller.url).await.unwrap();
    assert_eq!(seller.signed(), 2);
    seller.acts([Act::Status(500)]);
    client.post(&seller.url, "one coffee").await.unwrap_err();
    let other = client.post(&seller.url, "two coffees").await.unwrap();
    assert!(!other.payment.unwrap().resent);
    let lost = client.post(&seller.url, "one coffee").await.unwrap();
    assert!(lost.payment.unwrap().resent);
    assert_eq!(seller.signed(), 4);
}

#[tokio::test]
async fn what_costs_nothing_is_not_paid() {
    let seller = Seller::start().await;
    seller.challenge.lock().unwrap().offers.clear();
    let refused = Owner::new().client().get(&seller.url).await.unwrap_err();
    assert!(matches!(refused, BuyError::NoOffer(_)), "{refused:?}");
    assert_eq!(seller.payments().len(), 0);
}
