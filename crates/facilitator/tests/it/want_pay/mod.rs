//! The API of x402-pay/1 on the embedded chain: the contract is there, buyers sign for themselves.

mod idempotency;
mod relay;
mod requests;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolStruct, SolValue, eip712_domain, sol};
use axum::Router;
use axum::body::Body;
use groat_chain_evm::pay_proof::{PayProofEvm, RelayEvm};
use groat_chain_evm::{Chain, ChainOptions, ExactEvm, GasKey, Rpc};
use groat_core::ports::{Clock, Mechanism, Observer, RequestChain, Settler, Store};
use groat_core::{Network, Timestamp};
use groat_devchain::{ChainClock, Config, DevChain, Mining, USDC, X402_PAY};
use groat_facilitator::http::{Caller, Ready, Service};
use groat_facilitator::{Engine, EngineOptions, Requests};
use groat_store::MemoryStore;
use groat_wire::want_pay::proof::{self, Algorithm, Claims};
use groat_wire::want_pay::request::PaymentRequest;
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::outsider::Outsider;
use crate::world::{NOW, gas_key};

sol! {
    struct Request { address seller; uint256 amount; string requestId; bytes metadata; }
    struct Authorization { address buyer; uint256 validAfter; uint256 validBefore; bytes signature; }
    function payWithAuthorization(address token, Request request, Authorization authorization) external;
    struct ReceiveWithAuthorization {
        address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce;
    }
}

pub(super) const SELLER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// What every test sells for: one cent.
pub(super) const UNITS: u64 = 10_000;

/// A facilitator with its API, on a chain and a book.
pub(super) struct Shop {
    pub(super) chain: DevChain,
    pub(super) store: MemoryStore,
    pub(super) engine: Engine,
    pub(super) requests: Requests,
    callers: Vec<Caller>,
    router: Router,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) media: String,
    pub(super) retry_after: Option<String>,
    pub(super) replayed: bool,
    pub(super) body: Value,
}

impl Shop {
    pub(super) fn new(mining: Mining) -> Self {
        Self::with(mining, Vec::new())
    }

    pub(super) fn with(mining: Mining, callers: Vec<Caller>) -> Self {
        let chain = DevChain::new(Config { mining, clock: ChainClock::Fixed(NOW), ..Config::default() });
        chain.set_balance(gas_key().address(), U256::from(10).pow(U256::from(20)));
        Self::on(chain, MemoryStore::default(), callers)
    }

    /// Another process on the same chain and book.
    pub(super) fn restart(&self) -> Self {
        Self::on(self.chain.clone(), self.store.clone(), self.callers.clone())
    }

