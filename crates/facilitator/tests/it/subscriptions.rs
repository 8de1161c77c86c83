//! Subscribers of a service at a gate: a signed claim lets them in, and nobody else.

use alloy_primitives::Address;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use groat_core::{Network, Terms, Timestamp};
use groat_wire::Asked;
use groat_wire::agentxpay::access_lines;

use crate::axp_world::{Account, PLAN_S, Shop, URL, answer};
use crate::world::NOW;

/// What a claim says; changed by a test that lies.
struct Claim {
    method: &'static str,
    path: &'static str,
    body: &'static str,
    at: u64,
}

const CLAIM: Claim = Claim { method: "GET", path: "/weather", body: "", at: NOW };

impl Claim {
    fn signature(&self, by: Account) -> String {
        let url = format!("{URL}{}", self.path);
        let asked = Asked { method: self.method, url: &url, body: self.body.as_bytes() };
        by.sign_text(&access_lines(&Network::eip155(84532), &asked, Timestamp(self.at)))
    }

    fn request(&self, who: Address, by: Account) -> Request<Body> {
        let mut request = plain(self.method, self.body, who);
        request.headers_mut().insert("x-payment-signature", self.signature(by).parse().unwrap());
        request.headers_mut().insert("x-payment-timestamp", self.at.into());
        request
    }
}

fn plain(method: &str, body: &'static str, who: Address) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri("/weather")
        .header("x-subscription-address", who.to_string())
        .header("x-payment-serviceid", "1")
        .body(Body::from(body))
        .unwrap()
}

fn with_mode(shop: &Shop, mode: &str) -> Terms {
    let mut ask = shop.ask();
    ask.subscription = Some(mode.to_owned());
    ask.terms(Network::eip155(84532))
}

#[tokio::test]
async fn b19_a_signed_claim_of_a_subscriber_lets_a_request_in() {
    let shop = Shop::new();
    let app = shop.app(shop.terms());
    let ada = shop.ada;
    for _ in 0..2 {
        let (status, _, body) = answer(&app, CLAIM.request(ada.address(), ada)).await;
        assert_eq!((status, body), (StatusCode::OK, format!("true 0 {}", ada.address())));
    }
    let claim = Claim { method: "POST", body: "hello", ..CLAIM };
    let (status, ..) = answer(&app, claim.request(ada.address(), ada)).await;
    assert_eq!(status, StatusCode::OK);
    // As old as it may be.
    let claim = Claim { at: NOW - 60, ..CLAIM };
    let (status, ..) = answer(&app, claim.request(ada.address(), ada)).await;
    assert_eq!((status, shop.hits()), (StatusCode::OK, 4));
}

