//! A seller who is paid by request, and people who pay through the contract and sign proofs of it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, TxKind, U256, hex, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use groat_chain_evm::pay_proof::PayProofEvm;
use groat_chain_evm::{Chain, ChainOptions, ExactEvm, Rpc};
use groat_core::books::Sale;
use groat_core::key::KeyKind;
use groat_core::offer::Ask;
use groat_core::{Confirmations, Network, PaymentKey, Price, Terms, Timestamp};
use groat_devchain::{Mining, USDC, X402_PAY};
use groat_facilitator::{Engine, EngineOptions};
use groat_seller::{Limits, Pay};
use groat_store::{Journal, MemoryStore};
use groat_wire::Dialects;
use groat_wire::want_pay::WantPay;
use groat_wire::want_pay::id::RequestKey;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::agentxpay::market::{Account, Market, Seen, Shop};
use crate::world::NOW;

sol! {
    function approve(address spender, uint256 amount) external returns (bool);
    function pay(address token, address seller, uint256 amount, string requestId, bytes metadata) external;
}

/// A cent, which is what everything costs unless it says otherwise.
pub(crate) const CENT: u64 = 10_000;
pub(crate) const ORIGIN: &str = "https://api.example.com";
pub(crate) const FACILITATOR: &str = "https://facilitator.example.com";

/// The market, where everybody has dollars, and the contract may take those of Ada and Eve.
pub(crate) struct Bazaar(Market);

impl Deref for Bazaar {
    type Target = Market;

    fn deref(&self) -> &Market {
        &self.0
    }
}

/// How a gate differs from the usual one.
pub(crate) struct Setup {
    pub(crate) key: u8,
    pub(crate) confirmations: Confirmations,
    pub(crate) limits: Limits,
}

impl Default for Setup {
    fn default() -> Self {
        let mut limits = Limits::default();
        limits.settle_again_after_ms = 50;
        Self { key: 7, confirmations: Confirmations::Blocks(1), limits }
    }
}

impl Bazaar {
    pub(crate) fn new() -> Self {
        Self::mining(Mining::Instant)
    }

    pub(crate) fn mining(mining: Mining) -> Self {
        let market = Market::new(mining);
        for account in [&market.ada, &market.eve] {
            market.chain.mint_usdc(account.address, U256::from(100 * CENT));
            let approve = approveCall { spender: X402_PAY, amount: U256::MAX };
            assert!(market.chain.stage(account.address, USDC, approve.abi_encode().into()));
        }
        Self(market)
    }

    pub(crate) fn seller(&self) -> Address {
        self.provider.address
    }

    /// Terms of this seller.
    pub(crate) fn terms(&self, price: &str) -> Terms {
        self.terms_on(84532, price)
    }

    pub(crate) fn terms_on(&self, chain_id: u64, price: &str) -> Terms {
        Terms {
            scheme: "x402-pay".into(),
            network: Network::eip155(chain_id),
            price: Ask::Price(Price::parse(price).unwrap()),
            pay_to: self.seller().to_string(),
            timeout_s: 300,
        }
    }

    /// A gate with `/forecast` and `/news` for a cent, with an engine of its own on our store.
    pub(crate) fn shop(&self) -> Shop {
        self.shop_with(Setup::default())
    }

    pub(crate) fn shop_with(&self, setup: Setup) -> Shop {
        let pay = self.pay_with(setup, self.store.clone());
        let price = |price| pay.route().ask(self.terms(price)).build().unwrap();
        self.serve([("/forecast", price("$0.01")), ("/news", price("$0.01"))])
    }

    pub(crate) fn pay_with(&self, setup: Setup, store: MemoryStore) -> Pay {
        let contracts: Vec<_> = [84532, 8453].map(|id| (Network::eip155(id), X402_PAY)).into();
        let evm = Chain::new(84532, Rpc::local(self.chain.transport()), vec![], ChainOptions::default());
        let clock = self.chain.clone();
        let clock = Arc::new(move || Timestamp(clock.now()));
        let engine = Engine::observing(
            vec![],
            vec![Arc::new(PayProofEvm::knowing(contracts.clone()).on(vec![evm]))],
            Arc::new(store.clone()),
            clock.clone(),
            EngineOptions { look_interval: Duration::from_millis(50), ..EngineOptions::default() },
        );
        let want_pay = WantPay::selling(RequestKey::new(&[setup.key; 32]).unwrap(), FACILITATOR).unwrap();
        Pay::builder()
            .facilitator(Arc::new(engine))
            .mechanisms(vec![Arc::new(ExactEvm::offline()), Arc::new(PayProofEvm::knowing(contracts))])
            .dialects(Dialects::standard().with(Arc::new(want_pay)))
            .store(Arc::new(store))
            .clock(clock)
            .public_url(ORIGIN)
            .limits(setup.limits)
            .confirmations(setup.confirmations)
            .build()
            .unwrap()
    }

    /// Ada pays a request as it is asked for.
    pub(crate) fn settle(&self, request: &Value) -> B256 {
        self.settle_as(&self.ada, request, self.seller(), CENT, true)
    }

