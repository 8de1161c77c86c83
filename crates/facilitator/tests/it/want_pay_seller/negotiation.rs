//! Want-Pay in both directions, and the request in a 402.

use groat_core::{Network, Price, Terms};
use http::{HeaderName, Method, StatusCode};
use serde_json::json;

use super::bazaar::*;
use crate::agentxpay::market::{Seen, Shop};

/// `/both` takes dollars on two chains, the second first.
fn world() -> (Bazaar, Shop) {
    let bazaar = Bazaar::new();
    let pay = bazaar.pay_with(Setup::default(), bazaar.store.clone());
    let [here, there] = [84532, 8453].map(|id| bazaar.terms_on(id, "$0.01"));
    let layer = pay.route().ask(there).ask(here.clone()).description("A forecast").build().unwrap();
    let shop = bazaar.serve([("/both", layer), ("/one", pay.route().ask(here).build().unwrap())]);
    (bazaar, shop)
}

async fn wants(shop: &Shop, target: &str, value: &[u8]) -> Seen {
    let value = String::from_utf8_lossy(value).into_owned();
    shop.send(Method::GET, target, &[("Want-Pay", &value)], "").await
}

fn offered(seen: &Seen) -> (String, String) {
    assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED, "{seen:?}");
    let list = seen.headers["want-pay"].to_str().unwrap().to_owned();
    (text(&seen.json(), "chain"), list)
}

const LIST: &str = "usdc-base, usdc-base-sepolia";

#[tokio::test]
async fn the_seller_offers_what_weighs_most_and_lists_everything_in_its_own_order() {
    let (_bazaar, shop) = world();
    let first = shop.send(Method::GET, "/both", &[], "").await;
    assert_eq!(offered(&first), ("base".into(), LIST.into()));
    for (wish, chain) in [
        ("", "base"),
        (" , ,", "base"),
        ("usdc-base-sepolia", "base-sepolia"),
        ("USDC-BASE-SEPOLIA", "base-sepolia"),
        ("usdc-eip155:84532", "base-sepolia"),
        ("usdc-base-sepolia, usdc-base", "base"),
        ("usdc-base;q=0.2, usdc-base-sepolia;q=0.3", "base-sepolia"),
        ("usdc-base;q=0, usdc-base-sepolia", "base-sepolia"),
        ("usdc-base ; q=0.001 ,\tusdc-base-sepolia;q=1.000", "base-sepolia"),
        ("usdc-base-sepolia;q=0.1, usdc-base-sepolia;q=1, usdc-base;q=0.5", "base"),
        ("dai-base, usdc-atlantis, usdc-base-sepolia", "base-sepolia"),
        ("usdc-base-sepolia;level=9", "base-sepolia"),
    ] {
        let seen = wants(&shop, "/both", wish.as_bytes()).await;
        assert_eq!(offered(&seen), (chain.into(), LIST.into()), "{wish}");
        assert_ne!(seen.error(), "no_compatible_method", "{wish}");
        let others = seen.json()["alternatives"].as_array().unwrap().len();
        assert_eq!(others, 1, "{wish}");
    }
}

#[tokio::test]
async fn without_anything_in_common_the_402_is_complete_and_says_so() {
    let (_bazaar, shop) = world();
    for wish in ["dai-base", "usdc-base;q=0, usdc-base-sepolia;q=0.000", "usdt-ethereum", "usdc-atlantis"] {
        let seen = wants(&shop, "/both", wish.as_bytes()).await;
        assert_eq!(offered(&seen), ("base".into(), LIST.into()), "{wish}");
        assert_eq!(seen.error(), "no_compatible_method", "{wish}");
    }
}

#[tokio::test]
async fn a_wish_that_cannot_be_read_changes_nothing() {
    let (_bazaar, shop) = world();
    let plain = shop.send(Method::GET, "/both", &[], "").await;
    let long = "usdc-base,".repeat(300);
    let many = "usdc-base-sepolia,".repeat(33);
    for wish in ["nonsense", "usdc-base;q=2", "usdc-base;q=0.5;q=1", "-", "usdc-", "🦀-base", &long, &many]
    {
        let seen = wants(&shop, "/both", wish.as_bytes()).await;
        assert_eq!(offered(&seen), offered(&plain), "{wish}");
        assert_eq!(seen.error(), plain.error(), "{wish}");
    }
}

