//! A chain with services, a seller who is paid by transaction hash, and people with keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, eip191_hash_message, hex};
use alloy_sol_types::{SolCall, SolValue, sol};
use axum::Router;
use axum::body::Body;
use axum::routing::any;
use groat_chain_evm::{ByHashEvm, Chain, ChainOptions, GasKey, NATIVE, Rpc, service_terms};
use groat_core::offer::Ask;
use groat_core::{Amount, Confirmations, Network, Terms, Timestamp};
use groat_devchain::agentxpay::{AGENT_WALLET_FACTORY, PAYMENT_MANAGER, SERVICE_REGISTRY};
use groat_devchain::{ChainClock, Config, DevChain, Mining};
use groat_facilitator::{Engine, EngineOptions};
use groat_seller::{Limits, Pay, PayLayer};
use groat_store::MemoryStore;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::world::NOW;

sol! {
    interface Registry {
        function registerService(string name, string description, string endpoint, string category, uint256 pricePerCall) external returns (uint256);
    }
    interface Manager {
        function payPerUse(uint256 serviceId) external payable;
        function batchPay(uint256[] serviceIds) external payable;
        function deposit() external payable;
        function payFromBalance(uint256 serviceId) external;
    }
    interface Factory {
        function createWallet(uint256 dailyLimit) external returns (address);
        function getWallets(address owner) external view returns (address[] memory);
    }
    interface Wallet {
        function execute(address to, uint256 value, bytes data) external returns (bytes);
        function authorizeAgent(address agent) external;
    }
}

/// The price of the first service, in wei.
pub(crate) const PRICE: u64 = 1_000;
/// The price of the second, which is the better one.
pub(crate) const PRICE_OF_REPORT: u64 = 5_000;
const GAS_PRICE: u128 = 2_000_000_000;

/// Somebody with a key and coins.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) key: SecretKey,
    pub(crate) address: Address,
}

impl Account {
    fn new(seed: u8) -> Self {
        let key = SecretKey::from_byte_array([seed; 32]).unwrap();
        Self { key, address: GasKey::from_bytes([seed; 32]).unwrap().address() }
    }

    /// `r`, `s`, and 27 or 28.
    pub(crate) fn sign(&self, digest: B256) -> [u8; 65] {
        let message = Message::from_digest(digest.0);
        let (recovery, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &self.key).serialize_compact();
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(&bytes);
        signature[64] = 27 + u8::try_from(i32::from(recovery)).unwrap();
        signature
    }

    /// What a payer signs for a request: section 4.6 of the specification, written out.
    pub(crate) fn sign_request(&self, method: &str, url: &str, hash: B256, body: &[u8]) -> String {
        let body = hex::encode(Sha256::digest(body));
        let lines = format!("x402-axp/1\n{method}\n{url}\n84532\n{hash:#x}\n{body}");
        hex::encode_prefixed(self.sign(eip191_hash_message(lines)))
    }
}

/// What the handlers have done and are to do.
#[derive(Default)]
pub(crate) struct Handlers {
    runs: BTreeMap<String, usize>,
    fail_next: usize,
    seen: Vec<HeaderMap>,
    wait: Option<Arc<Semaphore>>,
}

/// The world: a chain with two services of a provider and one of somebody else, and a store.
pub(crate) struct Market {
    pub(crate) chain: DevChain,
    pub(crate) store: MemoryStore,
    handlers: Arc<Mutex<Handlers>>,
    pub(crate) provider: Account,
    /// Pays.
    pub(crate) ada: Account,
    /// Does not want to.
    pub(crate) eve: Account,
}

