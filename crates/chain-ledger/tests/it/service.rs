//! Balances over HTTP: topped up on a chain, spent for passes, looked at, given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::future::join_all;
use groat_buyer::LocalSigner;
use groat_chain_ledger::{BalanceLedger, statement_intent};
use groat_core::books::Settled;
use groat_core::key::KeyKind;
use groat_core::offer::{Ask, Currency};
use groat_core::ports::{Cashier, Mechanism, Observer, Seen, Signer, Token};
use groat_core::{
    Amount, Claim, Depth, Failure, Fault, Network, Offer, Payment, PaymentKey, Price, Reason, Terms,
    Timestamp,
};
use groat_facilitator::{Engine, EngineOptions};
use groat_seller::{PassKey, PassTerms, Pay, PaymentService};
use groat_store::MemoryStore;
use groat_wire::Dialects;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::kit::*;

pub(crate) const ORIGIN: &str = "https://api.example.com";
const TOKEN: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

/// The scheme `exact` on a chain of make-believe: whoever shows a nonce has paid.
struct Chain;

impl Mechanism for Chain {
    fn scheme(&self) -> &'static str {
        "exact"
    }

    fn speaks(&self, network: &Network) -> bool {
        network.chain_id().is_some()
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        let Ask::Price(price) = &terms.price else { return Ok(None) };
        if terms.scheme != "exact" || !self.speaks(&terms.network) {
            return Ok(None);
        }
        let extra = json!({ "name": "USDC", "version": "2" });
        Ok(Some(Offer {
            scheme: "exact".into(),
            network: terms.network.clone(),
            asset: TOKEN.into(),
            amount: price.to_units(6).map_err(|error| error.to_string())?,
            pay_to: terms.pay_to.clone(),
            timeout_s: 60,
            extra: extra.as_object().unwrap().clone(),
            price: None,
            dialect: None,
            currency: Some(Currency { symbol: "USDC".into(), decimals: 6 }),
            verbatim: None,
        }))
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let nonce = payment.proof.get("nonce").and_then(Value::as_str).ok_or(Reason::InvalidPayload)?;
        Ok((PaymentKey::new(KeyKind::Eip3009, &offer.network, &[nonce.as_bytes()]), Timestamp(NOW + 60)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        one.eq_ignore_ascii_case(other)
    }

    fn token(&self, _network: &Network, _asset: &str) -> Option<Token> {
        None
    }
}

#[async_trait]
impl Observer for Chain {
    async fn ready(&self) -> Vec<Network> {
        vec![]
    }

    async fn observe(&self, payment: &Payment, offer: &Offer, _now: Timestamp) -> Result<Seen, Failure> {
        let (key, valid_until) = self.key(payment, offer)?;
        let claim = Claim {
            key,
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payer: PAYEE.into(),
            pay_to: offer.pay_to.clone(),
            amount: offer.amount,
            valid_from: Timestamp(0),
            valid_until,
            alone: false,
            funds: None,
        };
        let settled =
            Settled { transaction: "0x1".into(), block: 1, block_hash: "0x2".into(), by_other: false };
        Ok(Seen { claim, settled })
    }

    async fn depth(&self, _network: &Network, _mined: &groat_core::books::Mined) -> Result<Depth, Fault> {
        Err(Fault::unavailable("chain", "there is none"))
    }
}

/// What a seller needs to take payments in its own ways.
#[derive(Default)]
pub(crate) struct Ways {
    pub(crate) mechanisms: Vec<Arc<dyn Mechanism>>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    pub(crate) cashiers: Vec<Arc<dyn Cashier>>,
    pub(crate) terms: Vec<Terms>,
}

/// A seller of `GET /weather` for a cent, on chain and in these ways, with whoever sells its passes.
pub(crate) fn seller(
    store: &MemoryStore,
    hands: &Hands,
    ways: Ways,
) -> (Pay, PaymentService, Router, Arc<AtomicUsize>) {
    let chain = Arc::new(Chain);
    let observers = [chain.clone() as Arc<dyn Observer>].into_iter().chain(ways.observers).collect();
    let shared: Arc<MemoryStore> = Arc::new(store.clone());
    let engine = Engine::taking(
        vec![],
        observers,
        ways.cashiers,
        shared.clone(),
        hands.clock(),
        EngineOptions::default(),
    );
    let pay = Pay::builder()
        .facilitator(Arc::new(engine))
        .mechanisms([chain as Arc<dyn Mechanism>].into_iter().chain(ways.mechanisms).collect())
        .store(shared)
        .clock(hands.clock())
        .network("eip155:84532")
        .pay_to(PAYEE)
        .public_url(ORIGIN)
        .pass_key(PassKey::from_seed(&[1; 32]).unwrap())
        .token_path("/token")
        .build()
        .unwrap();
    let mut route = pay.route().price("$0.01").pass(PassTerms { ttl_s: 300, scope: None, uses: None });
    for terms in ways.terms {
        route = route.ask(terms);
    }
    let layer = route.build().unwrap();
    let runs: Arc<AtomicUsize> = Arc::default();
    let counted = runs.clone();
    let handler = move || {
        let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move { format!("run {run}") }
    };
    let service = PaymentService::new(&pay).route("GET /weather", &layer).unwrap();
    (pay, service, Router::new().route("/weather", get(handler).layer(layer)), runs)
}

pub(crate) fn terms(scheme: &str, network: &str) -> Terms {
    Terms {
        scheme: scheme.into(),
        network: Network::parse(network).unwrap(),
        price: Ask::Price(Price::parse("$0.01").unwrap()),
        pay_to: PAYEE.into(),
        timeout_s: 60,
    }
}

fn shop(store: &MemoryStore, hands: &Hands) -> (Router, Arc<AtomicUsize>) {
    let scheme = Arc::new(BalanceLedger::new(ledger_on(store), AUDIENCE));
    let ways = Ways {
        mechanisms: vec![scheme.clone()],
        cashiers: vec![scheme],
        terms: vec![terms("balance", "ledger:main")],
        ..Ways::default()
    };
    let (_, service, app, runs) = seller(store, hands, ways);
    let service = service.balances(Arc::new(ledger_on(store)), "$100").unwrap().operator_key("only-mine");
    (app.fallback_service(service), runs)
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: bytes::Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) fn request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    Request::builder().method(method).uri(path).header("host", "api.example.com").body(body).unwrap()
}

