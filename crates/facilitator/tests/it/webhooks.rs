//! Webhooks from a settlement to a receiver that listens: real engine, real sockets.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use groat_chain_evm::ExactEvm;
use groat_core::Timestamp;
use groat_core::ports::{Clock, Facilitator, Mechanism, Store};
use groat_devchain::Mining;
use groat_facilitator::http::{Caller, Ready, Service, digest};
use groat_facilitator::webhooks::sign::Receiver;
use groat_facilitator::webhooks::{Guard, HttpPost, Lookup, Parts, SystemLookup, Webhooks};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::world::{NOW, PAY_TO, World, offer};

/// A receiver that writes down what it hears.
#[derive(Clone, Default)]
struct Shop {
    heard: Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>,
    /// What to answer next; else 204.
    answers: Arc<Mutex<VecDeque<u16>>>,
    delay: Duration,
}

impl Shop {
    async fn open(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/{*path}", post(hear)).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn heard(&self) -> Vec<(String, HeaderMap, Value)> {
        let heard = self.heard.lock().unwrap().clone();
        heard
            .into_iter()
            .map(|(path, headers, body)| (path, headers, serde_json::from_slice(&body).unwrap()))
            .collect()
    }

    async fn until(&self, count: usize) -> Vec<(String, HeaderMap, Value)> {
        for _ in 0..2_000 {
            if self.heard().len() >= count {
                return self.heard();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.heard());
    }
}

async fn hear(
    State(shop): State<Shop>,
    axum::extract::Path(path): axum::extract::Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shop.heard.lock().unwrap().push((path, headers, body));
    tokio::time::sleep(shop.delay).await;
    let status = StatusCode::from_u16(shop.answers.lock().unwrap().pop_front().unwrap_or(204)).unwrap();
    (status, [(header::LOCATION, "/elsewhere")]).into_response()
}

/// A facilitator with webhooks, and its worker until it is dropped.
struct Office {
    server: SocketAddr,
    worker: JoinHandle<()>,
    now: Arc<std::sync::atomic::AtomicU64>,
    key: &'static str,
}

impl Drop for Office {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

impl Office {
    async fn open(world: &World) -> Self {
        Self::with(world, Vec::new(), "none").await
    }

