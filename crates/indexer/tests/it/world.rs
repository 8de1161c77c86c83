//! A chain with AgentXPay's contracts, payers with keys, and indexers of it.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, sol};
use alloy_transport::{BoxTransport, IntoBoxTransport, TransportError, TransportErrorKind, TransportFut};
use axum::body::Body;
use axum::http::Request;
use groat_chain_evm::{Chain, ChainOptions, Contracts, Rpc};
use groat_core::Timestamp;
use groat_core::ports::Store;
use groat_devchain::agentxpay::{PAYMENT_MANAGER, SERVICE_REGISTRY, SUBSCRIPTION_MANAGER};
use groat_devchain::{ChainClock, Config, DevChain};
use groat_indexer::{Indexer, IndexerOptions, http};
use groat_store::MemoryStore;
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

sol! {
    interface Contract {
        function registerService(string name, string description, string endpoint, string category, uint256 pricePerCall) external returns (uint256);
        function addSubscriptionPlan(uint256 serviceId, string name, uint256 price, uint256 duration) external returns (uint256);
        function payPerUse(uint256 serviceId) external payable;
        function batchPay(uint256[] serviceIds) external payable;
        function deposit() external payable;
        function subscribe(uint256 serviceId, uint256 planId) external payable returns (uint256);
    }
}

pub(crate) const NOW: u64 = 1_800_057_600;
pub(crate) const PRICE: u128 = 10_000;
pub(crate) const CONTRACTS: Contracts =
    Contracts { payments: PAYMENT_MANAGER, subscriptions: Some(SUBSCRIPTION_MANAGER) };

#[derive(Clone, Copy)]
pub(crate) struct Account(SecretKey);

impl Account {
    pub(crate) fn address(&self) -> Address {
        let public = self.0.public_key(SECP256K1).serialize_uncompressed();
        Address::from_slice(&keccak256(&public[1..])[12..])
    }
}

pub(crate) struct World {
    pub(crate) chain: DevChain,
    pub(crate) provider: Account,
    pub(crate) ada: Account,
    pub(crate) store: MemoryStore,
    logs: Arc<Mutex<Box<OnLogs>>>,
}

/// What is said instead of events: an error, or nothing at all where its text is empty.
type OnLogs = dyn Fn(&Value) -> Result<(), String> + Send;

impl World {
    /// One service with one plan.
    pub(crate) fn new() -> Self {
        let chain = DevChain::new(Config { clock: ChainClock::Fixed(NOW), ..Config::default() });
        let [provider, ada] = [1, 2].map(|seed| Account(SecretKey::from_byte_array([seed; 32]).unwrap()));
        for account in [provider, ada] {
            chain.set_balance(account.address(), U256::from(10).pow(U256::from(18)));
        }
        let logs: Arc<Mutex<Box<OnLogs>>> = Arc::new(Mutex::new(Box::new(|_| Ok(()))));
        let world = Self { chain, provider, ada, store: MemoryStore::default(), logs };
        let service = Contract::registerServiceCall {
            name: "weather".into(),
            description: String::new(),
            endpoint: "https://api.example".into(),
            category: "data".into(),
            pricePerCall: U256::from(PRICE),
        };
        world.send(provider, SERVICE_REGISTRY, 0, &service);
        let plan = Contract::addSubscriptionPlanCall {
            serviceId: U256::from(1),
            name: "an hour".into(),
            price: U256::from(PRICE),
            duration: U256::from(3_600),
        };
        world.send(provider, SERVICE_REGISTRY, 0, &plan);
        world
    }

    /// A transaction that must go through; its hash.
    pub(crate) fn send(&self, by: Account, to: Address, value: u128, call: &impl SolCall) -> String {
        let nonce = self.chain.request("eth_getTransactionCount", json!([by.address(), "latest"])).unwrap();
        let transaction = TxLegacy {
            chain_id: Some(84532),
            nonce: serde_json::from_value::<U256>(nonce).unwrap().to(),
            gas_price: 2_000_000_000,
            gas_limit: 5_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            input: call.abi_encode().into(),
        };
        let digest = Message::from_digest(transaction.signature_hash().0);
        let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(digest, &by.0).serialize_compact();
        let signature = Signature::from_bytes_and_parity(&bytes, i32::from(id) == 1);
        let raw = Bytes::from(TxEnvelope::Legacy(transaction.into_signed(signature)).encoded_2718());
        let receipt = self.chain.request("eth_sendRawTransactionSync", json!([raw])).unwrap();
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt["transactionHash"].as_str().unwrap().to_owned()
    }

    /// Ada pays for a call.
    pub(crate) fn pay(&self) -> String {
        let call = Contract::payPerUseCall { serviceId: U256::from(1) };
        self.send(self.ada, PAYMENT_MANAGER, PRICE, &call)
    }

    pub(crate) fn subscribe(&self) -> String {
        let call = Contract::subscribeCall { serviceId: U256::from(1), planId: U256::ZERO };
        self.send(self.ada, SUBSCRIPTION_MANAGER, PRICE, &call)
    }

    pub(crate) fn evm(&self) -> Chain {
        let node = Node { inner: self.chain.transport().into_box_transport(), logs: Arc::clone(&self.logs) };
        Chain::new(84532, Rpc::local(node), Vec::new(), ChainOptions::default())
    }

    /// What the node says when it is asked for events.
    pub(crate) fn on_logs(&self, answer: impl Fn(&Value) -> Result<(), String> + Send + 'static) {
        *self.logs.lock().unwrap() = Box::new(answer);
    }

    /// An indexer on the store of this world, as after a restart.
    pub(crate) async fn indexer(&self) -> Indexer {
        self.indexer_on(Arc::new(self.store.clone()), IndexerOptions::default()).await
    }

    pub(crate) async fn indexer_on(&self, store: Arc<dyn Store>, options: IndexerOptions) -> Indexer {
        let clock = self.chain.clone();
        let clock = Arc::new(move || Timestamp(clock.now()));
        Indexer::open(self.evm(), CONTRACTS, store, clock, options).await.unwrap()
    }
}

/// Status and body of an answer.
pub(crate) async fn get(indexer: &Arc<Indexer>, path: &str) -> (u16, Value) {
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let response = http::router(Arc::clone(indexer)).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 22).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// Ada's transactions, the newest first.
pub(crate) async fn hashes(indexer: &Arc<Indexer>, world: &World) -> Vec<String> {
    let (_, told) = get(indexer, &format!("/api/events?address={}", world.ada.address())).await;
    let hash = |event: &Value| event["transaction_hash"].as_str().unwrap().to_owned();
    told["events"].as_array().unwrap().iter().map(hash).collect()
}

/// The chain behind a node that may have something else to say of events.
#[derive(Clone)]
struct Node {
    inner: BoxTransport,
    logs: Arc<Mutex<Box<OnLogs>>>,
}

impl Service<RequestPacket> for Node {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let call = serde_json::to_value(&packet).unwrap();
        if call["method"] == "eth_getLogs"
            && let Err(told) = (self.logs.lock().unwrap())(&call["params"][0])
        {
            let answer = match told.as_str() {
                "" => json!({ "jsonrpc": "2.0", "id": call["id"], "result": [] }),
                told => {
                    json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": -32000, "message": told } })
                }
            };
            return Box::pin(async move {
                serde_json::from_str(&answer.to_string()).map_err(TransportErrorKind::custom)
            });
        }
        self.inner.call(packet)
    }
}
