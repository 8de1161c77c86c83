//! `groat discover`: what a registry on chain has for sale.

use alloy_primitives::U256;
use anyhow::Context;
use clap::Args;
use groat_chain_evm::{Listed, Wanted, discover};
use groat_core::Amount;
use serde_json::{Value, json};

use super::named::{accounts, node_of};
use super::{exit, facilitator};

/// Options of `groat discover`.
#[derive(Args)]
pub(crate) struct Options {
    /// Node of the registry's chain; of several, that one is taken
    #[arg(
        long = "rpc",
        value_name = "NETWORK=URL",
        env = "GROAT_RPC",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    rpcs: Vec<String>,
    /// Registry of services
    #[arg(long, value_name = "NETWORK=ACCOUNT")]
    registry: String,
    /// Only services of this category
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Only services that cost at most so much a call
    #[arg(long, value_name = "WEI")]
    max_price: Option<Amount>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<std::process::ExitCode> {
    let (network, registry) =
        accounts(std::slice::from_ref(&options.registry), "--registry")?.pop().context("--registry")?;
    let url = node_of(&options.rpcs, &network)?;
    let chain = facilitator::node(&network, url)?;
    chain.check_id().await.with_context(|| format!("the node of {network}"))?;
    let max_price: Option<U256> = options.max_price.map(Amount::as_u256);
    let wanted = Wanted { category: options.category, max_price };
    let found = discover(&chain, registry, &wanted).await?;
    if options.json {
        println!("{}", json!({ "services": found.iter().map(told).collect::<Vec<_>>() }));
        return Ok(exit::OK);
    }
    if found.is_empty() {
        println!("nothing of the kind is on sale");
    }
    for listed in &found {
        println!("{}  {}  [{}]  {} wei", listed.id, listed.name, listed.category, listed.price);
        println!("    {}", listed.endpoint);
        if !listed.description.is_empty() {
            println!("    {}", listed.description);
        }
        println!("    paid to {}", listed.provider);
    }
    Ok(exit::OK)
}

fn told(listed: &Listed) -> Value {
    json!({
        "id": listed.id.to_string(),
        "provider": listed.provider.to_string(),
        "name": listed.name,
        "description": listed.description,
        "endpoint": listed.endpoint,
        "category": listed.category,
        "pricePerCall": listed.price.to_string(),
        "isActive": true,
        "createdAt": listed.created_at.to_string(),
    })
}