impl Market {
    pub(crate) fn new(mining: Mining) -> Self {
        let chain = DevChain::new(Config { mining, clock: ChainClock::Fixed(NOW), ..Config::default() });
        let [provider, ada, eve] = [11, 12, 13].map(Account::new);
        for account in [&provider, &ada, &eve] {
            chain.set_balance(account.address, U256::from(10).pow(U256::from(20)));
        }
        let (store, handlers) = (MemoryStore::default(), Arc::default());
        let market = Self { chain, store, handlers, provider, ada, eve };
        // Their numbers are 1, 2 and 3.
        market.register(&market.provider, PRICE);
        market.register(&market.provider, PRICE_OF_REPORT);
        market.register(&market.eve, 1);
        market
    }

    pub(crate) fn register(&self, provider: &Account, price: u64) {
        let call = Registry::registerServiceCall {
            name: "forecast".into(),
            description: String::new(),
            endpoint: "https://api.example.com/forecast".into(),
            category: "weather".into(),
            pricePerCall: U256::from(price),
        };
        assert!(self.chain.stage(provider.address, SERVICE_REGISTRY, call.abi_encode().into()));
    }

    /// A service of the provider, as a route sells it.
    pub(crate) fn service(&self, id: &str, price: u64) -> Terms {
        let extra = service_terms(id, &self.provider.address.to_string());
        terms(NATIVE, price, PAYMENT_MANAGER, extra)
    }

    /// The same, where whoever shows a payment may have to be its payer.
    pub(crate) fn bound(&self, binding: &str) -> Terms {
        let mut terms = self.service("1", PRICE);
        let Ask::Units { extra, .. } = &mut terms.price else { unreachable!() };
        extra.insert("payer".into(), json!(binding));
        terms
    }

    /// A payment straight to the provider.
    pub(crate) fn direct(&self, asset: &str, price: u64) -> Terms {
        terms(asset, price, self.provider.address, serde_json::Map::new())
    }

    /// An engine and a gate on our store, as at every start of the process.
    pub(crate) fn shop(&self) -> Shop {
        self.shop_of([
            ("/forecast", self.service("1", PRICE)),
            ("/report", self.service("2", PRICE_OF_REPORT)),
        ])
    }

    pub(crate) fn shop_of<const N: usize>(&self, routes: [(&str, Terms); N]) -> Shop {
        self.shop_when(Confirmations::Blocks(1), routes)
    }

    pub(crate) fn shop_when<const N: usize>(
        &self,
        confirmations: Confirmations,
        routes: [(&str, Terms); N],
    ) -> Shop {
        let evm = Chain::new(84532, Rpc::local(self.chain.transport()), vec![], ChainOptions::default());
        let clock = self.chain.clone();
        let clock = Arc::new(move || Timestamp(clock.now()));
        let engine = Engine::observing(
            vec![],
            vec![Arc::new(ByHashEvm::on(vec![evm]))],
            Arc::new(self.store.clone()),
            clock.clone(),
            EngineOptions { look_interval: Duration::from_millis(50), ..EngineOptions::default() },
        );
        let mut limits = Limits::default();
        limits.settle_again_after_ms = 50;
        if !confirmations.is_mined() {
            // More than what is waited for an unknown transaction.
            limits.settle_timeout_s = 4;
        }
        let pay = Pay::builder()
            .facilitator(Arc::new(engine))
            .mechanisms(vec![Arc::new(ByHashEvm::offline())])
            .store(Arc::new(self.store.clone()))
            .clock(clock)
            .public_url("https://api.example.com")
            .limits(limits)
            .confirmations(confirmations)
            .build()
            .unwrap();
        self.serve(routes.map(|(path, terms)| (path, pay.route().ask(terms).build().unwrap())))
    }

    /// Our handlers behind these prices.
    pub(crate) fn serve<const N: usize>(&self, routes: [(&str, PayLayer); N]) -> Shop {
        let mut app = Router::new();
        for (path, layer) in routes {
            let handlers = self.handlers.clone();
            let handler = move |request: Request<Body>| handle(handlers.clone(), request);
            app = app.route(path, any(handler).layer(layer));
        }
        Shop { app }
    }

    /// How often a handler has run.
    pub(crate) fn runs(&self) -> usize {
        self.handlers.lock().unwrap().runs.values().sum()
    }

