//! `groat facilitator lanes` and `resume`: the signers of a book, beside whoever runs on it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use groat_chain_evm::{Chain, ChainOptions, Rpc};
use groat_core::Network;
use groat_facilitator::{Engine, EngineOptions, LaneStatus, ResumeError};
use serde_json::{Value, json};

use super::RPC_TIMEOUT;
use crate::books::{Books, StoreFlag};
use crate::commands::exit;
use crate::config::Config;
use crate::paths::DataDir;
use crate::registry;

/// Options of `groat facilitator lanes`.
#[derive(Args)]
pub(super) struct Lanes {
    #[command(flatten)]
    place: Place,
    /// Chain of the node that --rpc names
    #[arg(long, value_name = "NETWORK", default_value = "eip155:84532")]
    network: String,
}

/// Options of `groat facilitator resume`.
#[derive(Args)]
pub(super) struct Resume {
    /// Chain, as `lanes` shows it
    #[arg(id = "lane_network", value_name = "NETWORK")]
    network: String,
    /// Account that signs
    signer: String,
    #[command(flatten)]
    place: Place,
}

/// Where the book and the nodes are. No key is needed to look.
#[derive(Args)]
struct Place {
    /// Configuration file with the nodes and the book
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// URL of the chain's JSON-RPC node, instead of the file's
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,
    #[command(flatten)]
    store: StoreFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn list(options: Lanes, data: &DataDir) -> anyhow::Result<std::process::ExitCode> {
    let engine = options.place.engine(&options.network, data).await?;
    let lanes = engine.lane_status().await?;
    if options.place.json {
        println!("{}", Value::from_iter(lanes.iter().map(object)));
        return Ok(exit::OK);
    }
    if lanes.is_empty() {
        println!("no signer has sent anything yet");
        return Ok(exit::OK);
    }
    println!(
        "{:<16} {:<42} {:>8} {:>8} {:>8} {:>5}  STATE",
        "NETWORK", "SIGNER", "NEXT", "SPENT", "WAITING", "OPEN"
    );
    for lane in lanes {
        let number = |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
        let (spent, waiting) = lane.chain.map(|chain| (chain.spent, chain.waiting)).unzip();
        println!(
            "{:<16} {:<42} {:>8} {:>8} {:>8} {:>5}  {}",
            lane.network.to_string(),
            lane.signer,
            lane.next,
            number(spent),
            number(waiting),
            lane.open,
            if lane.halted { "halted" } else { "working" },
        );
    }
    Ok(exit::OK)
}

fn object(lane: &LaneStatus) -> Value {
    json!({
        "network": lane.network,
        "signer": lane.signer,
        "nextNonce": lane.next,
        "spentNonces": lane.chain.map(|chain| chain.spent),
        "waitingNonces": lane.chain.map(|chain| chain.waiting),
        "openTransactions": lane.open,
        "halted": lane.halted,
    })
}

pub(super) async fn resume(options: Resume, data: &DataDir) -> anyhow::Result<std::process::ExitCode> {
    let network = Network::parse(&options.network)?;
    let engine = options.place.engine(&options.network, data).await?;
    match engine.resume_lane(&network, &options.signer).await {
        Ok(resumed) if options.place.json => {
            let (from, to) = (resumed.from, resumed.to);
            println!("{}", json!({ "resumed": true, "nextNonceBefore": from, "nextNonce": to }));
        }
        Ok(resumed) => {
            println!("{} goes on with nonce {} on {network}", resumed.signer, resumed.to);
            if resumed.to > resumed.from {
                println!("left out are {} to {}, which others have spent", resumed.from, resumed.to - 1);
            }
            println!("a facilitator that runs on this book notices within half a minute");
        }
        Err(ResumeError::NotHalted) if options.place.json => println!("{}", json!({ "resumed": false })),
        Err(ResumeError::NotHalted) => println!("{}", ResumeError::NotHalted),
        Err(error) => return Err(error.into()),
    }
    Ok(exit::OK)
}

impl Place {
    /// An engine that only looks: it has no keys and takes nothing up.
    async fn engine(&self, network: &str, data: &DataDir) -> anyhow::Result<Engine> {
        let (config, source) = match &self.config {
            Some(path) => Config::read(path).map(|(config, source)| (config, Some(source)))?,
            None => (Config::default(), None),
        };
        let configured = config.facilitator.store.as_ref();
        let books = Books::choose(&self.store, configured, source.as_ref(), data, "facilitator.db")?;
        let nodes = match (&self.rpc, &source) {
            (Some(rpc), _) => vec![(Network::parse(network)?, rpc.clone())],
            (None, Some(source)) => config
                .chain
                .iter()
                .map(|chain| Ok((source.network(&chain.network)?, chain.rpc.get_ref().clone())))
                .collect::<anyhow::Result<_>>()?,
            (None, None) => {
                bail!("no node is set: name one with --rpc URL, or the facilitator's file with --config")
            }
        };
        let mut chains = Vec::new();
        for (network, rpc) in nodes {
            let id = network.chain_id().with_context(|| format!("{network} is not an EVM chain"))?;
            let rpc = Rpc::http(&rpc, RPC_TIMEOUT).map_err(anyhow::Error::msg)?;
            let chain = Chain::new(id, rpc, Vec::new(), ChainOptions::default());
            chain.check_id().await.with_context(|| format!("the node of {network}"))?;
            chains.push(chain);
        }
        let settlers = registry::settlers(chains, Vec::new());
        Ok(Engine::new(settlers, books.open_beside().await?, registry::clock(), EngineOptions::default()))
    }
}
