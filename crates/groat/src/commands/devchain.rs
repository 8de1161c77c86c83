//! `groat devchain`: only the chain.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use groat_devchain::{DevChain, Mining};

use super::exit;
use crate::{listen, universe};

/// Options of `groat devchain`.
#[derive(Args)]
pub(crate) struct Options {
    /// Port of the JSON-RPC node on 127.0.0.1
    #[arg(long, default_value_t = 8545)]
    port: u16,
    /// Seconds between blocks; without it every transaction makes its own block at once
    #[arg(long, value_name = "SECONDS")]
    block_time: Option<u64>,
    /// Tell where it listens in one JSON line
    #[arg(long)]
    json: bool,
}

pub(crate) fn mining(block_time: Option<u64>) -> Mining {
    block_time.map_or(Mining::Instant, |seconds| Mining::Interval(Duration::from_secs(seconds)))
}

pub(crate) async fn run(options: Options) -> anyhow::Result<std::process::ExitCode> {
    let config = groat_devchain::Config {
        chain_id: universe::CHAIN_ID,
        mining: mining(options.block_time),
        ..Default::default()
    };
    let chain = DevChain::new(config);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let server = chain
        .serve(address)
        .await
        .with_context(|| format!("the chain cannot listen on {address}: choose another port with --port"))?;
    let facts = [
        ("chain", format!("http://{}", server.local_addr())),
        ("chainId", universe::CHAIN_ID.to_string()),
        ("usdc", groat_devchain::USDC.to_string()),
    ];
    listen::announce(options.json, &facts);
    listen::until_stopped().await?;
    Ok(exit::OK)
}
