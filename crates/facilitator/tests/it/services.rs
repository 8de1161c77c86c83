//! A seller's routes beside the registry on chain; discovery; the list of services; payers who prove themselves.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, U256, hex};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use groat_buyer::{BuyError, Buyer, Client, DenyAll, LocalSigner, Options};
use groat_chain_evm::{ByHashEvm, Purse, ServiceTrouble, Wanted, discover};
use groat_core::policy::Policy;
use groat_core::{Amount, Network, Reason};
use groat_devchain::agentxpay::{PAYMENT_MANAGER, SERVICE_REGISTRY};
use groat_seller::{Gateway, GatewayConfig, RouteRule};
use groat_store::MemoryStore;
use groat_wire::Dialects;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::axp_world::{PRICE, Registry, Shop};

fn network() -> Network {
    Network::eip155(84532)
}

#[tokio::test]
async fn a_route_that_differs_from_its_registry_is_found_out() {
    let shop = Shop::new();
    let registry = ByHashEvm::on(vec![shop.evm()]);
    assert_eq!(registry.compare(&shop.terms()).await, Ok(()));
    let nobody = Address::repeat_byte(9).to_string();
    type Change<'a> = &'a dyn Fn(&mut groat_chain_evm::ServiceAsk);
    let changes: [(&str, Change<'_>); 5] = [
        ("costs 10000 wei in its registry and 9999 here", &|ask| ask.price_wei = Amount::from_units(9_999)),
        ("belongs to", &|ask| ask.provider.clone_from(&nobody)),
        ("the registry of the payment manager", &|ask| ask.service = 2),
        ("does not answer as such a contract", &|ask| ask.manager.clone_from(&nobody)),
        ("the subscription manager", &|ask| ask.subscriptions = Some(nobody.clone())),
    ];
    for (part, change) in changes {
        let mut ask = shop.ask();
        change(&mut ask);
        match registry.compare(&ask.terms(network())).await {
            Err(ServiceTrouble::Differs(what)) => assert!(what.contains(part), "{what}"),
            other => panic!("{part}: {other:?}"),
        }
    }
    shop.chain.faults(|faults| faults.fail_next.insert("eth_call".into(), (1, -32005)));
    assert!(matches!(registry.compare(&shop.terms()).await, Err(ServiceTrouble::Unknown(_))));
    let off = Registry::deactivateServiceCall { serviceId: U256::from(1) };
    shop.provider.send(&shop.chain, SERVICE_REGISTRY, 0, &off);
    match registry.compare(&shop.terms()).await {
        Err(ServiceTrouble::Differs(what)) => assert!(what.contains("is off sale"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn f050_what_is_on_sale_is_found_by_category_and_price_and_its_texts_are_harmless() {
    let shop = Shop::new();
    shop.register("news", "data", PRICE * 2);
    shop.register("maps", "places", PRICE);
    shop.register("off", "data", PRICE);
    let long = format!("\u{1b}[2Jcheap\n{}", "x".repeat(1_000));
    shop.register(&long, "data", PRICE / 2);
    let off = Registry::deactivateServiceCall { serviceId: U256::from(4) };
    shop.provider.send(&shop.chain, SERVICE_REGISTRY, 0, &off);
    let chain = shop.evm();
    let find = |category: Option<&str>, max_price: Option<u128>| {
        let wanted = Wanted { category: category.map(Into::into), max_price: max_price.map(U256::from) };
        let chain = chain.clone();
        async move {
            let found = discover(&chain, SERVICE_REGISTRY, &wanted).await.unwrap();
            found.iter().map(|listed| listed.id.to::<u64>()).collect::<Vec<_>>()
        }
    };
    assert_eq!(find(None, None).await, [1, 2, 3, 5]);
    assert_eq!(find(Some("data"), None).await, [1, 2, 5]);
    assert_eq!(find(None, Some(PRICE)).await, [1, 3, 5]);
    assert_eq!(find(Some("data"), Some(PRICE - 1)).await, [5]);
    assert_eq!(find(Some("none"), None).await, [0_u64; 0]);
    let found = discover(&chain, SERVICE_REGISTRY, &Wanted::default()).await.unwrap();
    assert_eq!(found[0].name, "weather");
    assert_eq!((found[0].price, found[0].provider), (U256::from(PRICE), shop.provider.address()));
    assert_eq!(found[3].name.chars().count(), 300);
    assert!(!found[3].name.chars().any(char::is_control), "{:?}", found[3].name);
    let nowhere = discover(&chain, Address::repeat_byte(9), &Wanted::default()).await;
    assert!(nowhere.is_err());
}

#[tokio::test]
async fn a_gateway_with_services_lists_them() {
    let shop = Shop::new();
    let mechanisms: Vec<Arc<dyn groat_core::ports::Mechanism>> =
        vec![Arc::new(groat_chain_evm::ExactEvm::offline()), Arc::new(ByHashEvm::offline())];
    let pay = shop.builder().mechanisms(mechanisms).build().unwrap();
    let mut config = GatewayConfig::new("http://127.0.0.1:9");
    let mut rule = RouteRule::new("POST /api/chat", "$0.01");
    rule.asks.push(shop.terms());
    config.routes = vec![RouteRule::new("GET /else", "$0.01"), rule];
    let gateway = Gateway::new(&pay, &config).unwrap();
    let ask = |method: &str, path: &str| {
        Request::builder().method(method).uri(path).header("host", "localhost").body(Body::empty()).unwrap()
    };
    let response = gateway.clone().oneshot(ask("GET", "/api/services")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    let expected = json!({ "services": [
        { "path": "/api/chat", "method": "POST", "serviceId": 1, "price": "10000", "token": "native" },
    ] });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    let response = gateway.clone().oneshot(ask("POST", "/api/chat")).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(response.headers()["x-payment-serviceid"], "1");
    // Without a service the page is the upstream's.
    config.routes.truncate(1);
    let gateway = Gateway::new(&pay, &config).unwrap();
    let response = gateway.oneshot(ask("GET", "/api/services")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn b15_a_buyer_who_proves_to_be_the_payer_is_served_where_that_is_required() {
    let shop = Shop::new();
    let mut ask = shop.ask();
    ask.payer = Some("required".to_owned());
    let pay = shop.builder().build().unwrap();
    let app = shop.app_of(&pay, ask.terms(network()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/weather?city=a%20b", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let client = |prove_payer| {
        let purse = Purse {
            managers: vec![(network(), PAYMENT_MANAGER)],
            coins: vec![(network(), 1_000_000)],
            direct: false,
        };
        Client::new(Buyer {
            signer: Arc::new(LocalSigner::from_hex(&hex::encode(shop.eve.0.secret_bytes())).unwrap()),
            policy: Policy::default(),
            store: Arc::new(MemoryStore::default()),
            payers: vec![Arc::new(ByHashEvm::buying(vec![shop.evm()], purse))],
            dialects: Dialects::standard(),
            clock: shop.clock(),
            approver: Arc::new(DenyAll),
            options: Options {
                prove_payer,
                dialect: Some(groat_wire::agentxpay::ID),
                patience: Duration::from_secs(2),
                ..Options::default()
            },
        })
        .unwrap()
    };
    let refused = client(false).post(&url, "hello").await.unwrap_err();
    assert!(
        matches!(&refused, BuyError::Refused { reason, .. } if *reason == Reason::InvalidSignature),
        "{refused:?}"
    );
    assert_eq!(shop.hits(), 0);
    let bought = client(true).post(&url, "hello").await.unwrap();
    assert_eq!(bought.response.status(), 200);
    assert_eq!(shop.hits(), 1);
}
