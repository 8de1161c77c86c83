//! Who is asked, who is paid, and who learns what, when a seller sends the client elsewhere.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use groat_buyer::BuyError;
use groat_core::policy::{Denial, Policy};
use groat_wire::PAYMENT_HEADERS;
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Method;

use crate::kit::{Act, Owner, Seller, denials};

/// A server that gives one answer, and keeps the header fields it was sent.
struct Front {
    url: String,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Front {
    async fn start(status: u16, location: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/front", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
        let (kept, location) = (Arc::clone(&seen), HeaderValue::from_str(location).unwrap());
        let app = Router::new().fallback(move |request: Request| {
            kept.lock().unwrap().push(request.headers().clone());
            let mut response = Response::new(axum::body::Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert(LOCATION, location.clone());
            async move { response }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<HeaderMap> {
        self.seen.lock().unwrap().clone()
    }
}

fn host(url: &str) -> String {
    url.split('/').nth(2).unwrap().to_owned()
}

#[tokio::test]
async fn y04_an_unpaid_get_follows_and_the_payment_is_for_where_it_arrived() {
    for status in [301, 302, 303, 307, 308] {
        let (seller, owner) = (Seller::start().await, Owner::new());
        let front = Front::start(status, &seller.url).await;
        let client = owner.client();
        let bought = client.get(&front.url).await.unwrap();
        assert!(bought.payment.unwrap().receipt.unwrap().is_settled());
        let purchases = client.purchases().await.unwrap();
        assert_eq!(purchases.len(), 1);
        assert_eq!(purchases[0].title, format!("GET {}", seller.url));
        assert_eq!(purchases[0].host, host(&seller.url));
        assert_eq!((seller.payments().len(), front.seen().len()), (1, 1));
    }
}

#[tokio::test]
async fn y13_a_payment_lost_behind_a_redirect_is_found_again() {
    let (seller, owner) = (Seller::start().await, Owner::new());
    let front = Front::start(307, &seller.url).await;
    seller.acts([Act::Status(500)]);
    owner.client().get(&front.url).await.unwrap_err();
    assert!(owner.client().get(&front.url).await.unwrap().payment.unwrap().resent);
    assert_eq!((seller.payments().len(), seller.signed()), (2, 1));
    // The payment never went to whoever only showed the way.
    assert!(front.seen().iter().all(|seen| PAYMENT_HEADERS.iter().all(|name| !seen.contains_key(*name))));
}

#[tokio::test]
async fn y04_the_policy_is_asked_about_the_host_that_would_be_paid() {
    let seller = Seller::start().await;
    let front = Front::start(302, &seller.url).await;
    let policy = Policy { hosts: vec![host(&front.url)], ..Policy::default() };
    let owner = Owner { policy, ..Owner::new() };
    let denied = denials(owner.client().get(&front.url).await.unwrap_err());
    assert_eq!(denied, [Denial::Host(host(&seller.url))]);
    assert_eq!(seller.payments().len(), 0);
}

#[tokio::test]
async fn y04_a_payment_sent_elsewhere_is_still_the_one_payment() {
    let (seller, elsewhere, owner) = (Seller::start().await, Seller::start().await, Owner::new());
    seller.acts([Act::Redirect(elsewhere.url.clone())]);
    owner.client().get(&seller.url).await.unwrap_err();
    assert!(owner.client().get(&seller.url).await.unwrap().payment.unwrap().resent);
    assert_eq!((seller.payments().len(), seller.signed(), elsewhere.payments().len()), (2, 1, 0));
}

#[tokio::test]
async fn a_redirect_to_another_origin_takes_no_secrets_along() {
    let end = Front::start(204, "/").await;
    let other = Front::start(307, &end.url).await;
    let inner = Front::start(307, "/front").await;
    let request = |url: &str| {
        let mut request = reqwest::Request::new(Method::GET, url.parse().unwrap());
        for (name, value) in [(AUTHORIZATION, "Bearer secret"), (COOKIE, "session=secret"), (ACCEPT, "a/b")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request.headers_mut().insert("x-api-key", "secret".parse().unwrap());
        request
    };
    let answer = Owner::new().client().execute(request(&other.url)).await.unwrap();
    assert_eq!(answer.response.status(), 204);
    let seen = end.seen().remove(0);
    assert!(!format!("{seen:?}").contains("secret"), "{seen:?}");
    assert_eq!(seen[ACCEPT], "a/b");
    // At the same origin they belong; and whoever redirects to itself is not followed for ever.
    let endless = Owner::new().client().execute(request(&inner.url)).await.unwrap_err();
    assert!(matches!(endless, BuyError::Fault(_)), "{endless:?}");
    assert_eq!(inner.seen().len(), 6);
    assert!(inner.seen().iter().all(|seen| seen[AUTHORIZATION] == "Bearer secret"));
}

#[tokio::test]
async fn a_post_is_not_repeated_elsewhere() {
    let seller = Seller::start().await;
    let front = Front::start(307, &seller.url).await;
    let answer = Owner::new().client().post(&front.url, "order").await.unwrap();
    assert_eq!((answer.response.status().as_u16(), answer.payment.is_none()), (307, true));
    assert_eq!(seller.payments().len(), 0);
}

#[tokio::test]
async fn y16_a_redirect_that_leaves_the_web_is_not_followed() {
    for target in ["file:///etc/passwd", "ftp://127.0.0.1/", "data:text/plain,x"] {
        let front = Front::start(302, target).await;
        let refused = Owner::new().client().get(&front.url).await.unwrap_err();
        assert!(matches!(refused, BuyError::Fault(_)), "{target}: {refused:?}");
    }
}

#[tokio::test]
async fn k08_credentials_in_a_url_are_refused_before_they_are_written_down() {
    let (seller, owner) = (Seller::start().await, Owner::new());
    let url = seller.url.replace("http://", "http://me:hunter2@");
    let refused = owner.client().get(&url).await.unwrap_err();
    assert!(matches!(refused, BuyError::Fault(_)), "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused}");
    assert_eq!(owner.client().purchases().await.unwrap(), []);
    assert_eq!(seller.payments().len(), 0);
}

#[tokio::test]
async fn y23_a_redirect_cannot_put_another_name_into_the_title() {
    let (seller, owner) = (Seller::start().await, Owner::new());
    let disguised = seller.url.replace("http://", "http://api.bank.example@");
    let front = Front::start(302, &disguised).await;
    let client = owner.client();
    client.get(&front.url).await.unwrap();
    assert_eq!(client.purchases().await.unwrap()[0].title, format!("GET {}", seller.url));
}