#[tokio::test]
async fn b19_a_claim_that_its_account_has_not_signed_for_this_request_lets_nobody_in() {
    let shop = Shop::new();
    let app = shop.app(shop.terms());
    let (ada, eve) = (shop.ada.address(), shop.eve);
    let mut other_body = Claim { method: "POST", body: "one", ..CLAIM }.request(ada, shop.ada);
    *other_body.body_mut() = Body::from("other");
    let mut other_method = CLAIM.request(ada, shop.ada);
    *other_method.method_mut() = axum::http::Method::DELETE;
    let mut other_time = CLAIM.request(ada, shop.ada);
    other_time.headers_mut().insert("x-payment-timestamp", (NOW + 1).into());
    let mut no_time = CLAIM.request(ada, shop.ada);
    no_time.headers_mut().remove("x-payment-timestamp");
    let mut noise = CLAIM.request(ada, shop.ada);
    noise.headers_mut().insert("x-payment-signature", "0xzz".parse().unwrap());
    for (what, request) in [
        ("no signature", plain("GET", "", ada)),
        ("another's", CLAIM.request(ada, eve)),
        ("for another path", Claim { path: "/news", ..CLAIM }.request(ada, shop.ada)),
        ("for another body", other_body),
        ("for another method", other_method),
        ("for another time", other_time),
        ("without a time", no_time),
        ("no hex", noise),
        ("too old", Claim { at: NOW - 61, ..CLAIM }.request(ada, shop.ada)),
        ("from the future", Claim { at: NOW + 11, ..CLAIM }.request(ada, shop.ada)),
    ] {
        let (status, error, body) = answer(&app, request).await;
        assert_eq!(
            (status, error.as_str()),
            (StatusCode::FORBIDDEN, "Subscription Not Proved"),
            "{what}: {body}"
        );
    }
    let (status, error, _) = answer(&app, CLAIM.request(eve.address(), eve)).await;
    assert_eq!((status, error.as_str()), (StatusCode::FORBIDDEN, "Subscription Inactive"));
    let mut elsewhere = CLAIM.request(ada, shop.ada);
    elsewhere.headers_mut().insert("x-payment-serviceid", "2".parse().unwrap());
    let (status, error, _) = answer(&app, elsewhere).await;
    assert_eq!((status, error.as_str()), (StatusCode::FORBIDDEN, "Subscription For Another Service"));
    let mut malformed = CLAIM.request(ada, shop.ada);
    malformed.headers_mut().insert("x-subscription-address", "ada".parse().unwrap());
    assert_eq!(answer(&app, malformed).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(shop.hits(), 0);
}

#[tokio::test]
async fn a_subscription_that_has_ended_lets_nobody_in() {
    let shop = Shop::new();
    shop.chain.increase_time(PLAN_S + 1);
    shop.chain.mine(1);
    let app = shop.app(shop.terms());
    let claim = Claim { at: NOW + PLAN_S + 1, ..CLAIM };
    let (status, error, _) = answer(&app, claim.request(shop.ada.address(), shop.ada)).await;
    assert_eq!((status, error.as_str()), (StatusCode::FORBIDDEN, "Subscription Inactive"));
    assert_eq!(shop.hits(), 0);
}

#[tokio::test]
async fn a_route_says_what_subscribers_show() {
    let shop = Shop::new();
    let ada = shop.ada.address();
    let unsigned = shop.app(with_mode(&shop, "unsigned"));
    assert_eq!(answer(&unsigned, plain("GET", "", ada)).await.0, StatusCode::OK);
    let stranger = answer(&unsigned, plain("GET", "", shop.eve.address())).await;
    assert_eq!((stranger.0, stranger.1.as_str()), (StatusCode::FORBIDDEN, "Subscription Inactive"));
    let off = shop.app(with_mode(&shop, "off"));
    let mut none = shop.ask();
    none.subscriptions = None;
    for app in [off, shop.app(none.terms(Network::eip155(84532)))] {
        let (status, error, _) = answer(&app, CLAIM.request(ada, shop.ada)).await;
        assert_eq!((status, error.as_str()), (StatusCode::FORBIDDEN, "Subscription Not Configured"));
    }
    assert_eq!(shop.hits(), 1);
}

#[tokio::test]
async fn a_chain_that_cannot_be_asked_is_no_refusal_and_its_answer_is_remembered_for_a_moment() {
    let shop = Shop::new();
    let app = shop.app(shop.terms());
    let ada = shop.ada;
    let fail = || shop.chain.faults(|faults| faults.fail_next.insert("eth_call".into(), (1, -32005)));
    fail();
    let (status, error, _) = answer(&app, CLAIM.request(ada.address(), ada)).await;
    assert_eq!((status, error.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "Subscription Unknown"));
    assert_eq!(answer(&app, CLAIM.request(ada.address(), ada)).await.0, StatusCode::OK);
    fail();
    assert_eq!(answer(&app, CLAIM.request(ada.address(), ada)).await.0, StatusCode::OK);
    // Another account was not asked about.
    let other = answer(&app, CLAIM.request(shop.eve.address(), shop.eve)).await;
    assert_eq!(other.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn h07_a_claim_counts_only_where_no_payment_is_shown_and_two_payments_are_none() {
    let shop = Shop::new();
    let app = shop.app(shop.terms());
    let ada = shop.ada;
    let mut beside = CLAIM.request(ada.address(), ada);
    beside.headers_mut().insert("x-payment-txhash", "0x12".parse().unwrap());
    assert_eq!(answer(&app, beside).await.0, StatusCode::BAD_REQUEST);
    let mut two = CLAIM.request(ada.address(), ada);
    let hash = format!("0x{}", "ab".repeat(32));
    two.headers_mut().insert("x-payment-txhash", hash.parse().unwrap());
    two.headers_mut().insert("x-payment", "e30=".parse().unwrap());
    let (status, error, _) = answer(&app, two).await;
    assert_eq!((status, error.as_str()), (StatusCode::BAD_REQUEST, "multiple_credentials"));
    assert_eq!(shop.hits(), 0);
}

#[tokio::test]
async fn a_seller_who_lets_subscribers_in_must_be_able_to_ask_who_they_are() {
    let shop = Shop::new();
    let pay = shop.builder().access(Vec::new()).build().unwrap();
    let wrong = pay.route().ask(shop.terms()).build().unwrap_err().to_string();
    assert!(wrong.contains("build with `.access(…)`"), "{wrong}");
}
