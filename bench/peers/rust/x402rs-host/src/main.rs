//! `x402rs-host facilitator|seller`, configured through the environment (see ../../systems.json).
use alloy_provider::Provider as _;
use axum::{Router, routing::get};
use std::{collections::HashMap, env, error::Error, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use x402_chain_eip155::chain::config::Eip155ChainConfig;
use x402_chain_eip155::chain::{Eip155ChainProvider, Eip155ChainReference, Eip155MetaTransactionProvider};
use x402_chain_eip155::{KnownNetworkEip155, V1Eip155Exact, V2Eip155Exact};
use x402_types::chain::{ChainRegistry, FromConfig};
use x402_types::networks::USDC;
use x402_types::scheme::{
    SchemeBlueprints, SchemeConfig, SchemeRegistry, X402SchemeFacilitator, X402SchemeFacilitatorBuilder,
    X402SchemeId,
};

type Provider = Arc<Eip155ChainProvider>;
type AnyError = Box<dyn Error>;

/// The registry hands out `&Provider`; the scheme wants an owned provider. This adapts the two.
struct Shared<S>(S);

impl<S: X402SchemeId> X402SchemeId for Shared<S> {
    fn x402_version(&self) -> u8 {
        self.0.x402_version()
    }
    fn namespace(&self) -> &str {
        self.0.namespace()
    }
    fn scheme(&self) -> &str {
        self.0.scheme()
    }
}

impl<'a, S: X402SchemeFacilitatorBuilder<Provider>> X402SchemeFacilitatorBuilder<&'a Provider> for Shared<S> {
    fn build(
        &self,
        provider: &'a Provider,
        config: Option<serde_json::Value>,
    ) -> Result<Box<dyn X402SchemeFacilitator>, AnyError> {
        self.0.build(provider.clone(), config)
    }
}

fn var(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

async fn facilitator() -> Result<Router, AnyError> {
    let keys: Vec<String> = var("SIGNER_KEYS", "").split(',').map(str::to_owned).collect();
    let inner = serde_json::from_value(serde_json::json!({
        "eip1559": true,
        "signers": keys,
        "rpc": [{ "http": var("RPC_URL", "http://127.0.0.1:8545/") }],
        "receipt_timeout_secs": 60,
    }))?;
    let chain_reference = Eip155ChainReference::new(84532);
    let config = Eip155ChainConfig { chain_reference, inner };
    let provider = Arc::new(Eip155ChainProvider::from_config(&config).await?);
    if var("TUNED", "0") == "1" {
        // the crate leaves alloy's default for remote nodes, a receipt poll every 7 s
        provider.inner().client().set_poll_interval(Duration::from_millis(50));
    }
    let chains = ChainRegistry::new(HashMap::from([(config.chain_id(), provider)]));
    let blueprints =
        SchemeBlueprints::new().and_register(Shared(V1Eip155Exact)).and_register(Shared(V2Eip155Exact));
    let schemes: Vec<SchemeConfig> = serde_json::from_value(serde_json::json!([
        { "id": "v1-eip155-exact", "chains": "eip155:*" },
        { "id": "v2-eip155-exact", "chains": "eip155:*" },
    ]))?;
    let registry = SchemeRegistry::build(chains, blueprints, &schemes);
    let local = Arc::new(x402_facilitator_local::FacilitatorLocal::new(registry));
    Ok(x402_facilitator_local::handlers::routes().with_state(local))
}

fn seller() -> Result<Router, AnyError> {
    let pay_to: alloy_primitives::Address = var("PAY_TO", "").parse()?;
    let amount: u64 = var("AMOUNT", "1000").parse()?;
    let gate = x402_axum::X402Middleware::try_new(&var("FACILITATOR_URL", ""))?
        .with_base_url("http://bench.invalid/".parse()?);
    let tag = V2Eip155Exact::price_tag(pay_to, USDC::base_sepolia().amount(amount));
    let body = r#"{"ok":true}"#;
    let json = [("content-type", "application/json")];
    Ok(Router::new()
        .route("/free", get(move || async move { (json, body) }))
        .route("/paid", get(move || async move { (json, body) }).layer(gate.with_price_tag(tag))))
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let app = match env::args().nth(1).as_deref() {
        Some("facilitator") => facilitator().await?,
        Some("seller") => seller()?,
        _ => return Err("usage: x402rs-host facilitator|seller".into()),
    };
    let port: u16 = var("PORT", "4020").parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, app).await?;
    Ok(())
}
