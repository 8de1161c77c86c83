//! Flags of payments that the wallet makes by a transaction of its own, for sellers who only look.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use groat_chain_evm::{Chain, ChainOptions, Purse, Rpc};
use groat_core::Price;
use groat_core::ports::Payer;

use crate::commands::named::{accounts, pairs};
use crate::registry;

/// Which nodes and contracts a wallet knows.
#[derive(Args)]
pub(super) struct Flags {
    /// Node of a chain, for sellers who are paid by transaction; may be repeated
    #[arg(
        long = "rpc",
        value_name = "NETWORK=URL",
        env = "GROAT_RPC",
        hide_env_values = true,
        value_delimiter = ','
    )]
    rpcs: Vec<String>,
    /// Contract that services may be paid through, for sellers who speak AgentXPay; may be repeated
    #[arg(long = "payment-manager", value_name = "NETWORK=ACCOUNT", value_delimiter = ',')]
    managers: Vec<String>,
    /// Contract that requests may be paid through, for sellers who speak Want-Pay; may be repeated
    #[arg(long = "pay-contract", value_name = "NETWORK=ACCOUNT", value_delimiter = ',')]
    contracts: Vec<String>,
    /// What one coin of a chain counts for in your limits, as eip155:1='$2500'; may be repeated
    #[arg(long = "coin-price", value_name = "NETWORK=PRICE", value_delimiter = ',')]
    coins: Vec<String>,
    /// Send coins or tokens straight to a seller who asks for that
    #[arg(long)]
    direct: bool,
}

const RPC_TIMEOUT: Duration = Duration::from_secs(10);

impl Flags {
    /// Everybody who can pay.
    pub(super) fn payers(&self) -> anyhow::Result<Vec<Arc<dyn Payer>>> {
        let mut chains = Vec::new();
        for (network, url) in pairs(&self.rpcs, "--rpc")? {
            let id = network.chain_id().with_context(|| format!("--rpc: {network} is not an EVM chain"))?;
            let rpc = Rpc::http(url, RPC_TIMEOUT).map_err(|problem| anyhow::anyhow!("--rpc: {problem}"))?;
            chains.push(Chain::new(id, rpc, Vec::new(), ChainOptions::default()));
        }
        let mut purse = Purse { direct: self.direct, ..Purse::default() };
        purse.managers = accounts(&self.managers, "--payment-manager")?;
        let contracts = accounts(&self.contracts, "--pay-contract")?;
        for (network, price) in pairs(&self.coins, "--coin-price")? {
            let micros = Price::parse(price).and_then(|price| price.to_units(6)).context("--coin-price")?;
            purse.coins.push((network, micros.to_string().parse().context("--coin-price is too large")?));
        }
        Ok(registry::payers(chains, purse, contracts))
    }
}