    /// Somebody pays something for the id of a request; without metadata the contract does not know until when.
    pub(crate) fn settle_as(
        &self,
        by: &Account,
        request: &Value,
        seller: Address,
        amount: u64,
        is_timed: bool,
    ) -> B256 {
        let call = pay_call(request, seller, amount, is_timed);
        self.transact(by, TxKind::Call(X402_PAY), 0, call)
    }

    /// Ada's proof that this transaction pays this request.
    pub(crate) fn proof(&self, request: &Value, tx: B256) -> String {
        self.token("ES256K", &self.claims(request, tx), &self.ada)
    }

    pub(crate) fn claims(&self, request: &Value, tx: B256) -> Value {
        json!({
            "iss": self.ada.address.to_string(),
            "sub": request["id"],
            "amount": request["amount"],
            "currency": request["currency"],
            "chain": request["chain"],
            "tx": format!("{tx:#x}"),
            "iat": self.chain.now(),
            "exp": request["expires"],
        })
    }

    /// What the book of sales says of a request.
    pub(crate) async fn sale(&self, request: &Value) -> Sale {
        let id = text(request, "id");
        let seller = self.seller();
        let parts = [seller.as_slice(), id.as_bytes()];
        let key = PaymentKey::new(KeyKind::Request, &Network::eip155(84532), &parts);
        let journal = Journal::<Sale>::new(Arc::new(self.store.clone()));
        journal.load(&key.id().to_string()).await.unwrap().expect("the sale is in the book").record
    }

    /// A token over SHA-256 (RFC 8812).
    pub(crate) fn token(&self, algorithm: &str, claims: &Value, by: &Account) -> String {
        let input = input(algorithm, claims);
        let digest = B256::new(Sha256::digest(&input).into());
        format!("{input}.{}", BASE64.encode(&by.sign(digest)[..64]))
    }
}

pub(crate) fn pay_call(request: &Value, seller: Address, amount: u64, is_timed: bool) -> Vec<u8> {
    let expires = U256::from(request["expires"].as_u64().unwrap());
    let hash: B256 = request["requestHash"].as_str().unwrap().parse().unwrap();
    let metadata = if is_timed { (expires, hash).abi_encode() } else { vec![] };
    let call = payCall {
        token: USDC,
        seller,
        amount: U256::from(amount),
        requestId: text(request, "id"),
        metadata: metadata.into(),
    };
    call.abi_encode()
}

/// The two parts that are signed.
pub(crate) fn input(algorithm: &str, claims: &Value) -> String {
    let header = json!({ "typ": "JWT", "alg": algorithm });
    format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

pub(crate) fn encode(signature: &[u8]) -> String {
    BASE64.encode(signature)
}

pub(crate) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}")).to_owned()
}

/// Changed in one member.
pub(crate) fn but(value: &Value, key: &str, with: Value) -> Value {
    let mut value = value.clone();
    match with {
        Value::Null => value.as_object_mut().unwrap().remove(key),
        with => value.as_object_mut().unwrap().insert(key.to_owned(), with),
    };
    value
}

impl Shop {
    /// The request that a 402 carries.
    pub(crate) async fn asked(&self, target: &str) -> Value {
        self.asked_by(Method::GET, target).await
    }

    pub(crate) async fn asked_by(&self, method: Method, target: &str) -> Value {
        let seen = self.send(method, target, &[], "").await;
        assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED, "{seen:?}");
        seen.json()
    }

    /// The request again, with a proof.
    pub(crate) async fn prove(&self, target: &str, token: &str) -> Seen {
        self.prove_by(Method::GET, target, token, "").await
    }

    /// The same as often as 503 asks for it, as a client does whose machine is busy.
    pub(crate) async fn prove_until_known(&self, target: &str, token: &str) -> Seen {
        for _ in 0..20 {
            let seen = self.prove(target, token).await;
            if seen.status != StatusCode::SERVICE_UNAVAILABLE {
                return seen;
            }
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        }
        self.prove(target, token).await
    }

    pub(crate) async fn prove_by(&self, method: Method, target: &str, token: &str, body: &str) -> Seen {
        self.send(method, target, &[("Pay", &format!("proof={token}"))], body).await
    }
}

impl Seen {
    /// 402 with this code and a fresh request.
    pub(crate) fn is_refused(&self, code: &str) {
        assert_eq!(self.status, StatusCode::PAYMENT_REQUIRED, "{self:?}");
        assert_eq!(self.error(), code, "{self:?}");
        assert!(self.json()["id"].as_str().is_some_and(|id| id.starts_with("pay_")), "{self:?}");
    }

    pub(crate) fn is_served(&self) {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert!(self.headers.contains_key("payment-response"), "{self:?}");
    }
}

/// The hash of a request as a person would compute it who has only the specification.
pub(crate) fn hash_of(request: &Value) -> String {
    let names = [
        "amount",
        "chain",
        "currency",
        "description",
        "expires",
        "facilitator",
        "id",
        "metadata",
        "nonce",
        "seller",
    ];
    // They are in alphabetical order, and their values are texts and whole numbers: that is the canonical form.
    let members: Vec<String> =
        names.iter().filter_map(|name| Some(format!("\"{name}\":{}", request.get(*name)?))).collect();
    hex::encode_prefixed(keccak256(format!("{{{}}}", members.join(","))))
}

pub(crate) const START: u64 = NOW;
