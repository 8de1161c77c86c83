//! A whole economy in one process: chain, facilitator, a priced API, and a buyer with play money.

mod offchain;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, U256, address};
use anyhow::Context;
use groat_chain_evm::{Chain, ChainOptions, GasKey, Rpc};
use groat_core::Network;
use groat_core::ports::{Facilitator, Store};
use groat_devchain::{DevChain, Mining, Server, X402_PAY};
use groat_facilitator::http::{Ready, Service};
use groat_facilitator::{Engine, EngineOptions, Requests};
use groat_seller::Pay;
use groat_store::MemoryStore;

use crate::listen::{self, Serving};
use crate::registry;
use offchain::Offchain;

pub(crate) use offchain::REFUND_KEY;

/// The chain id of the dev chain: Base Sepolia's, so that unmodified clients know its dollar.
pub(crate) const CHAIN_ID: u64 = 84532;

/// Who is paid in the sample universe. It stays the same, because buyers remember whom they paid.
const SELLER: Address = address!("0x402402402402402402402402402402402402402A");

/// Which ports; 0 takes any that is free.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ports {
    pub(crate) chain: u16,
    pub(crate) facilitator: u16,
    pub(crate) gate: u16,
}

/// Everything that runs.
pub(crate) struct Universe {
    pub(crate) chain: DevChain,
    pub(crate) chain_url: String,
    pub(crate) facilitator_url: String,
    pub(crate) gate_url: String,
    pub(crate) seller: Address,
    _chain_server: Server,
    _servers: [Serving; 2],
}

impl Universe {
    /// Starts it all. `buyer` gets 100 dollars of play money.
    pub(crate) async fn start(ports: Ports, mining: Mining, buyer: Address) -> anyhow::Result<Self> {
        let seller = SELLER;
        let chain =
            DevChain::new(groat_devchain::Config { chain_id: CHAIN_ID, mining, ..Default::default() });
        let forecast = economy::register(&chain, seller)?;
        economy::open_till(&chain, seller)?;
        let gas_key = random_key()?;
        chain.set_balance(gas_key.address(), U256::from(10).pow(U256::from(21)));
        chain.mint_usdc(buyer, U256::from(100_000_000));
        let server = chain.serve(local(ports.chain)).await.with_context(|| {
            format!("the chain cannot listen on port {}: choose another port", ports.chain)
        })?;

        let evm = Chain::new(CHAIN_ID, Rpc::local(chain.transport()), vec![gas_key], ChainOptions::default());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let contracts = vec![(Network::eip155(CHAIN_ID), X402_PAY)];
        let settlers = registry::settlers(vec![evm.clone()], contracts.clone());
        let mut observers = registry::observers(vec![evm.clone()], contracts.clone());
        // Debits are made out to where the gate will be.
        let gate_listener = listen::bind(local(ports.gate), "the sample API").await?;
        let offchain = Offchain::open(&store, &format!("http://{}", gate_listener.local_addr()?))?;
        observers.push(offchain.observer());
        let options = EngineOptions { look_interval: Duration::from_millis(500), ..EngineOptions::default() };
        let clock = registry::clock();
        let cashiers = vec![offchain.cashier()];
        let (books, time) = (Arc::clone(&store), Arc::clone(&clock));
        let engine = Engine::taking(settlers, observers, cashiers, books, time, options);
        let chains = registry::request_chain(vec![evm], contracts.clone());
        // Nothing is replaced here, and without a payment there may be no other block.
        let requests = Requests::new(engine.clone(), chains, Arc::clone(&store), Arc::clone(&clock), 0);
        requests.watch(Duration::from_millis(500));
        let engine: Arc<dyn Facilitator> = Arc::new(engine);

        let ready = Ready::default();
        ready.set(true);
        let service = Service::new(Arc::clone(&engine), registry::mechanisms(&contracts), String::new, ready)
            .paying(requests, &store, &clock);
        let listener = listen::bind(local(ports.facilitator), "the facilitator").await?;
        let facilitator = listen::spawn(listener, service.router())?;

        let pay = Pay::builder()
            .facilitator(engine)
            .mechanisms(registry::mechanisms(&contracts).into_iter().chain(offchain.mechanisms()).collect())
            .dialects(economy::dialects(&format!("http://{}", facilitator.address()))?)
            .store(store)
            .clock(registry::clock())
            .network(&format!("eip155:{CHAIN_ID}"))
            .pay_to(&seller.to_checksum(None))
            .token_path("/token")
            .build()?;
        let mut terms = economy::terms(seller, forecast)?.to_vec();
        terms.extend(offchain.terms("$0.01", &seller.to_checksum(None))?);
        let router = sample::router(&pay, terms, |service| offchain.serve(service))?;
        let gate = listen::spawn(gate_listener, router.merge(offchain.pages()))?;

        Ok(Self {
            chain_url: format!("http://{}", server.local_addr()),
            facilitator_url: format!("http://{}", facilitator.address()),
            gate_url: format!("http://{}", gate.address()),
            chain,
            seller,
            _chain_server: server,
            _servers: [facilitator, gate],
        })
    }

    /// Play dollars of an account, in atomic units.
    pub(crate) fn balance(&self, account: Address) -> U256 {
        self.chain.usdc_balance(account)
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A key that nobody has seen.
pub(crate) fn random_key() -> anyhow::Result<GasKey> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        // All but one in 2^128 byte strings are keys.
        if let Ok(key) = GasKey::from_bytes(bytes) {
            return Ok(key);
        }
    }
}