    fn on(chain: DevChain, store: MemoryStore, callers: Vec<Caller>) -> Self {
        let evm = Chain::new(84532, Rpc::local(chain.transport()), vec![gas_key()], ChainOptions::default());
        let pay = PayProofEvm::knowing(vec![(Network::eip155(84532), X402_PAY)]).on(vec![evm.clone()]);
        let settlers: Vec<Arc<dyn Settler>> =
            vec![Arc::new(ExactEvm::on(vec![evm])), Arc::new(RelayEvm::new(pay.clone()))];
        let observers: Vec<Arc<dyn Observer>> = vec![Arc::new(pay.clone())];
        let books: Arc<dyn Store> = Arc::new(store.clone());
        let time = chain.clone();
        let clock: Arc<dyn Clock> = Arc::new(move || Timestamp(time.now()));
        let options = EngineOptions {
            wait: Duration::from_secs(5),
            look_interval: Duration::from_millis(50),
            ..EngineOptions::default()
        };
        let engine = Engine::observing(settlers, observers, Arc::clone(&books), Arc::clone(&clock), options);
        let contracts: Arc<dyn RequestChain> = Arc::new(pay.clone());
        let requests = Requests::new(engine.clone(), contracts, Arc::clone(&books), Arc::clone(&clock), 0);
        let ready = Ready::default();
        ready.set(true);
        let mechanisms: Vec<Arc<dyn Mechanism>> = vec![Arc::new(ExactEvm::offline()), Arc::new(pay)];
        let router = Service::new(Arc::new(engine.clone()), mechanisms, String::new, ready)
            .callers(callers.clone(), &books, &clock)
            .paying(requests.clone(), &books, &clock)
            .router();
        Self { chain, store, engine, requests, callers, router }
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Body>,
        fields: &[(&str, &str)],
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path);
        if !fields.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, content) = response.into_parts();
        let field = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, media) = (parts.status.as_u16(), field("content-type").unwrap_or_default());
        let (retry_after, replayed) =
            (field("retry-after"), field("idempotency-replayed").as_deref() == Some("true"));
        let bytes = axum::body::to_bytes(content, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{status} {bytes:?}"));
        Answer { status, media, retry_after, replayed, body }
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, body.to_string(), &[]).await
    }

    pub(super) async fn post_keyed(&self, path: &str, body: &Value, key: &str) -> Answer {
        self.ask("POST", path, body.to_string(), &[("idempotency-key", key)]).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Body::empty(), &[]).await
    }

    /// How a request stands.
    pub(super) async fn state(&self, id: &str) -> String {
        let answer = self.get(&format!("/v1/requests/{id}")).await;
        answer.body["state"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    pub(super) fn buyer(&self, seed: u8) -> Buyer {
        let buyer = Buyer(SecretKey::from_byte_array([seed; 32]).unwrap());
        self.chain.mint_usdc(buyer.address(), U256::from(10_000_000));
        buyer
    }

    pub(super) fn received(&self) -> u64 {
        self.chain.usdc_balance(SELLER.parse().unwrap()).to()
    }

    /// How many transactions the facilitator has had mined.
    pub(super) fn sent(&self) -> u64 {
        let count = self.chain.request("eth_getTransactionCount", json!([gas_key().address(), "latest"]));
        u64::from_str_radix(&count.unwrap().as_str().unwrap()[2..], 16).unwrap()
    }

    /// The buyer sends what it has signed for itself.
    pub(super) fn paid(&self, buyer: &Buyer, request: &PaymentRequest) -> B256 {
        let call = buyer.call(request);
        Outsider::new(&self.chain, buyer.0).send(X402_PAY, call)
    }
}

/// A request for one cent, as a seller makes it.
pub(super) fn request(id: &str) -> PaymentRequest {
    PaymentRequest::from_value(&json!({
        "id": id,
        "amount": "0.01",
        "currency": "USDC",
        "chain": "base-sepolia",
        "facilitator": "https://facilitator.example",
        "seller": SELLER,
        "expires": NOW + 300,
        "nonce": "0123456789abcdef0123456789abcdef",
        "resource": "https://shop.example/weather",
        "method": "GET",
    }))
    .unwrap()
}

pub(super) fn body(request: &PaymentRequest) -> Value {
    Value::Object(request.members())
}

#[derive(Clone, Copy)]
pub(super) struct Buyer(pub(super) SecretKey);

impl Buyer {
    pub(super) fn address(&self) -> Address {
        GasKey::from_bytes(self.0.secret_bytes()).unwrap().address()
    }

    fn sign(&self, digest: [u8; 32]) -> [u8; 65] {
        let signed = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest), &self.0);
        let (id, bytes) = signed.serialize_compact();
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(&bytes);
        signature[64] = 27 + u8::try_from(i32::from(id)).unwrap();
        signature
    }

    fn authorized(&self, request: &PaymentRequest) -> [u8; 65] {
        let seller: Address = request.seller.parse().unwrap();
        let amount = request.amount.to_units(6).unwrap().as_u256();
        let bound = (seller, amount, keccak256(request.id.as_bytes()), B256::from(request.hash()));
        let message = ReceiveWithAuthorization {
            from: self.address(),
            to: X402_PAY,
            value: amount,
            validAfter: U256::ZERO,
            validBefore: U256::from(request.expires.0),
            nonce: keccak256(bound.abi_encode()),
        };
        let domain =
            eip712_domain! { name: "USDC", version: "2", chain_id: 84532, verifying_contract: USDC, };
        self.sign(message.eip712_signing_hash(&domain).0)
    }

    /// The call that pays a request by authorization.
    pub(super) fn call(&self, request: &PaymentRequest) -> Vec<u8> {
        payWithAuthorizationCall {
            token: USDC,
            request: Request {
                seller: request.seller.parse().unwrap(),
                amount: request.amount.to_units(6).unwrap().as_u256(),
                requestId: request.id.clone(),
                metadata: (U256::from(request.expires.0), B256::from(request.hash())).abi_encode().into(),
            },
            authorization: Authorization {
                buyer: self.address(),
                validAfter: U256::ZERO,
                validBefore: U256::from(request.expires.0),
                signature: self.authorized(request).into(),
            },
        }
        .abi_encode()
    }

    /// What is posted to have it sent.
    pub(super) fn order(&self, request: &PaymentRequest) -> Value {
        json!({
            "request": request.members(),
            "authorization": {
                "buyer": self.address(),
                "validAfter": "0",
                "validBefore": request.expires.0.to_string(),
                "signature": Bytes::from(self.authorized(request)),
            },
        })
    }

    pub(super) fn claims(&self, request: &PaymentRequest, tx: B256) -> Claims {
        Claims {
            iss: self.address().to_checksum(None),
            sub: request.id.clone(),
            amount: request.amount.as_str().to_owned(),
            currency: request.currency.clone(),
            chain: request.chain.clone(),
            tx: tx.to_string(),
            iat: NOW,
            exp: request.expires.0,
            nonce: Some(request.nonce.clone()),
            aud: None,
            htm: None,
            htu: None,
            jti: None,
        }
    }

    /// A signed proof of these claims.
    pub(super) fn prove(&self, claims: &Claims) -> String {
        use sha2::Digest;
        let input = proof::signing_input(Algorithm::Es256k, claims);
        let signature = self.sign(sha2::Sha256::digest(input.as_bytes()).into());
        proof::token(Algorithm::Es256k, claims, &signature[..64]).unwrap()
    }

    pub(super) fn proof(&self, request: &PaymentRequest, tx: B256) -> String {
        self.prove(&self.claims(request, tx))
    }
}

/// What is posted to have a proof verified.
pub(super) fn question(request: &PaymentRequest, proof: &str) -> Value {
    json!({ "proof": proof, "paymentRequest": request.members(), "seller": SELLER })
}

pub(super) fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

#[tokio::test]
async fn what_is_supported_is_what_the_contract_takes() {
    let shop = Shop::new(Mining::Instant);
    let answer = shop.get("/v1/supported").await;
    assert_eq!(answer.status, 200);
    let expected = json!({"chains": [{
        "chain": "base-sepolia",
        "network": "eip155:84532",
        "contract": X402_PAY.to_checksum(None),
        "currencies": [{
            "symbol": "USDC",
            "token": USDC.to_checksum(None),
            "decimals": 6,
            "methods": ["authorization", "pay"],
        }],
    }]});
    assert_eq!(answer.body, expected);
}
