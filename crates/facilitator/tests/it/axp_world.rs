//! AgentXPay's contracts on a chain, accounts with keys, and a gate that sells a service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, eip191_hash_message, hex, keccak256};
use alloy_sol_types::{SolCall, sol};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::any;
use groat_chain_evm::{ByHashEvm, Chain, ChainOptions, Rpc, ServiceAsk};
use groat_core::ports::Clock;
use groat_core::{Amount, Network, Terms, Timestamp};
use groat_devchain::agentxpay::{PAYMENT_MANAGER, SERVICE_REGISTRY, SUBSCRIPTION_MANAGER};
use groat_devchain::{ChainClock, Config, DevChain};
use groat_facilitator::{Engine, EngineOptions};
use groat_seller::{Paid, Pay, PayBuilder};
use groat_store::MemoryStore;
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::NOW;

sol! {
    interface Registry {
        function registerService(string name, string description, string endpoint, string category, uint256 pricePerCall) external returns (uint256);
        function deactivateService(uint256 serviceId) external;
        function addSubscriptionPlan(uint256 serviceId, string name, uint256 price, uint256 duration) external returns (uint256);
    }

    interface Subscriptions {
        function subscribe(uint256 serviceId, uint256 planId) external payable returns (uint256);
    }
}

pub(crate) const PRICE: u128 = 10_000;
const PLAN_PRICE: u128 = 1_000_000;
pub(crate) const PLAN_S: u64 = 3_600;
pub(crate) const URL: &str = "https://api.example";

/// Somebody with a key and a coin.
#[derive(Clone, Copy)]
pub(crate) struct Account(pub(crate) SecretKey);

impl Account {
    pub(crate) fn new(chain: &DevChain, seed: u8) -> Self {
        let account = Self(SecretKey::from_byte_array([seed; 32]).unwrap());
        chain.set_balance(account.address(), U256::from(10).pow(U256::from(18)));
        account
    }

    pub(crate) fn address(&self) -> Address {
        let public = self.0.public_key(SECP256K1).serialize_uncompressed();
        Address::from_slice(&keccak256(&public[1..])[12..])
    }

    fn sign(&self, digest: [u8; 32]) -> ([u8; 64], bool) {
        let (id, bytes) =
            SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest), &self.0).serialize_compact();
        (bytes, i32::from(id) == 1)
    }

    /// EIP-191 over a text.
    pub(crate) fn sign_text(&self, text: &str) -> String {
        let (bytes, odd) = self.sign(eip191_hash_message(text).0);
        hex::encode_prefixed([&bytes[..], &[27 + u8::from(odd)]].concat())
    }

    /// A transaction that must go through.
    pub(crate) fn send(&self, chain: &DevChain, to: Address, value: u128, call: &impl SolCall) {
        let nonce = chain.request("eth_getTransactionCount", json!([self.address(), "latest"])).unwrap();
        let transaction = TxLegacy {
            chain_id: Some(84532),
            nonce: serde_json::from_value::<U256>(nonce).unwrap().to(),
            gas_price: 2_000_000_000,
            gas_limit: 5_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            input: call.abi_encode().into(),
        };
        let (bytes, odd) = self.sign(transaction.signature_hash().0);
        let signature = Signature::from_bytes_and_parity(&bytes, odd);
        let raw = Bytes::from(TxEnvelope::Legacy(transaction.into_signed(signature)).encoded_2718());
        let receipt = chain.request("eth_sendRawTransactionSync", json!([raw])).unwrap();
        assert_eq!(receipt["status"], "0x1", "{receipt}");
    }
}

pub(crate) struct Shop {
    pub(crate) chain: DevChain,
    pub(crate) provider: Account,
    pub(crate) ada: Account,
    pub(crate) eve: Account,
    pub(crate) hits: Arc<AtomicUsize>,
}

