//! Purchases that were left open, taken up without knowing what was asked for.

use std::sync::Arc;

use groat_buyer::{Bought, BuyError, Client, Ending, Resumed};
use groat_core::books::PurchaseState;
use groat_store::MemoryStore;
use reqwest::{Method, Request};

use crate::crash::Dying;
use crate::kit::{Act, Counting, Owner, Seller};

/// The one purchase that was open.
async fn only(client: &Client) -> Resumed {
    let mut all = client.resume().await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

async fn answer(client: &Client) -> Bought {
    match only(client).await.ending {
        Ending::Bought(bought) => *bought,
        other => panic!("{other:?}"),
    }
}

async fn nothing_is_open(client: &Client) {
    let all = client.resume().await.unwrap();
    assert!(all.is_empty(), "{all:?}");
}

#[tokio::test]
async fn kp18_an_answer_that_was_bought_is_asked_for_until_it_has_arrived() {
    let (seller, signer) = (Seller::start().await, Counting::new());
    seller.acts([Act::Status(500)]);
    let owner = Owner { signer: signer.clone(), ..Owner::new() };
    owner.client().get(&seller.url).await.unwrap_err();

    // Whoever resumes dies with the answer in hand, and the next one gets it again.
    let lost = answer(&owner.client()).await;
    assert!(lost.payment.as_ref().unwrap().resent);
    assert_eq!(lost.response.text().await.unwrap(), "the thing");
    let client = owner.client();
    let mut bought = answer(&client).await;
    client.received(&mut bought).await;
    assert_eq!(bought.response.text().await.unwrap(), "the thing");
    nothing_is_open(&client).await;
    assert_eq!((signer.count(), seller.payments().len(), seller.signed()), (1, 3, 1));
    assert!(matches!(client.purchases().await.unwrap()[0].state, PurchaseState::Bought { .. }));
    // To ask again is another wish.
    assert!(!client.get(&seller.url).await.unwrap().payment.unwrap().resent);
    assert_eq!((signer.count(), seller.signed()), (2, 2));
}

#[tokio::test]
async fn an_answer_that_a_resumption_lost_belongs_to_the_same_command_too() {
    let (seller, signer) = (Seller::start().await, Counting::new());
    seller.acts([Act::Status(500)]);
    let owner = Owner { signer: signer.clone(), ..Owner::new() };
    owner.client().get(&seller.url).await.unwrap_err();
    drop(answer(&owner.client()).await);
    assert!(owner.client().get(&seller.url).await.unwrap().payment.unwrap().resent);
    assert_eq!((signer.count(), seller.signed()), (1, 1));
}

#[tokio::test]
async fn what_was_asked_for_with_header_fields_or_a_body_is_not_asked_for_without() {
    let seller = Seller::start().await;
    let with_field = || {
        let mut request = Request::new(Method::POST, seller.url.parse().unwrap());
        request.headers_mut().insert("x-api-key", "a secret".parse().unwrap());
        request
    };
    let with_body = || {
        let mut request = Request::new(Method::POST, seller.url.parse().unwrap());
        *request.body_mut() = Some("a secret".into());
        request
    };
    let requests: [(&str, &dyn Fn() -> Request); 2] =
        [("header fields", &with_field), ("a body", &with_body)];
    for (count, (what, request)) in (1..).zip(requests) {
        seller.acts([Act::Status(500)]);
        let owner = Owner::new();
        let client = owner.client();
        client.execute(request()).await.unwrap_err();
        let sent = seller.payments().len();
        match only(&client).await.ending {
            Ending::Failed(BuyError::Fault(text)) => {
                assert!(text.contains(what) && text.contains("repeat the same command"), "{text}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(seller.payments().len(), sent, "{what}");
        let kept = format!("{:?}", client.purchases().await.unwrap());
        assert!(!kept.contains("a secret"), "{kept}");
        assert!(client.execute(request()).await.unwrap().payment.unwrap().resent);
        assert_eq!(seller.signed(), count, "{what}");
    }
}

#[tokio::test]
async fn a_refused_payment_is_shown_once_more_when_it_is_dead_and_then_no_more() {
    let seller = Seller::start().await;
    let owner = Owner::new();
    let client = owner.client();
    seller.acts([0; 5].map(|_| Act::Status(402)));
    client.get(&seller.url).await.unwrap_err();
    // It may still be taken, so it is not given up.
    for _ in 0..2 {
        assert!(matches!(only(&client).await.ending, Ending::Failed(BuyError::Refused { .. })));
    }
    owner.later(121);
    assert!(matches!(only(&client).await.ending, Ending::Failed(BuyError::Refused { .. })));
    nothing_is_open(&client).await;
    assert_eq!((seller.payments().len(), seller.signed()), (4, 1));
    assert_eq!(client.spent_today().await.unwrap().total_usd_micros, 10_000, "nobody has proved it unpaid");
}

#[tokio::test]
async fn a_dead_payment_buys_its_answer_while_sellers_keep_that_and_is_closed_later() {
    for (later_s, bought) in [(121, true), (86_400, true), (90_000, false)] {
        let seller = Seller::start().await;
        seller.acts([Act::Status(500)]);
        let owner = Owner::new();
        let client = owner.client();
        client.get(&seller.url).await.unwrap_err();
        owner.later(later_s);
        match only(&client).await.ending {
            Ending::Bought(mut answer) if bought => client.received(&mut answer).await,
            Ending::Closed(why) if !bought => assert!(why.contains("counts as paid"), "{why}"),
            other => panic!("{later_s}: {other:?}"),
        }
        nothing_is_open(&client).await;
        assert_eq!(seller.payments().len(), 1 + usize::from(bought));
    }
}

#[tokio::test]
async fn kp17_what_was_never_sent_is_closed_unpaid_when_it_is_dead() {
    let (seller, inner) = (Seller::start().await, MemoryStore::default());
    let dying = Dying { inner: inner.clone(), state: "sent", written: false };
    let owner = Owner::on(Arc::new(dying));
    owner.client().get(&seller.url).await.unwrap_err();
    inner.set_down(false);
    let owner = Owner { store: Arc::new(inner), ..owner };
    owner.later(121);
    let client = owner.client();
    match only(&client).await.ending {
        Ending::Closed(why) => assert!(why.contains("never sent"), "{why}"),
        other => panic!("{other:?}"),
    }
    nothing_is_open(&client).await;
    assert_eq!(seller.payments().len(), 0);
    assert_eq!(client.spent_today().await.unwrap().total_usd_micros, 0);
}
