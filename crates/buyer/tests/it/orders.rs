//! Tokens that are bought at an endpoint of the seller's, and sellers who do odd things there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use groat_buyer::BuyError;
use serde_json::{Value, json};

use crate::kit::{Owner, PAY_TO};

const TOKEN: &str = "cGF5bG9hZA.c2lnbmF0dXJl";

/// What happens to the next order; without a script a token is sold.
enum Act {
    Hang,
    Say(u16, Value),
    Send(String),
}

#[derive(Clone)]
struct Booth {
    url: String,
    script: Arc<Mutex<VecDeque<Act>>>,
    /// Path, query, `Authorization` and body of every request.
    heard: Arc<Mutex<Vec<(String, String, String)>>>,
    endpoint: Arc<Mutex<String>>,
}

impl Booth {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let endpoint = Arc::new(Mutex::new("/token".to_owned()));
        let booth = Self { url, script: Arc::default(), heard: Arc::default(), endpoint };
        let served = booth.clone();
        let app = Router::new().fallback(move |request| {
            let booth = served.clone();
            async move { booth.answer(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        booth
    }

    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let field = |name: &str| {
            parts
                .headers
                .get_all(name)
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect::<Vec<_>>()
                .join("|")
        };
        let shown = format!("{}{}", field("authorization"), field("x-payment-access-token"));
        let body = String::from_utf8(to_bytes(body, 100_000).await.unwrap().to_vec()).unwrap();
        let target = parts.uri.to_string();
        self.heard.lock().unwrap().push((target.clone(), shown.clone(), body));
        if target.starts_with("/token") || target.starts_with("/elsewhere") {
            let act = self.script.lock().unwrap().pop_front();
            return match act {
                None => said(
                    200,
                    &json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 300, "metadata": {} }),
                ),
                Some(Act::Hang) => std::future::pending().await,
                Some(Act::Say(status, body)) => said(status, &body),
                Some(Act::Send(target)) => {
                    let mut response = said(307, &json!({}));
                    response.headers_mut().insert("location", target.parse().unwrap());
                    response
                }
            };
        }
        if shown.contains(TOKEN) { said(200, &json!("the thing")) } else { said(402, &self.asked()) }
    }

    fn asked(&self) -> Value {
        json!({
            "reason": "Missing authorization token",
            "access_token_endpoint": *self.endpoint.lock().unwrap(),
            "payment_scheme": { "protocol_version": "Version 0.1", "payment_components": [{
                "payment_type": "evm", "amount": 0.01, "currency": "USDC", "metadata": {}, "caip2": "eip155:84532",
                "pay_to": PAY_TO, "token": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "token_name": "USDC",
                "token_decimals": 6, "token_version": "2",
            }] },
            "payment_instruction": null,
        })
    }

    fn acts(&self, act: Act) {
        self.script.lock().unwrap().push_back(act);
    }

    fn orders(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard
            .iter()
            .filter(|(target, ..)| target.starts_with("/token"))
            .map(|(.., body)| body.clone())
            .collect()
    }

    fn heard_at(&self, start: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|(target, ..)| target.starts_with(start)).count()
    }
}

fn said(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status.try_into().unwrap();
    response
}

/// One permit was signed, whatever happened to it.
fn is_one(orders: &[String]) {
    assert!(!orders.is_empty() && orders.iter().all(|order| *order == orders[0]), "{orders:?}");
}

#[tokio::test]
async fn whatever_the_endpoint_does_the_next_call_sends_the_same_permit() {
    let no_token = [
        Act::Say(500, json!({})),
        Act::Say(503, json!({})),
        Act::Say(402, Booth::start().await.asked()),
        Act::Say(400, json!({ "error": "Verification failed" })),
        Act::Say(200, json!({})),
        Act::Say(200, json!({ "access_token": "", "token_type": "Bearer" })),
        Act::Say(200, json!({ "access_token": TOKEN, "token_type": "mac" })),
        Act::Say(200, json!({ "access_token": "a b\r\nx: y", "token_type": "Bearer" })),
        Act::Say(202, json!({ "status": "pending" })),
    ];
    for act in no_token {
        let (booth, owner) = (Booth::start().await, Owner::new());
        booth.acts(act);
        let bought = owner.client().get(&format!("{}/thing", booth.url)).await;
        if let Ok(bought) = &bought {
            assert_eq!(bought.response.status(), 200);
        }
        owner.client().get(&format!("{}/thing", booth.url)).await.unwrap();
        is_one(&booth.orders());
    }
}