    /// How often the handler of a path has.
    pub(crate) fn runs_of(&self, path: &str) -> usize {
        self.handlers.lock().unwrap().runs.get(path).copied().unwrap_or_default()
    }

    /// The header fields that came to the handler in its last run.
    pub(crate) fn last_seen(&self) -> HeaderMap {
        self.handlers.lock().unwrap().seen.last().cloned().unwrap()
    }

    pub(crate) fn fail_next(&self, count: usize) {
        self.handlers.lock().unwrap().fail_next = count;
    }

    /// From now on each run waits for a permit.
    pub(crate) fn hold_handlers(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.handlers.lock().unwrap().wait = Some(gate.clone());
        gate
    }

    /// Until so many runs have begun.
    pub(crate) async fn until_runs(&self, count: usize) {
        for _ in 0..500 {
            if self.runs() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} runs", self.runs());
    }

    /// Sends a transaction; in a chain that mines at once it is in a block on return.
    pub(crate) fn send(&self, from: &Account, to: Address, value: u64, call: impl SolCall) -> B256 {
        self.transact(from, TxKind::Call(to), value, call.abi_encode())
    }

    pub(crate) fn transact(&self, from: &Account, to: TxKind, value: u64, data: Vec<u8>) -> B256 {
        let nonce = self.ask("eth_getTransactionCount", json!([from.address, "pending"]));
        let tx = TxLegacy {
            chain_id: Some(84532),
            nonce: u64::from_str_radix(&nonce.as_str().unwrap()[2..], 16).unwrap(),
            gas_price: GAS_PRICE,
            gas_limit: 10_000_000,
            to,
            value: U256::from(value),
            input: data.into(),
        };
        let bytes = from.sign(tx.signature_hash());
        let signature = Signature::from_bytes_and_parity(&bytes[..64], bytes[64] == 28);
        let raw = Bytes::from(TxEnvelope::Legacy(tx.into_signed(signature)).encoded_2718());
        self.resend(&raw)
    }

    fn resend(&self, raw: &Bytes) -> B256 {
        serde_json::from_value(self.ask("eth_sendRawTransaction", json!([raw]))).unwrap()
    }

    /// Pays for one call of a service.
    pub(crate) fn pay(&self, service: u64, value: u64) -> B256 {
        let call = Manager::payPerUseCall { serviceId: U256::from(service) };
        self.send(&self.ada, PAYMENT_MANAGER, value, call)
    }

    /// Pays for many.
    pub(crate) fn pay_batch(&self, services: &[u64], value: u64) -> B256 {
        let service_ids = services.iter().map(|id| U256::from(*id)).collect();
        self.send(&self.ada, PAYMENT_MANAGER, value, Manager::batchPayCall { serviceIds: service_ids })
    }

    /// An account of Ada's for agents, with coins in it.
    pub(crate) fn wallet(&self) -> Address {
        let limit = U256::from(1_000_000);
        self.send(&self.ada, AGENT_WALLET_FACTORY, 0, Factory::createWalletCall { dailyLimit: limit });
        let call = Factory::getWalletsCall { owner: self.ada.address };
        let data = Bytes::from(call.abi_encode());
        let answer = self.ask("eth_call", json!([{ "to": AGENT_WALLET_FACTORY, "data": data }, "latest"]));
        let answer: Bytes = serde_json::from_value(answer).unwrap();
        let wallets = Factory::getWalletsCall::abi_decode_returns(&answer).unwrap();
        self.chain.set_balance(wallets[0], limit);
        wallets[0]
    }

    /// Pays for the first service from a wallet.
    pub(crate) fn pay_from(&self, wallet: Address, by: &Account) -> B256 {
        let data = Manager::payPerUseCall { serviceId: U256::from(1) }.abi_encode().into();
        let call = Wallet::executeCall { to: PAYMENT_MANAGER, value: U256::from(PRICE), data };
        self.send(by, wallet, 0, call)
    }

