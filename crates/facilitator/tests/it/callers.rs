//! API keys: who may ask, and for what.

use std::net::SocketAddr;
use std::sync::Arc;

use alloy_primitives::U256;
use groat_chain_evm::ExactEvm;
use groat_core::ports::{Facilitator, Mechanism};
use groat_core::{Failure, Fault, Network, Reason};
use groat_devchain::{Mining, USDC};
use groat_facilitator::Remote;
use groat_facilitator::http::{Caller, digest};
use serde_json::Value;

use crate::server::{serve, serve_callers};
use crate::settle::reason;
use crate::want_pay::Shop;
use crate::world::{PAY_TO, World, offer};

const KEY: &str = "groat_for-a-shop";

fn caller() -> Caller {
    Caller {
        name: "shop".into(),
        digest: digest(KEY),
        networks: Vec::new(),
        assets: Vec::new(),
        pay_to: Vec::new(),
        gas_per_day: None,
    }
}

fn mechanisms() -> Vec<Arc<dyn Mechanism>> {
    vec![Arc::new(ExactEvm::offline())]
}

fn holder(server: SocketAddr) -> Remote {
    Remote::with_key(&format!("http://{server}"), KEY, mechanisms()).unwrap()
}

async fn ask(server: SocketAddr, method: &str, path: &str, fields: &[&str]) -> (u16, String, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://{server}{path}");
    let mut request = reqwest::Client::new().request(method.parse().unwrap(), url);
    for field in fields {
        request = request.header("authorization", *field);
    }
    let response = request.send().await.unwrap();
    let wanted = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
    (status, wanted.unwrap_or_default(), serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_set_only_capability_health_and_description_are_open() {
    let world = World::new(Mining::Instant);
    let server = serve_callers(&world, vec![caller()]).await;
    // One with a contract, for what is there only then.
    let shop = Shop::with(Mining::Instant, vec![caller()]);
    let (_, _, description) = ask(server, "GET", "/openapi.json", &[]).await;
    let (mut asked, mut of_requests) = (0, 0);
    for (path, methods) in description["paths"].as_object().unwrap() {
        let mut methods = methods.as_object().unwrap().keys().filter(|key| *key != "parameters");
        let method = methods.next().unwrap().to_uppercase();
        if path.starts_with("/v1/") && !path.starts_with("/v1/webhook_endpoints") {
            of_requests += 1;
            let answer = shop.ask(&method, &path.replace("{id}", "pay_1"), "", &[]).await;
            let expected = if path == "/v1/supported" { (200, None) } else { (401, Some("unauthorized")) };
            assert_eq!((answer.status, answer.body["code"].as_str()), expected, "{path}");
            continue;
        }
        let (status, wanted, answer) = ask(server, &method, path, &[]).await;
        if ["/supported", "/livez", "/readyz"].contains(&path.as_str()) {
            assert_eq!(status, 200, "{path}");
            continue;
        }
        asked += 1;
        assert_eq!((status, wanted.as_str(), &answer["error"]), (401, "Bearer", &"unauthorized".into()));
        assert!(answer["message"].as_str().unwrap().contains("Authorization: Bearer KEY"), "{answer}");
    }
    assert!(asked >= 5 && of_requests == 6, "{description}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_whole_key_in_the_one_field_is_a_key() {
    let world = World::new(Mining::Instant);
    let mut other = caller();
    other.digest = digest("another");
    let server = serve_callers(&world, vec![other, caller()]).await;
    let good = format!("Bearer {KEY}");
    let path = "/payments";
    for spelling in [good.clone(), format!("bearer {KEY}"), format!("BEARER  {KEY}")] {
        assert_eq!(ask(server, "GET", path, &[&spelling]).await.0, 400, "{spelling}");
    }
    let hex: String = digest(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
    for fields in [
        vec![KEY.to_owned()],
        vec![format!("Basic {KEY}")],
        vec!["Bearer ".to_owned()],
        vec![format!("Bearer {}", &KEY[..KEY.len() - 1])],
        vec![format!("Bearer {KEY}a")],
        vec![format!("Bearer {}", KEY.to_uppercase())],
        // What the configuration holds opens nothing.
        vec![format!("Bearer {hex}")],
        vec![good.clone(), good],
    ] {
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        assert_eq!(ask(server, "GET", path, &fields).await.0, 401, "{fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_settles_with_its_key_and_without_it_nothing_moves() {
    let world = World::new(Mining::Instant);
    let server = serve_callers(&world, vec![caller()]).await;
    let payment = world.payer(1).pay(1);
    let stranger = Remote::new(&format!("http://{server}"), mechanisms()).unwrap();
    let refused = stranger.verify(&payment, &offer()).await;
    let Err(Failure::Fault(fault @ Fault::Unavailable { .. })) = refused else { panic!("{refused:?}") };
    assert!(fault.to_string().contains("GROAT_FACILITATOR_KEY"), "{fault}");
    // Whoever does not know its own key does not know either whether it was understood.
    let unknown = stranger.settle(&payment, &offer()).await;
    assert!(matches!(unknown, Err(Failure::Fault(Fault::Pending { .. }))), "{unknown:?}");
    assert_eq!(world.received(), U256::ZERO);
    let holder = holder(server);
    holder.verify(&payment, &offer()).await.unwrap();
    let receipt = holder.settle(&payment, &offer()).await.unwrap();
    assert_eq!(receipt, world.engine.settle(&payment, &offer()).await.unwrap());
    // Without keys there is nothing to show, and showing one does no harm.
    let open = Remote::with_key(&format!("http://{}", serve(&world).await), KEY, mechanisms()).unwrap();
    assert_eq!(open.settle(&payment, &offer()).await.unwrap(), receipt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_for_its_networks_tokens_and_payees() {
    let world = World::new(Mining::Instant);
    let other = "0x90F79bf6EB2c4f870365E785982E1f101E93b906".to_owned();
    let payment = world.payer(1).pay(1);
    for (limited, expected) in [
        (Caller { networks: vec![Network::eip155(8453)], ..caller() }, Reason::InvalidNetwork),
        (Caller { assets: vec![other.clone()], ..caller() }, Reason::AssetNotAllowed),
        (Caller { pay_to: vec![other.clone()], ..caller() }, Reason::PayToNotAllowed),
    ] {
        let holder = holder(serve_callers(&world, vec![limited]).await);
        assert_eq!(reason(holder.verify(&payment, &offer()).await), expected);
        assert_eq!(reason(holder.settle(&payment, &offer()).await), expected);
    }
    assert_eq!(world.received(), U256::ZERO);
    let within = Caller {
        networks: vec![Network::eip155(84532)],
        assets: vec![other.clone(), USDC.to_string().to_lowercase()],
        pay_to: vec![PAY_TO.to_lowercase()],
        ..caller()
    };
    let settled = holder(serve_callers(&world, vec![within]).await).settle(&payment, &offer()).await;
    let receipt = settled.unwrap();
    // The list is another now. What was settled under the old one is no refusal, or it would be paid twice.
    let server = serve_callers(&world, vec![Caller { pay_to: vec![other], ..caller() }]).await;
    assert_eq!(holder(server).settle(&payment, &offer()).await.unwrap(), receipt);
    // But somebody else's payment is nobody's business.
    let id = ExactEvm::offline().key(&payment, &offer()).unwrap().0.id();
    let (status, _, answer) =
        ask(server, "GET", &format!("/payments/{id}"), &[&format!("Bearer {KEY}")]).await;
    assert_eq!((status, &answer["error"]), (403, &"pay_to_not_allowed".into()));
    assert_eq!(answer.get("payer"), None);
}

#[test]
fn k08_a_key_that_cannot_be_sent_is_not_shown() {
    let wrong = Remote::with_key("http://127.0.0.1:1", "groat_secret\n", mechanisms()).err().unwrap();
    assert!(!format!("{wrong} {wrong:?}").contains("secret"), "{wrong:?}");
}