impl Shop {
    /// One service with one plan, which Ada has bought.
    pub(crate) fn new() -> Self {
        let chain = DevChain::new(Config { clock: ChainClock::Fixed(NOW), ..Config::default() });
        let [provider, ada, eve] = [1, 2, 3].map(|seed| Account::new(&chain, seed));
        let shop = Self { chain, provider, ada, eve, hits: Arc::default() };
        shop.register("weather", "data", PRICE);
        let plan = Registry::addSubscriptionPlanCall {
            serviceId: U256::from(1),
            name: "an hour".into(),
            price: U256::from(PLAN_PRICE),
            duration: U256::from(PLAN_S),
        };
        provider.send(&shop.chain, SERVICE_REGISTRY, 0, &plan);
        let subscribe = Subscriptions::subscribeCall { serviceId: U256::from(1), planId: U256::ZERO };
        ada.send(&shop.chain, SUBSCRIPTION_MANAGER, PLAN_PRICE, &subscribe);
        shop
    }

    pub(crate) fn register(&self, name: &str, category: &str, price: u128) {
        let call = Registry::registerServiceCall {
            name: name.into(),
            description: "what it is like outside".into(),
            endpoint: "https://api.example/weather".into(),
            category: category.into(),
            pricePerCall: U256::from(price),
        };
        self.provider.send(&self.chain, SERVICE_REGISTRY, 0, &call);
    }

    pub(crate) fn ask(&self) -> ServiceAsk {
        ServiceAsk {
            manager: PAYMENT_MANAGER.to_string(),
            service: 1,
            provider: self.provider.address().to_string(),
            price_wei: Amount::from_units(PRICE),
            payer: None,
            subscriptions: Some(SUBSCRIPTION_MANAGER.to_string()),
            subscription: None,
        }
    }

    pub(crate) fn terms(&self) -> Terms {
        self.ask().terms(Network::eip155(84532))
    }

    pub(crate) fn evm(&self) -> Chain {
        Chain::new(84532, Rpc::local(self.chain.transport()), Vec::new(), ChainOptions::default())
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        let chain = self.chain.clone();
        Arc::new(move || Timestamp(chain.now()))
    }

    pub(crate) fn builder(&self) -> PayBuilder {
        let looks = ByHashEvm::on(vec![self.evm()]);
        let store = Arc::new(MemoryStore::default());
        let engine = Engine::observing(
            Vec::new(),
            vec![Arc::new(looks.clone())],
            store.clone(),
            self.clock(),
            EngineOptions::default(),
        );
        Pay::builder()
            .facilitator(Arc::new(engine))
            .mechanisms(vec![Arc::new(ByHashEvm::offline())])
            .access(vec![Arc::new(looks)])
            .store(store)
            .clock(self.clock())
            .network("eip155:84532")
            .pay_to(&self.provider.address().to_string())
    }

    /// `/weather`, for these terms. Each call is as after a restart: nothing is remembered.
    pub(crate) fn app(&self, terms: Terms) -> Router {
        self.app_of(&self.builder().public_url(URL).build().unwrap(), terms)
    }

    pub(crate) fn app_of(&self, pay: &Pay, terms: Terms) -> Router {
        let hits = Arc::clone(&self.hits);
        let handler = move |request: Request<Body>| async move {
            hits.fetch_add(1, Ordering::SeqCst);
            let paid = request.extensions().get::<Paid>().cloned().unwrap();
            assert!(!request.headers().contains_key("x-subscription-address"), "it is for the gate");
            format!("{} {} {}", paid.by_access, paid.amount, paid.payer.unwrap_or_default())
        };
        let layer = pay.route().ask(terms).build().unwrap();
        Router::new().route("/weather", any(handler).layer(layer))
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

/// Status, error and body of an answer.
pub(crate) async fn answer(app: &Router, request: Request<Body>) -> (StatusCode, String, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    (status, json["error"].as_str().unwrap_or_default().to_owned(), text)
}