/// Pays what a path asks for on chain, in x402.
async fn pay_on_chain(app: &Router, method: &str, path: &str, nonce: &str) -> Answer {
    let asked = send(app, request(method, path, &Value::Null)).await;
    assert_eq!(asked.status, StatusCode::PAYMENT_REQUIRED, "{:?}", asked.json());
    let dialects = Dialects::standard();
    let (dialect, challenge) = dialects.read_challenge(&asked.headers, &asked.body).unwrap().unwrap();
    let offer = challenge.offers[0].clone();
    let payment = Payment {
        dialect,
        scheme: offer.scheme.clone(),
        network: offer.network.clone(),
        proof: json!({ "nonce": nonce }),
        accepted: None,
        resource: Some(json!({ "url": challenge.resource.url })),
        extensions: Default::default(),
    };
    let payment = dialects.accept(payment, &challenge, &offer);
    let mut paid = request(method, path, &Value::Null);
    dialects.write_payment(&payment, paid.headers_mut()).unwrap();
    send(app, paid).await
}

async fn signed(wallet: &LocalSigner, service: &str, account: &str, at: u64) -> String {
    let intent = statement_intent(service, account, Timestamp(at));
    let signature = wallet.sign(&intent).await.unwrap();
    signature.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

async fn statement(app: &Router, seed: u8, account: &str, at: u64, query: &str) -> Answer {
    statement_signed_for(ORIGIN, app, seed, account, at, query).await
}

async fn statement_signed_for(
    service: &str,
    app: &Router,
    seed: u8,
    account: &str,
    at: u64,
    query: &str,
) -> Answer {
    let mut asked = request("GET", &format!("/x402/balance/{account}{query}"), &Value::Null);
    let signature = signed(&wallet(seed), service, account, at).await;
    asked.headers_mut().insert("x-balance-timestamp", at.into());
    asked.headers_mut().insert("x-balance-signature", signature.parse().unwrap());
    send(app, asked).await
}

fn by_authorization(currency: &str, account: &str, nonce: &str) -> String {
    format!("/x402/payments?authorization=ledger:main:{currency}:{account}:{nonce}")
}

/// The order of a pass that our own buyer would send for what the 402 offers.
async fn order(app: &Router, seed: u8, nonce: u8) -> (String, Value) {
    let asked = send(app, request("GET", "/weather", &Value::Null)).await;
    let dialects = Dialects::standard();
    let token = groat_wire::token::ID;
    let read = dialects.read_challenge_in(Some(&token), &asked.headers, &asked.body).unwrap();
    let (_, challenge) = read.unwrap();
    let offer = challenge.offers.iter().find(|offer| offer.scheme == "balance").unwrap().clone();
    let payment = debit(&offer, seed, nonce, NOW).await;
    let payment = dialects.accept(payment, &challenge, &offer);
    let body = dialects.write_order(&payment).unwrap().unwrap();
    (challenge.pass_at.unwrap(), serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_balance_is_topped_up_on_chain_spent_for_passes_and_told_to_its_holder() {
    let (store, hands) = (MemoryStore::default(), Hands::at(NOW));
    let (app, runs) = shop(&store, &hands);
    let account = holder(1).to_string();
    let top_up = format!("/x402/balance/{account}/topup?amount=0.025");
    for _ in 0..3 {
        let added = pay_on_chain(&app, "POST", &top_up, "n1").await;
        assert_eq!(added.status, StatusCode::OK, "{:?}", added.json());
        assert_eq!((&added.json()["added"], &added.json()["account"]), (&json!("0.025"), &json!(account)));
    }
    let (path, first) = order(&app, 1, 1).await;
    assert_eq!(path, "/token/GET/weather");
    assert_eq!(first["permit"]["permit_type"], "BalanceDebit");
    let sold = join_all((0..50).map(|_| send(&app, request("POST", &path, &first)))).await;
    let token = sold[0].json()["access_token"].as_str().unwrap().to_owned();
    assert!(
        sold.iter().all(|one| one.status == StatusCode::OK && one.json()["access_token"] == token.as_str())
    );
    let mut opened = request("GET", "/weather", &Value::Null);
    opened.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    assert_eq!((send(&app, opened).await.status, runs.load(Ordering::SeqCst)), (StatusCode::OK, 1));
    let (_, second) = order(&app, 1, 2).await;
    assert_eq!(send(&app, request("POST", &path, &second)).await.status, StatusCode::OK);
    let (_, third) = order(&app, 1, 3).await;
    let refused = send(&app, request("POST", &path, &third)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{:?}", refused.json());
    assert_eq!(refused.json()["error"], "invalid_exact_evm_insufficient_balance");

    // Who kept only what it has signed finds the debit, whatever the spelling.
    let nonce = first["permit"]["nonce"].as_str().unwrap();
    let found = |account: &str| request("GET", &by_authorization("USD", account, nonce), &Value::Null);
    for spelling in [account.clone(), account.to_lowercase()] {
        let found = send(&app, found(&spelling)).await.json();
        assert_eq!(
            (&found["payment_id"], &found["status"]),
            (&sold[0].json()["metadata"]["payment_id"], &json!("settled")),
            "{found}"
        );
    }
    assert_eq!(send(&app, found(&holder(2).to_string())).await.status, StatusCode::NOT_FOUND);
    let key = format!("ed25519:{}", "A".repeat(43));
    assert_eq!(send(&app, found(&key)).await.status, StatusCode::NOT_FOUND);
    for (currency, account, nonce) in
        [("EUR", &*account, nonce), ("USD", "me", nonce), ("USD", &account, "0x1")]
    {
        let asked = request("GET", &by_authorization(currency, account, nonce), &Value::Null);
        assert_eq!(send(&app, asked).await.status, StatusCode::BAD_REQUEST, "{currency} {account} {nonce}");
    }

    let told = statement(&app, 1, &account, NOW - 60, "").await.json();
    assert_eq!(
        (&told["balance"], &told["currency"], &told["next"]),
        (&json!("0.005"), &json!("USD"), &Value::Null)
    );
    let amounts: Vec<_> = told["entries"].as_array().unwrap().iter().map(|line| &line["amount"]).collect();
    assert_eq!(amounts, ["0.025", "0.01", "0.01"]);
    let page = statement(&app, 1, &account, NOW, "?after=1&limit=1").await.json();
    assert_eq!((&page["entries"][0]["number"], &page["next"]), (&json!(2), &json!(2)));
    for (seed, at) in [(2, NOW), (1, NOW - 61), (1, NOW + 61)] {
        let strange = statement(&app, seed, &account, at, "").await;
        assert_eq!(strange.status, StatusCode::UNAUTHORIZED);
        assert!(strange.json().get("balance").is_none());
    }
    // Whoever is asked elsewhere cannot look here.
    for service in ["https://other.example", "http://api.example.com", "https://api.example.com/", ""] {
        let elsewhere = statement_signed_for(service, &app, 1, &account, NOW, "").await;
        assert_eq!(elsewhere.status, StatusCode::UNAUTHORIZED, "{service}");
    }
}

#[tokio::test]
async fn a_payment_out_of_a_balance_is_given_back_by_the_operator_once() {
    let (store, hands) = (MemoryStore::default(), Hands::at(NOW));
    ledger_on(&store).grant(&holder(1), "USD", units(10_000), "g", Timestamp(NOW)).await.unwrap();
    let (app, _) = shop(&store, &hands);
    let (path, body) = order(&app, 1, 1).await;
    let sold = send(&app, request("POST", &path, &body)).await.json();
    let id = sold["metadata"]["payment_id"].as_str().unwrap();
    let refund = format!("/x402/payments/{id}/refund");
    assert_eq!(send(&app, request("POST", &refund, &Value::Null)).await.status, StatusCode::UNAUTHORIZED);
    let with_key = |key: &str, body: &Value| {
        let mut asked = request("POST", &refund, body);
        asked.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        asked
    };
    assert_eq!(send(&app, with_key("guessed", &Value::Null)).await.status, StatusCode::UNAUTHORIZED);
    let more = send(&app, with_key("only-mine", &json!({ "amount": "0.02" }))).await;
    assert_eq!(more.status, StatusCode::BAD_REQUEST);
    for _ in 0..2 {
        let given = send(&app, with_key("only-mine", &json!({ "amount": "0.004" }))).await.json();
        assert_eq!((&given["status"], &given["amount"]), (&json!("refunded"), &json!("0.004")));
    }
    assert_eq!(send(&app, with_key("only-mine", &Value::Null)).await.status, StatusCode::CONFLICT);
    let told = send(&app, request("GET", &format!("/x402/payments/{id}"), &Value::Null)).await.json();
    assert_eq!((&told["status"], &told["refunded"]), (&json!("refunded"), &json!("0.004")));
    let balance = ledger_on(&store).account("USD", &holder(1).to_string()).await.unwrap().balance();
    assert_eq!(balance, units(4_000));
}

#[tokio::test]
async fn the_402_names_balances_beside_the_components_that_others_read_and_never_among_them() {
    let (store, hands) = (MemoryStore::default(), Hands::at(NOW));
    let (app, _) = shop(&store, &hands);
    let asked = send(&app, request("GET", "/weather", &Value::Null)).await;
    let schemes = asked.headers["payment-scheme"].to_str().unwrap();
    assert_eq!(schemes, format!("{ORIGIN}/x402/schemes/evm, {ORIGIN}/x402/schemes/balance"));
    let scheme = asked.json()["payment_scheme"].clone();
    let components = scheme["payment_components"].as_array().unwrap();
    assert!(!components.is_empty() && components.iter().all(|one| one["payment_type"] == "evm"));
    assert_eq!(
        scheme["offchain_components"],
        json!([{
            "payment_type": "balance", "permit_type": "BalanceDebit", "amount": "0.01", "currency": "USD",
            "decimals": 6, "network": "ledger:main", "pay_to": PAYEE, "metadata": { "audience": AUDIENCE },
        }])
    );
    let told = send(&app, request("GET", "/x402/schemes/balance", &Value::Null)).await.json();
    assert_eq!((&told["kind"], &told["permit_types"]), (&json!("offchain"), &json!(["BalanceDebit"])));
    assert_eq!(
        send(&app, request("GET", "/x402/schemes/none", &Value::Null)).await.status,
        StatusCode::NOT_FOUND
    );
    // x402 clients are not told: they could not pay it.
    let (_, seen) = Dialects::standard().read_challenge(&asked.headers, &asked.body).unwrap().unwrap();
    assert!(seen.offers.iter().all(|offer| offer.scheme == "exact"));
}

#[tokio::test]
async fn what_cannot_be_added_is_not_asked_for() {
    let (store, hands) = (MemoryStore::default(), Hands::at(NOW));
    let (app, _) = shop(&store, &hands);
    let account = holder(1).to_string();
    for (account, query) in [
        (account.as_str(), ""),
        (account.as_str(), "?amount=100.01"),
        (account.as_str(), "?amount=0"),
        (account.as_str(), "?amount=-1"),
        (account.as_str(), "?amount=1+EUR"),
        (account.as_str(), "?amount=0.0000001"),
        ("cash", "?amount=1"),
        ("refunds", "?amount=1"),
    ] {
        let answer =
            send(&app, request("POST", &format!("/x402/balance/{account}/topup{query}"), &Value::Null)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{account} {query}");
    }
    assert_eq!(store.count(groat_core::books::Book::Postings), 0);
    let _: Amount = units(0);
}