    /// Another payment manager over the same services.
    pub(crate) fn other_manager(&self) -> Address {
        let artifact = include_str!("../../../../../contracts/artifacts/PaymentManager.json");
        let artifact: Value = serde_json::from_str(artifact).unwrap();
        let code: Bytes = serde_json::from_value(artifact["bytecode"].clone()).unwrap();
        let arguments = (SERVICE_REGISTRY, U256::ZERO, self.eve.address).abi_encode_params();
        let hash = self.transact(&self.eve, TxKind::Create, 0, [&code[..], &arguments].concat());
        serde_json::from_value(self.receipt(hash)["contractAddress"].clone()).unwrap()
    }

    pub(crate) fn receipt(&self, hash: B256) -> Value {
        self.ask("eth_getTransactionReceipt", json!([hash]))
    }

    pub(crate) fn ask(&self, method: &str, params: Value) -> Value {
        self.chain.request(method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }
}

fn terms(asset: &str, price: u64, pay_to: Address, extra: serde_json::Map<String, Value>) -> Terms {
    Terms {
        scheme: "transaction".into(),
        network: Network::eip155(84532),
        price: Ask::Units { asset: asset.into(), amount: Amount::from_units(price.into()), extra },
        pay_to: pay_to.to_string(),
        timeout_s: 900,
    }
}

async fn handle(handlers: Arc<Mutex<Handlers>>, request: Request<Body>) -> Response<Body> {
    let (wait, run, fails) = {
        let mut handlers = handlers.lock().unwrap();
        let run = handlers.runs.entry(request.uri().path().to_owned()).or_default();
        *run += 1;
        let run = *run;
        handlers.seen.push(request.headers().clone());
        let fails = handlers.fail_next > 0;
        handlers.fail_next = handlers.fail_next.saturating_sub(1);
        (handlers.wait.clone(), run, fails)
    };
    if let Some(wait) = wait {
        wait.acquire().await.unwrap().forget();
    }
    let mut response = Response::new(Body::from(format!("run {run}")));
    if fails {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

/// A gate with an engine behind it.
#[derive(Clone)]
pub(crate) struct Shop {
    app: Router,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether it says what to pay, in all five fields.
    pub(crate) fn has_challenge(&self) -> bool {
        ["address", "amount", "token", "serviceid", "chainid"]
            .iter()
            .all(|name| self.headers.contains_key(format!("x-payment-{name}")))
    }
}

impl Shop {
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Seen {
        let mut request = Request::builder().method(method).uri(target).header("host", "api.example.com");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (parts, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        // An answer that breaks off is read as far as it goes.
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Seen {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// The request of a client that has paid.
    pub(crate) async fn show(&self, target: &str, hash: B256) -> Seen {
        self.show_as(target, &format!("{hash:#x}")).await
    }

    pub(crate) async fn show_as(&self, target: &str, hash: &str) -> Seen {
        let fields = [("X-Payment-TxHash", hash), ("X-Payment-ChainId", "84532")];
        self.send(Method::GET, target, &fields, "").await
    }

    /// The same with header fields of who pays.
    pub(crate) async fn show_signed(&self, target: &str, hash: B256, fields: &[(&str, &str)]) -> Seen {
        let hash = format!("{hash:#x}");
        let base = [("X-Payment-TxHash", hash.as_str()), ("X-Payment-ChainId", "84532")];
        self.send(Method::GET, target, &[&base[..], fields].concat(), "").await
    }

    /// Refused for good, with a new challenge.
    pub(crate) async fn refuses(&self, target: &str, hash: B256) -> Seen {
        let seen = self.show(target, hash).await;
        assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED, "{seen:?}");
        assert!(seen.has_challenge(), "{seen:?}");
        seen
    }

    pub(crate) async fn serves(&self, target: &str, hash: B256) -> Seen {
        let seen = self.show(target, hash).await;
        assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
        assert!(seen.headers.contains_key("payment-response"), "{seen:?}");
        seen
    }
}