#[tokio::test]
async fn an_answer_that_depends_on_the_field_says_so_and_is_not_stored() {
    let (_bazaar, shop) = world();
    for seen in [shop.send(Method::GET, "/both", &[], "").await, wants(&shop, "/both", b"dai-base").await] {
        let vary: Vec<_> = seen.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        let vary = vary.join(",").to_ascii_lowercase();
        assert!(vary.split(',').any(|name| name.trim() == "want-pay"), "{vary}");
        assert_eq!(seen.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn a_price_that_depends_on_the_request_is_offered_as_wished_too() {
    let bazaar = Bazaar::new();
    let pay = bazaar.pay_with(Setup::default(), bazaar.store.clone());
    let layer = pay
        .route()
        .scheme("x402-pay")
        .network("eip155:8453")
        .network("eip155:84532")
        .pay_to(&bazaar.seller().to_string())
        .price_fn(|_| async { Price::parse("$0.01") })
        .build()
        .unwrap();
    let shop = bazaar.serve([("/both", layer)]);
    assert_eq!(offered(&wants(&shop, "/both", b"").await), ("base".into(), LIST.into()));
    let seen = wants(&shop, "/both", b"usdc-base-sepolia").await;
    assert_eq!(offered(&seen), ("base-sepolia".into(), LIST.into()));
    assert_eq!(wants(&shop, "/both", b"dai-base").await.error(), "no_compatible_method");
}

#[tokio::test]
async fn a_refused_proof_is_answered_with_what_the_buyer_wishes() {
    let (bazaar, shop) = world();
    let request = shop.asked("/one").await;
    let token = bazaar.proof(&request, alloy_primitives::B256::ZERO);
    let fields = [("Pay", &*format!("proof={token}")), ("Want-Pay", "usdc-base-sepolia")];
    let seen = shop.send(Method::GET, "/both", &fields, "").await;
    seen.is_refused("unknown_request");
    assert_eq!(offered(&seen), ("base-sepolia".into(), LIST.into()));
}

#[tokio::test]
async fn t14_every_402_has_another_id_and_nonce_and_its_hash_is_that_of_its_members() {
    let (_bazaar, shop) = world();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let request = shop.asked("/both").await;
        let other = request["alternatives"][0].clone();
        for request in [&request, &other] {
            assert!(ids.insert(text(request, "id")), "{request}");
            assert!(ids.insert(text(request, "nonce")), "{request}");
        }
    }
    let request = shop.asked("/both").await;
    assert_eq!(text(&request, "requestHash"), hash_of(&request));
    assert_eq!(text(&request["alternatives"][0], "requestHash"), hash_of(&request["alternatives"][0]));
    assert_eq!(request["version"], "x402-pay/1");
    assert_eq!(request["resource"], format!("{ORIGIN}/both"));
    assert_eq!((&request["method"], &request["amount"]), (&json!("GET"), &json!("0.01")));
    assert_eq!(request["facilitator"], FACILITATOR);
    let expires = request["expires"].as_u64().unwrap();
    assert!(expires > START && expires <= START + 3_600, "{expires}");
}

#[tokio::test]
async fn t15_t22_a_402_in_every_dialect_is_read_in_this_one_with_a_right_hash() {
    let bazaar = Bazaar::new();
    let pay = bazaar.pay_with(Setup::default(), bazaar.store.clone());
    for description in ["", "A forecast", &"long ".repeat(100)] {
        let exact = Terms { scheme: "exact".into(), ..bazaar.terms("$0.01") };
        let layer =
            pay.route().ask(exact).ask(bazaar.terms("$0.01")).description(description).build().unwrap();
        let shop = bazaar.serve([("/mixed", layer)]);
        let seen = shop.send(Method::GET, "/mixed", &[], "").await;
        assert_eq!(seen.json()["x402Version"], 1, "{seen:?}");
        assert!(seen.headers.contains_key("payment-required"));
        assert_eq!(text(&seen.json(), "requestHash"), hash_of(&seen.json()), "{description}");
        let read = groat_wire::want_pay::request::PaymentRequest::read(seen.body.as_bytes());
        assert_eq!(read.unwrap().network(), Some(Network::eip155(84532)), "{description}");
    }
}

#[tokio::test]
async fn many_ways_to_pay_are_as_many_alternatives_as_a_buyer_reads() {
    let bazaar = Bazaar::new();
    let pay = bazaar.pay_with(Setup::default(), bazaar.store.clone());
    let mut route = pay.route();
    for cents in 1..=12 {
        route = route.ask(bazaar.terms(&format!("$0.{cents:02}")));
    }
    let shop = bazaar.serve([("/many", route.build().unwrap())]);
    let seen = shop.send(Method::GET, "/many", &[], "").await;
    let read = groat_wire::want_pay::request::PaymentRequest::read(seen.body.as_bytes());
    assert_eq!(read.unwrap().more.alternatives.len(), 8);
}

#[tokio::test]
async fn the_field_does_not_reach_the_handler() {
    let (bazaar, shop) = world();
    let request = shop.asked("/one").await;
    let token = bazaar.proof(&request, bazaar.settle(&request));
    let fields = [("Pay", &*format!("proof={token}")), ("Want-Pay", "usdc-base-sepolia")];
    shop.send(Method::GET, "/one", &fields, "").await.is_served();
    let seen = bazaar.last_seen();
    for name in ["pay", "want-pay"] {
        assert!(!seen.contains_key(HeaderName::from_static(name)), "{seen:?}");
    }
}