/// What the seller of the sample universe offers on the chain itself.
mod economy {
    use alloy_primitives::{Address, U256};
    use alloy_sol_types::{SolCall, sol};
    use anyhow::{anyhow, ensure};
    use groat_chain_evm::permit::till;
    use groat_chain_evm::{NATIVE, service_terms};
    use groat_core::offer::Ask;
    use groat_core::{Amount, Network, Price, Terms};
    use groat_devchain::DevChain;
    use groat_devchain::agentxpay::{PAYMENT_MANAGER, SERVICE_REGISTRY};

    use groat_wire::Dialects;
    use groat_wire::want_pay::WantPay;
    use groat_wire::want_pay::id::RequestKey;
    use std::sync::Arc;

    use super::{CHAIN_ID, registry};

    sol! {
        interface ServiceRegistry {
            function registerService(string name, string description, string endpoint, string category, uint256 pricePerCall) external returns (uint256);
        }
    }

    /// About a cent, in wei.
    const PRICE_WEI: u128 = 4_000_000_000_000;

    /// Registers the forecast as the first service of the chain, and returns its number.
    pub(super) fn register(chain: &DevChain, seller: Address) -> anyhow::Result<&'static str> {
        let call = ServiceRegistry::registerServiceCall {
            name: "forecast".into(),
            description: "The weather of tomorrow".into(),
            endpoint: "http://127.0.0.1:4021/forecast".into(),
            category: "weather".into(),
            pricePerCall: U256::from(PRICE_WEI),
        };
        let is_registered = chain.stage(seller, SERVICE_REGISTRY, call.abi_encode().into());
        ensure!(is_registered, "the forecast cannot be registered as a service on the development chain");
        Ok("1")
    }

    /// Puts the seller's till on the chain, for whoever sells by permit for the same payee.
    pub(super) fn open_till(chain: &DevChain, seller: Address) -> anyhow::Result<()> {
        let deployment = till::deployment(seller).ok_or_else(|| anyhow!("the till's code is missing"))?;
        let is_open = chain.stage(seller, till::DEPLOYER, deployment);
        ensure!(is_open, "the seller's till cannot be put on the development chain");
        Ok(())
    }

    /// The forecast, paid through the payment manager, and as a request of its own.
    pub(super) fn terms(seller: Address, service: &str) -> anyhow::Result<[Terms; 2]> {
        let extra = service_terms(service, &seller.to_checksum(None));
        let by_transaction = Terms {
            scheme: "transaction".into(),
            network: Network::eip155(CHAIN_ID),
            price: Ask::Units { asset: NATIVE.into(), amount: Amount::from_units(PRICE_WEI), extra },
            pay_to: PAYMENT_MANAGER.to_checksum(None),
            timeout_s: 900,
        };
        let by_proof = Terms {
            scheme: groat_wire::want_pay::SCHEME.into(),
            network: Network::eip155(CHAIN_ID),
            price: Ask::Price(Price::parse("$0.01")?),
            pay_to: seller.to_checksum(None),
            timeout_s: 300,
        };
        Ok([by_transaction, by_proof])
    }

    /// Everything that is spoken; requests name this facilitator.
    pub(super) fn dialects(facilitator: &str) -> anyhow::Result<Dialects> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| anyhow!("no randomness: {error}"))?;
        let want_pay = WantPay::selling(RequestKey::new(&key)?, facilitator)?;
        Ok(registry::dialects().with(Arc::new(want_pay)))
    }
}

/// The API that is for sale in the sample universe.
mod sample {
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use groat_core::Terms;
    use groat_seller::{ConfigError, Paid, PassTerms, Pay, PaymentService, RouteBuilder};
    use serde_json::{Value, json};

    pub(super) fn router(
        pay: &Pay,
        more: Vec<Terms>,
        add: impl FnOnce(PaymentService) -> Result<PaymentService, ConfigError>,
    ) -> Result<Router, ConfigError> {
        let weather =
            pay.route().price("$0.01").description("The weather in one city").mime_type("application/json");
        let order = pay.route().price("$0.02").description("One coffee").mime_type("application/json");
        let terms = PassTerms { ttl_s: 60, scope: None, uses: None };
        let forecast = more.into_iter().fold(pay.route().price("$0.01").pass(terms), RouteBuilder::ask);
        let forecast = forecast.description("The weather of tomorrow").build()?;
        let service = add(PaymentService::new(pay).route("GET /forecast", &forecast)?)?;
        Ok(Router::new()
            .route("/", get(contents))
            .route("/forecast", get(forecast_report).layer(forecast))
            .route("/free", get(|| async { Json(json!({ "price": "nothing" })) }))
            .route("/weather", get(weather_report).layer(weather.build()?))
            .route("/order", post(take_order).layer(order.build()?))
            .fallback_service(service))
    }

    async fn contents() -> Json<Value> {
        Json(json!({
            "GET /free": "nothing",
            "GET /weather": "$0.01",
            "GET /forecast": "$0.01, in every dialect, out of a balance or by an order elsewhere, with a pass for a minute",
            "POST /order": "$0.02",
        }))
    }

    async fn weather_report() -> Json<Value> {
        Json(json!({ "city": "Zurich", "sky": "clear", "temperature_c": 21 }))
    }

    async fn forecast_report() -> Json<Value> {
        Json(json!({ "city": "Zurich", "tomorrow": "rain", "temperature_c": 17 }))
    }

    async fn take_order(paid: Paid, body: String) -> Json<Value> {
        Json(json!({ "order": "one coffee", "for": paid.payer, "note": body }))
    }
}
