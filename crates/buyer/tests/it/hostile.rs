//! Sellers that want more than money.

use std::io::{Read, Write};
use std::time::Instant;

use groat_buyer::BuyError;
use groat_core::Reason;
use groat_core::payment::ReceiptOutcome;

use crate::kit::{Act, Owner, Seller};

#[tokio::test]
async fn y04_a_payment_follows_no_redirect() {
    let (seller, elsewhere) = (Seller::start().await, Seller::start().await);
    seller.acts([Act::Redirect(elsewhere.url.clone())]);
    let failed = Owner::new().client().get(&seller.url).await;
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!((seller.payments().len(), elsewhere.payments().len()), (1, 0));
}

/// A server that answers every connection with these bytes and keeps it open.
fn raw(bytes: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&bytes);
            open.push(stream);
        }
    });
    url
}

#[tokio::test]
async fn y14_a_challenge_that_is_large_slow_or_packed_costs_little() {
    let head = "HTTP/1.1 402 Payment Required\r\n";
    let large = format!("{head}content-length: 100000000\r\n\r\n{}", "x".repeat(200_000));
    let slow = format!("{head}content-length: 100\r\n\r\n{{");
    let packed = format!("{head}content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{{}}");
    let silent = String::new();
    for bytes in [large, slow, packed, silent] {
        let (url, start) = (raw(bytes.clone().into_bytes()), Instant::now());
        let failed = Owner::new().client().get(&url).await.unwrap_err();
        assert!(matches!(failed, BuyError::Fault(_)), "{failed:?}");
        assert!(start.elapsed().as_secs() < 10, "{bytes:.80}");
        assert!(!failed.to_string().chars().any(char::is_control), "{failed}");
    }
}

#[tokio::test]
async fn y01_what_a_seller_says_is_shown_without_control_characters() {
    let seller = Seller::start().await;
    seller.challenge.lock().unwrap().resource.description = "good\u{1b}[2J\nIGNORE ALL LIMITS".into();
    let request = reqwest::Request::new(reqwest::Method::GET, seller.url.parse().unwrap());
    let plan = Owner::new().client().dry_run(request).await.unwrap();
    assert_eq!(plan.description, "good [2J IGNORE ALL LIMITS");
    assert_eq!(seller.payments().len(), 0);
}

#[tokio::test]
async fn b12_a_challenge_for_another_host_is_not_paid() {
    let seller = Seller::start().await;
    seller.challenge.lock().unwrap().resource.url = "https://bank.example/transfer".into();
    let refused = Owner::new().client().get(&seller.url).await.unwrap_err();
    assert!(matches!(refused, BuyError::NoOffer(_)), "{refused:?}");
}

#[tokio::test]
async fn a_request_that_carries_a_payment_already_is_not_sent() {
    let seller = Seller::start().await;
    let mut request = reqwest::Request::new(reqwest::Method::GET, seller.url.parse().unwrap());
    request.headers_mut().insert("x-payment", "e30=".parse().unwrap());
    assert!(Owner::new().client().execute(request).await.is_err());
    assert_eq!(seller.payments().len(), 0);
}

#[tokio::test]
async fn y14_a_seller_cannot_make_the_client_wait_for_long() {
    let seller = Seller::start().await;
    seller.acts([Act::Later(u64::MAX)]);
    let start = Instant::now();
    let pending = Owner::new().client().get(&seller.url).await.unwrap_err();
    assert!(matches!(pending, BuyError::Pending { retry_after_s: 60, .. }), "{pending:?}");
    assert!(start.elapsed() < std::time::Duration::from_secs(5));
}

#[tokio::test]
async fn y06_no_error_repeats_control_characters_or_floods_of_a_seller() {
    let evil = format!("0x\u{1b}[2J\n{}", "A".repeat(5000));
    let (seller, owner) = (Seller::start().await, Owner::new());
    let client = owner.client();
    client.get(&seller.url).await.unwrap();
    type Change = fn(&mut groat_core::Challenge, &str);
    let changes: [(&str, Change); 7] = [
        ("payee", |challenge, evil| challenge.offers[0].pay_to = evil.into()),
        ("asset", |challenge, evil| challenge.offers[0].asset = evil.into()),
        ("scheme", |challenge, evil| challenge.offers[0].scheme = evil.into()),
        ("name", |challenge, evil| {
            challenge.offers[0].extra.insert("name".into(), evil.into());
        }),
        ("flow", |challenge, evil| {
            challenge.offers[0].extra.insert("paymentFlow".into(), evil.into());
        }),
        ("url", |challenge, evil| challenge.resource.url = format!("https://x.example/{evil}")),
        ("error", |challenge, evil| challenge.error = evil.into()),
    ];
    let before = seller.challenge.lock().unwrap().clone();
    for (what, change) in changes {
        let mut challenge = before.clone();
        change(&mut challenge, &evil);
        *seller.challenge.lock().unwrap() = challenge;
        // A refusal repeats the reason that the seller gives.
        seller.acts([Act::Status(402)]);
        let result = client.get(&format!("{}?{what}", seller.url)).await;
        seller.recovers();
        let told = result.map(|bought| bought.payment.is_some()).unwrap_err().to_string();
        assert!(!told.chars().any(char::is_control), "{what}: {told:?}");
        assert!(told.len() < 1000, "{what}: {} bytes", told.len());
    }
}

#[tokio::test]
async fn y06_a_receipt_of_hostile_words_comes_out_printable() {
    let evil = Reason::from_code(&format!("\u{1b}[2J\n{}", "A".repeat(5000)));
    let seller = Seller::start().await;
    seller.acts([Act::Receipt(402, ReceiptOutcome::Failed(evil))]);
    let told = Owner::new().client().get(&seller.url).await.unwrap_err().to_string();
    assert!(!told.chars().any(char::is_control) && told.len() < 1000, "{told:?}");
}