    async fn with(world: &World, callers: Vec<Caller>, key: &'static str) -> Self {
        let mechanisms = vec![Arc::new(ExactEvm::offline()) as Arc<dyn Mechanism>];
        let store: Arc<dyn Store> = Arc::new(world.store.clone());
        let now = Arc::new(std::sync::atomic::AtomicU64::new(NOW));
        let told = Arc::clone(&now);
        let clock: Arc<dyn Clock> =
            Arc::new(move || Timestamp(told.load(std::sync::atomic::Ordering::SeqCst)));
        let guard = Guard { allow_private: true };
        let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
        let webhooks = Webhooks::new(Parts {
            store: Arc::clone(&store),
            bell: world.engine.bell(),
            callers: callers.clone(),
            mechanisms: mechanisms.clone(),
            post: Arc::new(HttpPost::new(guard, &lookup).unwrap()),
            guard,
            clock: Arc::clone(&clock),
            random: Arc::new(|bytes: &mut [u8]| {
                use std::hash::{BuildHasher, RandomState};
                bytes.chunks_mut(8).for_each(|chunk| {
                    let noise = RandomState::new().hash_one(0).to_le_bytes();
                    chunk.copy_from_slice(&noise[..chunk.len()]);
                });
                Ok(())
            }),
        });
        webhooks.open().await.unwrap();
        let ready = Ready::default();
        let service = Service::new(Arc::new(world.engine.clone()), mechanisms, String::new, ready);
        let router = service.callers(callers, &store, &clock).webhooks(webhooks.clone()).router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { server, worker: tokio::spawn(webhooks.run()), now, key }
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds, std::sync::atomic::Ordering::SeqCst);
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("http://{}/v1/webhook_endpoints{path}", self.server);
        let request = reqwest::Client::new().request(method.parse().unwrap(), url).bearer_auth(self.key);
        let request = match method {
            "GET" | "DELETE" => request,
            _ => request.header("content-type", "application/json").body(body.to_string()),
        };
        let answer = request.send().await.unwrap();
        let (status, media) = (answer.status().as_u16(), answer.headers().get("content-type").cloned());
        let bytes = answer.bytes().await.unwrap();
        if status >= 400 && status != 401 {
            assert_eq!(media.unwrap(), "application/problem+json", "{status} {bytes:?}");
        }
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// An endpoint, and what it checks signatures with.
    async fn endpoint(&self, url: String) -> (String, String) {
        let (status, made) = self.ask("POST", "", json!({ "url": url })).await;
        assert_eq!(status, 201, "{made}");
        (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    }

    async fn deliveries(&self, id: &str) -> Vec<Value> {
        let (status, page) = self.ask("GET", &format!("/{id}/deliveries"), Value::Null).await;
        assert_eq!((status, &page["next"]), (200, &Value::Null), "{page}");
        page["deliveries"].as_array().unwrap().clone()
    }

    async fn until(&self, id: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        for _ in 0..1_000 {
            let deliveries = self.deliveries(id).await;
            if fits(&deliveries) {
                return deliveries;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", self.deliveries(id).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_was_made_before_it_was_shown_is_heard_once_like_any_other() {
    use crate::agentxpay::{market::Market, seen};
    let market = Market::new(Mining::Instant);
    let mut world = World::new(Mining::Instant);
    (world.chain, world.store, world.engine) = (market.chain.clone(), market.store.clone(), market.engine());
    let (shop, office) = (Shop::default(), Office::open(&world).await);
    let address = shop.clone().open().await;
    let (id, _) = office.endpoint(format!("http://{address}/hook")).await;
    let (payment, offer) = (seen::payment(market.pay(1, 1_000)), seen::offer(&market.service("1", 1_000)));
    for _ in 0..2 {
        world.engine.settle(&payment, &offer).await.unwrap();
    }
    let [(_, _, body)] = shop.until(1).await.try_into().unwrap();
    assert_eq!((&body["type"], &body["data"]["tx"]), (&"payment.settled".into(), &payment.proof["hash"]));
    office.until(&id, |all| states(all) == ["delivered"]).await;
}

fn states(deliveries: &[Value]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery["state"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_is_heard_signed_and_once_and_what_was_before_is_not() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    world.engine.settle(&payer.pay(1), &offer()).await.unwrap();
    let (shop, office) = (Shop::default(), Office::open(&world).await);
    let address = shop.clone().open().await;
    let (id, secret) = office.endpoint(format!("http://{address}/hook")).await;
    let receipt = world.engine.settle(&payer.pay(2), &offer()).await.unwrap();
    // Asked again it is the same settlement, and no news.
    world.engine.settle(&payer.pay(2), &offer()).await.unwrap();
    shop.until(1).await;
    let deliveries = office.until(&id, |all| states(all) == ["delivered"]).await;
    let [(path, headers, body)] = shop.heard().try_into().unwrap();
    assert_eq!(
        (path.as_str(), &body["type"], &body["timestamp"]),
        ("hook", &"payment.settled".into(), &"2027-01-15T08:00:00Z".into())
    );
    let data = &body["data"];
    assert_eq!(data["tx"], receipt.transaction.unwrap().as_str());
    assert_eq!((&data["seller"], &data["amountBase"]), (&PAY_TO.into(), &"10000".into()));
    assert_eq!((&data["amount"], &data["currency"]), (&"0.01".into(), &"USDC".into()));
    assert_eq!((&data["chain"], &data["sequence"]), (&"eip155:84532".into(), &"1".into()));
    assert!(data["blockNumber"].as_u64().unwrap() > 0, "{body}");
    assert_eq!(headers["content-type"], "application/json");
    let bytes = shop.heard.lock().unwrap()[0].2.clone();
    let receiver = Receiver::new([secret.as_str()]).unwrap();
    assert_eq!(receiver.verify(&headers, &bytes, Timestamp(NOW)), Ok(deliveries[0]["id"].as_str().unwrap()));
    assert_eq!(deliveries[0]["lastAttempt"]["status"], 204);
    // Nothing shows the secret again.
    for path in ["", &format!("/{id}")] {
        let (_, shown) = office.ask("GET", path, Value::Null).await;
        assert!(!shown.to_string().contains("whsec"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t19_settlement_does_not_wait_for_a_slow_receiver_and_what_fails_is_tried_again() {
    let world = World::new(Mining::Instant);
    let slow = Shop { delay: Duration::from_secs(30), ..Shop::default() };
    let failing = Shop::default();
    failing.answers.lock().unwrap().push_back(500);
    let office = Office::open(&world).await;
    let (slow_at, failing_at) = (slow.clone().open().await, failing.clone().open().await);
    office.endpoint(format!("http://{slow_at}/slow")).await;
    let (id, _) = office.endpoint(format!("http://{failing_at}/failing")).await;
    let (payer, begin) = (world.payer(1), Instant::now());
    world.engine.settle(&payer.pay(1), &offer()).await.unwrap();
    office.until(&id, |all| all.first().is_some_and(|first| first["attempts"] == 1)).await;
    assert_eq!(office.deliveries(&id).await[0]["lastAttempt"]["problem"], "it answered 500");
    world.engine.settle(&payer.pay(2), &offer()).await.unwrap();
    office.pass(6);
    let all = office.until(&id, |all| states(all) == ["delivered", "delivered"]).await;
    assert!(begin.elapsed() < Duration::from_secs(14), "{:?}", begin.elapsed());
    assert_eq!((&all[0]["attempts"], &all[1]["attempts"]), (&2.into(), &1.into()));
    let heard = failing.heard();
    assert_eq!(heard.len(), 3);
    let of_first: Vec<_> = heard.iter().filter(|(_, _, body)| body["data"]["sequence"] == "1").collect();
    assert_eq!(of_first[0].1["webhook-id"], of_first[1].1["webhook-id"]);
    assert_eq!(slow.until(2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn t18_a_redirect_leads_nowhere_and_gone_is_the_end() {
    let world = World::new(Mining::Instant);
    let (shop, office) = (Shop::default(), Office::open(&world).await);
    shop.answers.lock().unwrap().extend([302, 410]);
    let address = shop.clone().open().await;
    let (id, _) = office.endpoint(format!("http://{address}/hook")).await;
    world.engine.settle(&world.payer(1).pay(1), &offer()).await.unwrap();
    let moved = office.until(&id, |all| all.first().is_some_and(|first| first["attempts"] == 1)).await;
    assert!(moved[0]["lastAttempt"]["problem"].as_str().unwrap().contains("redirects are not followed"));
    office.pass(6);
    office.until(&id, |all| all[0]["attempts"] == 2).await;
    assert!(shop.heard().iter().all(|(path, ..)| path == "hook"), "{:?}", shop.heard());
    let (_, endpoint) = office.ask("GET", &format!("/{id}"), Value::Null).await;
    assert_eq!(endpoint["status"], "disabled");
    assert_eq!(endpoint["statusReason"], "the receiver answered 410 (gone)");
    let (status, problem) = office.ask("POST", &format!("/{id}/test"), json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &"endpoint_disabled".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn t20_what_was_settled_when_the_process_died_is_sent_by_the_next() {
    let mut world = World::new(Mining::Instant);
    let shop = Shop::default();
    let address = shop.clone().open().await;
    let office = Office::open(&world).await;
    let (id, _) = office.endpoint(format!("http://{address}/hook")).await;
    // Dies before it looks: what is committed now nobody sends.
    drop(office);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let payer = world.payer(1);
    for nonce in 1..=3 {
        world.engine.settle(&payer.pay(nonce), &offer()).await.unwrap();
    }
    assert!(shop.heard().is_empty());
    world.restart();
    let office = Office::open(&world).await;
    let all = office.until(&id, |all| states(all) == ["delivered"; 3]).await;
    assert_eq!(all.iter().map(|delivery| &delivery["sequence"]).collect::<Vec<_>>(), ["1", "2", "3"]);
    // And the engine that was started again still knows that somebody listens.
    world.engine.settle(&payer.pay(4), &offer()).await.unwrap();
    office.until(&id, |all| states(all) == ["delivered"; 4]).await;
    assert_eq!(shop.heard().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_forty_payments_reach_two_endpoints_each_once_and_may_be_asked_for_again() {
    let world = World::new(Mining::Instant);
    let (shop, office) = (Shop::default(), Office::open(&world).await);
    let address = shop.clone().open().await;
    let (first, _) = office.endpoint(format!("http://{address}/first")).await;
    let (second, _) = office.endpoint(format!("http://{address}/second")).await;
    let payer = world.payer(1);
    let calls: Vec<_> = (1..=40)
        .map(|nonce| {
            let (engine, payment) = (world.engine.clone(), payer.pay(nonce));
            tokio::spawn(async move { engine.settle(&payment, &offer()).await.unwrap().transaction })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let heard = shop.until(80).await;
    for (id, path) in [(&first, "first"), (&second, "second")] {
        let listed = office.until(id, |all| all.len() == 40 && states(all) == ["delivered"; 40]).await;
        let of_path: Vec<_> = heard.iter().filter(|(to, ..)| to == path).collect();
        let distinct = |name: &str| -> BTreeSet<String> {
            of_path.iter().map(|(_, _, body)| body["data"][name].to_string()).collect()
        };
        assert_eq!((of_path.len(), distinct("paymentId").len(), distinct("sequence").len()), (40, 40, 40));
        let told: BTreeSet<_> = of_path
            .iter()
            .map(|(_, headers, _)| headers["webhook-id"].to_str().unwrap().to_owned())
            .collect();
        let ids: BTreeSet<_> =
            listed.iter().map(|delivery| delivery["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(told, ids);
    }
    let (_, page) = office.ask("GET", &format!("/{first}/deliveries"), Value::Null).await;
    let id = page["deliveries"][7]["id"].as_str().unwrap().to_owned();
    let path = format!("/{first}/deliveries/{id}/redeliver");
    assert_eq!(office.ask("POST", &path, json!({})).await.0, 202);
    let heard = shop.until(81).await;
    assert_eq!((heard[80].1["webhook-id"].to_str().unwrap(), heard[80].0.as_str()), (id.as_str(), "first"));
    // An id of one endpoint is none of another.
    let path = format!("/{second}/deliveries/{id}/redeliver");
    assert_eq!(office.ask("POST", &path, json!({})).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn t20_two_facilitators_on_one_book_tell_of_every_settlement_once() {
    let (world, shop) = (World::new(Mining::Instant), Shop::default());
    let other = world.instance();
    let address = shop.clone().open().await;
    let office = Office::open(&world).await;
    let (id, _) = office.endpoint(format!("http://{address}/hook")).await;
    let _second = Office::open(&other).await;
    let payer = world.payer(1);
    let calls: Vec<_> = (1..=20)
        .map(|nonce| {
            let engine = if nonce % 2 == 0 { world.engine.clone() } else { other.engine.clone() };
            let payment = payer.pay(nonce);
            tokio::spawn(async move { engine.settle(&payment, &offer()).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let all = office.until(&id, |all| states(all) == ["delivered"; 20]).await;
    let numbers: Vec<_> =
        all.iter().map(|delivery| delivery["sequence"].as_str().unwrap().parse::<u32>().unwrap()).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    let payments: BTreeSet<_> =
        shop.heard().iter().map(|(_, _, body)| body["data"]["paymentId"].to_string()).collect();
    assert_eq!((payments.len(), shop.heard().len()), (20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn t16_after_a_change_of_secrets_old_and_new_receivers_believe_a_test() {
    let world = World::new(Mining::Instant);
    let (shop, office) = (Shop::default(), Office::open(&world).await);
    let address = shop.clone().open().await;
    let wish =
        json!({ "url": format!("http://{address}/hook"), "compat": "stripe", "types": ["payment.reorged"] });
    let (status, made) = office.ask("POST", "", wish).await;
    assert_eq!((status, &made["types"]), (201, &json!(["payment.reorged"])), "{made}");
    let id = made["id"].as_str().unwrap();
    let (status, changed) = office.ask("PATCH", &format!("/{id}"), json!({ "rotate": true })).await;
    assert_eq!((status, &changed["oldSecretEndsAt"]), (200, &json!(NOW + 86_400)), "{changed}");
    assert_ne!(made["secret"], changed["secret"]);
    assert_eq!(office.ask("POST", &format!("/{id}/test"), json!({})).await.0, 202);
    let [(_, headers, body)] = shop.until(1).await.try_into().unwrap();
    assert_eq!((&body["type"], &body["data"]["endpointId"]), (&"endpoint.test".into(), &json!(id)));
    let bytes = shop.heard.lock().unwrap()[0].2.clone();
    for secret in [&made["secret"], &changed["secret"]] {
        let receiver = Receiver::new([secret.as_str().unwrap()]).unwrap();
        assert!(receiver.verify(&headers, &bytes, Timestamp(NOW)).is_ok());
    }
    let stripe = headers["x402-signature"].to_str().unwrap();
    assert!(stripe.starts_with(&format!("t={NOW},v1=")) && stripe.matches(",v1=").count() == 2, "{stripe}");
    // No type of its own: the settlement is not for it.
    world.engine.settle(&world.payer(1).pay(1), &offer()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(shop.heard().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_belong_to_the_key_that_made_them() {
    let world = World::new(Mining::Instant);
    let caller = |name: &str, key: &str, pay_to: &str| Caller {
        name: name.into(),
        digest: digest(key),
        networks: Vec::new(),
        assets: Vec::new(),
        pay_to: vec![pay_to.into()],
        gas_per_day: None,
    };
    let other = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
    let callers = vec![caller("ann", "groat_ann", PAY_TO), caller("bob", "groat_bob", other)];
    let office = Office::with(&world, callers, "groat_ann").await;
    let shop = Shop::default();
    let address = shop.clone().open().await;
    let (id, _) = office.endpoint(format!("http://{address}/ann")).await;
    let bob = Office {
        key: "groat_bob",
        worker: tokio::spawn(async {}),
        now: Arc::clone(&office.now),
        server: office.server,
    };
    bob.endpoint(format!("http://{address}/bob")).await;
    let nobody = Office {
        key: "groat_eve",
        worker: tokio::spawn(async {}),
        now: Arc::clone(&office.now),
        server: office.server,
    };
    let paths = [
        ("GET", format!("/{id}")),
        ("PATCH", format!("/{id}")),
        ("DELETE", format!("/{id}")),
        ("POST", format!("/{id}/test")),
        ("GET", format!("/{id}/deliveries")),
        ("POST", format!("/{id}/deliveries/msg_1/redeliver")),
    ];
    for (method, path) in &paths {
        assert_eq!(bob.ask(method, path, json!({})).await.0, 404, "{method} {path}");
        assert_eq!(nobody.ask(method, path, json!({})).await.0, 401, "{method} {path}");
    }
    assert_eq!(nobody.ask("POST", "", json!({ "url": "https://x.example/" })).await.0, 401);
    let (_, list) = bob.ask("GET", "", Value::Null).await;
    assert_eq!(list["endpoints"].as_array().unwrap().len(), 1);
    // Each hears of what its key is good for.
    world.engine.settle(&world.payer(1).pay(1), &offer()).await.unwrap();
    office.until(&id, |all| states(all) == ["delivered"]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(shop.heard().iter().all(|(path, ..)| path == "ann"), "{:?}", shop.heard());
    assert_eq!(office.ask("DELETE", &format!("/{id}"), Value::Null).await.0, 204);
    assert_eq!(office.ask("GET", &format!("/{id}"), Value::Null).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn h01_what_is_no_endpoint_gets_a_problem() {
    let world = World::new(Mining::Instant);
    let office = Office::open(&world).await;
    let url = "https://shop.example/";
    for (body, status, code) in [
        (json!({}), 400, "invalid_payload"),
        (json!([]), 400, "invalid_payload"),
        (json!({ "url": url, "urll": url }), 400, "invalid_payload"),
        (json!({ "url": 7 }), 400, "invalid_payload"),
        (json!({ "url": "ftp://shop.example/" }), 422, "url_not_allowed"),
        (json!({ "url": "http://169.254.169.254/latest/meta-data" }), 422, "url_not_allowed"),
        (json!({ "url": "https://ann:secret@shop.example/" }), 422, "url_not_allowed"),
        (json!({ "url": url, "types": ["payment.expired"] }), 422, "unfit"),
        (json!({ "url": url, "compat": "paypal" }), 422, "unfit"),
        (json!({ "url": url, "signature": "none" }), 422, "unfit"),
        (json!({ "url": url, "signature": "v1a", "compat": "stripe" }), 422, "unfit"),
    ] {
        let (got, problem) = office.ask("POST", "", body.clone()).await;
        assert_eq!(
            (got, &problem["code"], &problem["status"]),
            (status, &json!(code), &json!(status)),
            "{body}"
        );
        assert!(problem["detail"].is_string() && !problem.to_string().contains("secret@"), "{problem}");
    }
    let (_, made) = office.ask("POST", "", json!({ "url": url, "signature": "v1a" })).await;
    let id = made["id"].as_str().unwrap();
    assert!(made["publicKeys"][0].as_str().unwrap().starts_with("whpk_"), "{made}");
    assert!(!made.to_string().contains("whsk") && made.get("secret").is_none(), "{made}");
    for (body, status) in [
        (json!({ "old_secret_s": 5 }), 422),
        (json!({ "rotate": true, "old_secret_s": 604_801 }), 422),
        (json!({ "compat": "stripe" }), 422),
        (json!({ "url": "gopher://x/" }), 422),
        (json!({ "disabled": "yes" }), 400),
        (json!({ "disabled": true, "compat": null }), 200),
        (json!({ "disabled": false, "types": [] }), 200),
    ] {
        assert_eq!(office.ask("PATCH", &format!("/{id}"), body.clone()).await.0, status, "{body}");
    }
    for path in ["/we_1", "/%00", "/we_1%2F..", "/we_1/deliveries"] {
        assert_eq!(office.ask("GET", path, Value::Null).await.0, 404, "{path}");
    }
    let (status, problem) = office.ask("GET", &format!("/{id}/deliveries?page=2"), Value::Null).await;
    assert_eq!((status, &problem["code"]), (400, &"invalid_query".into()));
    // A page of somebody else in a browser of ours can send forms, and no JSON.
    let form =
        reqwest::Client::new().post(format!("http://{}/v1/webhook_endpoints/{id}/test", office.server));
    assert_eq!(form.body("{}").send().await.unwrap().status().as_u16(), 415);
}