#[tokio::test]
async fn a_seller_of_tokens_that_never_answers_is_given_up_after_a_while_and_asked_the_same_later() {
    let (booth, owner) = (Booth::start().await, Owner::new());
    booth.acts(Act::Hang);
    let url = format!("{}/thing", booth.url);
    let asked = tokio::spawn({
        let (client, url) = (owner.client(), url.clone());
        async move { client.get(&url).await }
    });
    while booth.orders().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // From here on nothing but time passes.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(14)).await;
    assert!(!asked.is_finished());
    tokio::time::advance(Duration::from_secs(2)).await;
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, BuyError::Pending { .. }), "{error:?}");
    tokio::time::resume();
    owner.client().get(&url).await.unwrap();
    is_one(&booth.orders());
}

#[tokio::test]
async fn t13_an_order_follows_no_redirect_and_goes_to_no_other_host() {
    let (booth, thief, owner) = (Booth::start().await, Booth::start().await, Owner::new());
    for target in [format!("{}/token", thief.url), "/elsewhere".to_owned()] {
        booth.acts(Act::Send(target));
        let _ = owner.client().get(&format!("{}/thing", booth.url)).await;
    }
    assert_eq!((thief.heard_at("/"), booth.heard_at("/elsewhere")), (0, 0));
    for endpoint in [
        format!("{}/token", thief.url),
        thief.url.replacen("http:", "", 1),
        "token".into(),
        format!("@{}/token", thief.url.trim_start_matches("http://")),
        "\\\\thief.example/token".into(),
        "/\\thief.example/token".into(),
        "".into(),
    ] {
        let (booth, owner) = (Booth::start().await, Owner::new());
        endpoint.clone_into(&mut booth.endpoint.lock().unwrap());
        let bought = owner.client().get(&format!("{}/thing", booth.url)).await;
        assert!(
            bought.as_ref().is_err() || bought.is_ok_and(|bought| bought.payment.is_none()),
            "{endpoint}"
        );
        assert_eq!((thief.heard_at("/"), booth.orders().len()), (0, 0), "{endpoint}");
    }
}

#[tokio::test]
async fn t10_a_token_goes_in_a_header_field_beside_what_the_caller_says_and_never_in_a_url() {
    let (booth, owner) = (Booth::start().await, Owner::new());
    let client = owner.client();
    for _ in 0..2 {
        let request =
            reqwest::Request::new(reqwest::Method::GET, format!("{}/thing", booth.url).parse().unwrap());
        let mut request = request;
        request.headers_mut().insert("authorization", "Basic YWRhOng=".parse().unwrap());
        let bought = client.execute(request).await.unwrap();
        assert_eq!(bought.response.status(), 200);
        assert!(!format!("{bought:?}").contains(TOKEN));
    }
    is_one(&booth.orders());
    assert_eq!(booth.orders().len(), 1);
    let heard = booth.heard.lock().unwrap().clone();
    let things: Vec<_> = heard.iter().filter(|(target, ..)| target == "/thing").collect();
    assert!(things.iter().all(|(_, shown, _)| shown.starts_with("Basic YWRhOng=")), "{things:?}");
    assert_eq!(things.iter().filter(|(_, shown, _)| shown.ends_with(TOKEN)).count(), 2);
    // The caller's own password is for the thing, not for the endpoint, and no URL has the token.
    assert!(heard.iter().all(|(target, ..)| !target.contains(TOKEN)));
    assert!(
        heard.iter().filter(|(target, ..)| target == "/token").all(|(_, shown, _)| shown.is_empty()),
        "{heard:?}"
    );
}
