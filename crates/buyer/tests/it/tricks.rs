//! Tricks of sellers against one wish, one payment, and against names.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use groat_buyer::{BuyError, Client};
use groat_core::payment::ReceiptOutcome;
use groat_core::policy::{Denial, Policy};
use groat_core::{Amount, Reason};
use groat_store::MemoryStore;
use reqwest::{Method, Request};

use crate::kit::{Act, Counting, Owner, Seller, denials, offer};

/// A server that answers the nth connection with the nth text.
fn server(answer: impl Fn(usize) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer(n).as_bytes());
        }
    });
    url
}

fn found(target: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// The server's URL under a name that is not of this machine, and a client that finds it there.
fn abroad(owner: &Owner, url: &str) -> (String, Client) {
    let address = url.split('/').nth(2).unwrap().parse::<std::net::SocketAddr>().unwrap();
    let http = reqwest::Client::builder().resolve("shop.example", address).resolve("shop.example.", address);
    let client = Client::with_http(http, owner.buyer()).unwrap();
    (url.replacen("127.0.0.1", "shop.example", 1), client)
}

#[tokio::test]
async fn y12_a_seller_that_leads_to_a_new_address_each_time_gets_no_second_payment() {
    let (seller, signer) = (Seller::start().await, Counting::new());
    let owner = Owner { signer: signer.clone(), ..Owner::new() };
    let thing = seller.url.clone();
    let door = server(move |n| found(&format!("{thing}?{n}")));
    seller.acts([Act::Status(500)]);
    owner.client().get(&door).await.unwrap_err();
    for _ in 0..3 {
        let failed = owner.client().get(&door).await.unwrap_err();
        let BuyError::Pending { retry_after_s, .. } = failed else { panic!("{failed:?}") };
        assert_eq!(retry_after_s, 120);
    }
    assert_eq!((signer.count(), seller.payments().len()), (1, 1));
    // Dead: a new one may be signed.
    owner.later(121);
    assert!(!owner.client().get(&door).await.unwrap().payment.unwrap().resent);
    assert_eq!(signer.count(), 2);
}

#[tokio::test]
async fn y04_a_body_goes_nowhere_but_where_it_was_sent() {
    let seller = Seller::start().await;
    let thing = seller.url.clone();
    let door = server(move |_| found(&thing));
    for method in [Method::GET, Method::POST, Method::PUT] {
        let mut request = Request::new(method, door.parse().unwrap());
        *request.body_mut() = Some("for the door only".into());
        let answer = Owner::new().client().execute(request).await.unwrap();
        assert_eq!((answer.response.status().as_u16(), answer.payment.is_none()), (302, true));
    }
}

#[tokio::test]
async fn y16_a_redirect_from_outside_does_not_lead_inside() {
    for inside in [
        "http://127.0.0.1:1/",
        "http://localhost.:1/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::ffff:0.0.0.0]/",
        "http://169.254.169.254/",
        "http://100.100.100.200/",
        "http://0.1.2.3/",
    ] {
        let mut owner = Owner::new();
        owner.policy.plain_http = true;
        let (url, client) = abroad(&owner, &server(move |_| found(inside)));
        let failed = client.get(&url).await.unwrap_err();
        assert!(failed.to_string().contains("does not follow"), "{inside}: {failed}");
    }
}

#[tokio::test]
async fn y05_a_host_that_is_denied_is_denied_in_every_spelling() {
    let (seller, signer) = (Seller::start().await, Counting::new());
    let policy = Policy { plain_http: true, hosts_denied: vec!["shop.example".into()], ..Policy::default() };
    let (url, client) = abroad(&Owner { signer: signer.clone(), policy, ..Owner::new() }, &seller.url);
    seller.challenge.lock().unwrap().resource.url = "https://resource.invalid/".into();
    for spelling in [url.clone(), url.replace("shop", "SHOP"), url.replace("example:", "example.:")] {
        let denied = denials(client.get(&spelling).await.unwrap_err());
        assert!(matches!(denied[..], [Denial::Host(_)]), "{spelling}: {denied:?}");
    }
    assert_eq!(signer.count(), 0);
}

#[tokio::test]
async fn y02_fifty_things_that_never_come_end_at_the_budget() {
    let (seller, signer) = (Seller::start().await, Counting::new());
    seller.acts(std::iter::repeat_n(Act::Status(402), 64));
    let policy = Policy { day_usd_micros_max: 100_000, ..Policy::default() };
    let client = Owner { signer: signer.clone(), policy, ..Owner::new() }.client();
    for n in 0..50 {
        client.get(&format!("{}?{n}", seller.url)).await.unwrap_err();
    }
    assert_eq!((signer.count(), seller.payments().len()), (10, 10));
}

#[tokio::test]
async fn y12_whatever_a_seller_says_without_serving_the_payment_stays_outstanding() {
    for status in [302, 400, 401, 403, 404, 410, 500, 501] {
        let (seller, signer) = (Seller::start().await, Counting::new());
        let client = Owner { signer: signer.clone(), ..Owner::new() }.client();
        seller.acts([Act::Status(status)]);
        client.get(&seller.url).await.unwrap_err();
        assert!(client.purchases().await.unwrap()[0].outstanding().is_some(), "{status}");
        assert_eq!(client.spent_today().await.unwrap().total_usd_micros, 10_000, "{status}");
        assert!(client.get(&seller.url).await.unwrap().payment.unwrap().resent, "{status}");
        assert_eq!((signer.count(), seller.signed()), (1, 1), "{status}");
    }
}

#[tokio::test]
async fn y17_a_receipt_is_believed_only_where_that_costs_nothing() {
    let failed = || ReceiptOutcome::Failed(Reason::InsufficientBalance);
    for (status, outcome, is_bought) in [
        // Served: whatever the receipt says, the money counts as spent.
        (200, failed(), true),
        (200, ReceiptOutcome::Settled, true),
        // Paid for an answer that is an error.
        (404, ReceiptOutcome::Settled, true),
        (500, ReceiptOutcome::Settled, true),
        // Whoever asks again has not served.
        (402, ReceiptOutcome::Settled, false),
        (402, failed(), false),
        (500, failed(), false),
    ] {
        let (seller, owner) = (Seller::start().await, Owner::new());
        seller.acts([Act::Receipt(status, outcome.clone())]);
        let answer = owner.client().get(&seller.url).await;
        assert_eq!(answer.is_ok(), is_bought, "{status} {outcome:?}: {answer:?}");
        let spent = owner.client().spent_today().await.unwrap();
        assert_eq!(spent.total_usd_micros, 10_000, "{status} {outcome:?}");
    }
}

#[tokio::test]
async fn y06_an_address_in_prose_is_not_paid() {
    let prose = "To go on, pay 5 USDC to 0x70997970C51812dc3A010C7d01b50e0d17dc79C8.";
    let head = format!("HTTP/1.1 402 Payment Required\r\ncontent-length: {}\r\n\r\n", prose.len());
    let bought = Owner::new().client().get(&server(move |_| format!("{head}{prose}"))).await.unwrap();
    assert_eq!((bought.response.status().as_u16(), bought.payment.is_none()), (402, true));
}

#[tokio::test]
async fn y22_without_a_book_nothing_is_signed() {
    let (seller, store, signer) = (Seller::start().await, MemoryStore::default(), Counting::new());
    let client = Owner { signer: signer.clone(), ..Owner::on(Arc::new(store.clone())) }.client();
    store.set_down(true);
    assert!(matches!(client.get(&seller.url).await, Err(BuyError::Fault(_))));
    assert_eq!((signer.count(), seller.payments().len()), (0, 0));
}

#[tokio::test]
async fn a_new_payment_on_demand_leaves_the_old_one_counted() {
    let (seller, mut owner) = (Seller::start().await, Owner::new());
    seller.acts([Act::Status(500)]);
    owner.client().get(&seller.url).await.unwrap_err();
    owner.options.again = true;
    let client = owner.client();
    assert!(!client.get(&seller.url).await.unwrap().payment.unwrap().resent);
    assert_eq!((seller.signed(), client.spent_today().await.unwrap().total_usd_micros), (2, 20_000));
    let outstanding = client.purchases().await.unwrap();
    assert_eq!(outstanding.iter().filter(|purchase| purchase.outstanding().is_some()).count(), 1);
}

#[tokio::test]
async fn y09_the_cheapest_offer_is_paid_wherever_it_stands() {
    for cents in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let seller = Seller::start().await;
        let offers = cents.map(|cents| offer(&format!("$0.0{cents}"))).to_vec();
        seller.challenge.lock().unwrap().offers = offers;
        let client = Owner::new().client();
        let paid = client.get(&seller.url).await.unwrap().payment.unwrap();
        assert_eq!(paid.offer.amount, Amount::from_units(10_000), "{cents:?}");
        assert_eq!(client.spent_today().await.unwrap().total_usd_micros, 10_000);
    }
}
