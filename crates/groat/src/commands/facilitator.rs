//! `groat facilitator`: verify and settle for others.

mod key;
mod lanes;
mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use groat_chain_evm::{Chain, ChainLimits, ChainOptions, GasKey, Rpc};
use groat_core::Network;
use groat_core::ports::{Facilitator, Store};
use groat_facilitator::http::{Ready, Service};
use groat_facilitator::{Engine, EngineOptions, Requests};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::exit;
use crate::books::{Books, StoreFlag};
use crate::config::{ChainConfig, Config, Source};
use crate::paths::DataDir;
use crate::registry::PayContracts;
use crate::{listen, registry, sweep};

/// Options of `groat facilitator`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    serve: Serve,
}

/// What else there is to do than to run it.
#[derive(Subcommand)]
enum Action {
    /// Make API keys for callers
    #[command(subcommand)]
    Key(key::Action),
    /// List the signers of the book: nonces, open transactions, who is halted
    Lanes(lanes::Lanes),
    /// Let a signer go on that was halted because somebody else used its account
    Resume(lanes::Resume),
}

#[derive(Args)]
struct Serve {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    chain: ChainFlags,
    /// Contract through which requests are paid on the chain of --rpc (x402-pay/1); it opens /v1
    #[arg(long, value_name = "ACCOUNT", requires = "rpc")]
    pay_contract: Option<String>,
    #[command(flatten)]
    store: StoreFlag,
    /// Let webhooks go to this machine and to private networks, there also without TLS; never to cloud metadata
    ///
    /// Callers have events sent to URLs of theirs with `POST /v1/webhook_endpoints`. Without this only https URLs on port
    /// 443 or 8443 with an address on the open internet are sent to, or a caller could reach what only this machine can.
    #[arg(long)]
    webhooks_allow_private: bool,
    /// Tell where it listens in one JSON line
    #[arg(long)]
    json: bool,
}

/// One chain by flags, instead of a file.
#[derive(Args, Clone)]
pub(crate) struct ChainFlags {
    /// URL of the chain's JSON-RPC node
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,
    /// Chain to settle on, as eip155:84532 or base-sepolia [default: eip155:84532]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<String>,
    /// Keystore file of the key that pays for gas; its password is asked for, or read from <FILE>.password
    #[arg(long, value_name = "FILE")]
    keystore: Vec<PathBuf>,
}

/// Where to settle unless something else is said: play money.
const NETWORK: &str = "eip155:84532";

impl ChainFlags {
    /// The node of the command line.
    pub(crate) fn rpc(&self) -> Option<&str> {
        self.rpc.as_deref()
    }

    /// The network of the command line, else of the file, else the default.
    pub(crate) fn network(&self, configured: Option<&str>) -> anyhow::Result<Network> {
        gate_network(self.network.as_deref(), configured)
    }
}

/// The same where there is no other flag of a chain.
pub(crate) fn gate_network(flag: Option<&str>, configured: Option<&str>) -> anyhow::Result<Network> {
    Ok(Network::parse(flag.or(configured).unwrap_or(NETWORK))?)
}

/// How long a node may take to answer.
const RPC_TIMEOUT: Duration = Duration::from_secs(10);
/// Keys in the environment, for test networks only: `GROAT_SIGNER_KEYS=0x…,0x…`.
const KEYS_VARIABLE: &str = "GROAT_SIGNER_KEYS";

pub(crate) async fn run(options: Options, data: &DataDir) -> anyhow::Result<std::process::ExitCode> {
    match options.action {
        None => serve(options.serve, data).await,
        Some(Action::Key(action)) => key::run(action),
        Some(Action::Lanes(options)) => lanes::list(options, data).await,
        Some(Action::Resume(options)) => lanes::resume(options, data).await,
    }
}

async fn serve(options: Serve, data: &DataDir) -> anyhow::Result<std::process::ExitCode> {
    let (config, source) = match &options.config {
        Some(path) => Config::read(path).map(|(config, source)| (config, Some(source)))?,
        None => (Config::default(), None),
    };
    let network = options.chain.network(None)?;
    let chains = chains(&config.chain, source.as_ref(), &options.chain, &network)?;
    let address = options.listen.or(config.facilitator.listen).unwrap_or(([127, 0, 0, 1], 4402).into());
    let callers = source.as_ref().map_or(Ok(Vec::new()), |source| config.callers(source))?;
    if callers.is_empty() && !address.ip().is_loopback() {
        bail!(
            "{address} is open to other machines and nobody needs an API key: paste what `groat facilitator key new \
             NAME` prints into the file of --config, or listen on 127.0.0.1"
        );
    }
    let configured = config.facilitator.store.as_ref();
    let books = Books::choose(&options.store, configured, source.as_ref(), data, "facilitator.db")?;
    let networks: Vec<_> = chains.iter().map(|chain| chain.network().clone()).collect();
    let store = books.open(&networks).await?;
    let contracts = contracts(&config.chain, source.as_ref(), &options, &network)?;
    let engine = engine(&chains, contracts.clone(), Arc::clone(&store)).await?;
    let allow_private = options.webhooks_allow_private || config.facilitator.webhooks_allow_private;
    let webhooks = webhooks::open(&engine, &store, &callers, allow_private).await?;
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics")?;
    let ready = Ready::default();
    let facilitator: Arc<dyn Facilitator> = Arc::new(engine.clone());
    let clock = registry::clock();
    let service =
        Service::new(facilitator, registry::mechanisms(&contracts), move || metrics.render(), ready.clone());
    let mut service = service.callers(callers, &store, &clock).webhooks(webhooks.clone());
    let open = engine.recover().await.context("open payments cannot be taken up")?;
    if !contracts.is_empty() {
        let chain = registry::request_chain(chains, contracts);
        let requests =
            Requests::new(engine.clone(), chain, Arc::clone(&store), Arc::clone(&clock), REQUESTS_LAG);
        requests.watch(REQUESTS_INTERVAL);
        service = service.paying(requests, &store, &clock);
    }
    sweep_engine(engine);
    tokio::spawn(webhooks.run());
    let listener = listen::bind(address, "the facilitator").await?;
    let serving = listen::spawn(listener, service.router())?;
    let address = serving.address();
    ready.set(true);
    let facts = [
        ("facilitator", format!("http://{address}")),
        ("book", books.to_string()),
        ("openPayments", open.to_string()),
    ];
    listen::announce(options.json, &facts);
    listen::until_stopped().await?;
    serving.stop().await;
    Ok(exit::OK)
}

/// Blocks on top before a request counts as paid without anybody showing a proof.
const REQUESTS_LAG: u64 = 2;
/// How often the contracts' events are read.
const REQUESTS_INTERVAL: Duration = Duration::from_secs(3);

/// The contracts through which requests are paid: of the file, or of the flag.
fn contracts(
    configured: &[ChainConfig],
    source: Option<&Source>,
    options: &Serve,
    network: &Network,
) -> anyhow::Result<PayContracts> {
    if options.chain.rpc.is_some() {
        let Some(text) = &options.pay_contract else { return Ok(Vec::new()) };
        let contract = groat_chain_evm::account::parse(text);
        let contract = contract.with_context(|| {
            format!(
                "`{text}` is not an account; write 0x and 40 hex digits after --pay-contract, with the right checksum \
                 when in mixed case"
            )
        })?;
        return Ok(vec![(network.clone(), contract)]);
    }
    source.map_or(Ok(Vec::new()), |source| source.pay_contracts(configured))
}

/// Keeps an engine from leaving anything open.
pub(crate) fn sweep_engine(engine: Engine) {
    sweep::start("settlements", sweep::INTERVAL, move || {
        let engine = engine.clone();
        async move { engine.recover().await }
    });
}

/// An engine on these chains, once every node has proved to be of its chain.
pub(crate) async fn engine(
    chains: &[Chain],
    contracts: PayContracts,
    store: Arc<dyn Store>,
) -> anyhow::Result<Engine> {
    for chain in chains {
        chain.check_id().await.with_context(|| format!("the node of {}", chain.network()))?;
    }
    let settlers = registry::settlers(chains.to_vec(), contracts.clone());
    let observers = registry::observers(chains.to_vec(), contracts);
    Ok(Engine::observing(settlers, observers, store, registry::clock(), EngineOptions::default()))
}

/// The chains of the file, or the network on the node of the flags.
pub(crate) fn chains(
    configured: &[ChainConfig],
    source: Option<&Source>,
    flags: &ChainFlags,
    network: &Network,
) -> anyhow::Result<Vec<Chain>> {
    if let Some(rpc) = &flags.rpc {
        return Ok(vec![chain(network, rpc, &flags.keystore, ChainLimits::default())?]);
    }
    let (Some(source), false) = (source, configured.is_empty()) else {
        bail!(
            "no chain is set: name a node with --rpc URL, or write [[chain]] into a file and name it with --config"
        );
    };
    configured
        .iter()
        .map(|entry| {
            let accounts = |list: &[toml::Spanned<String>]| {
                list.iter().map(|text| source.account(text)).collect::<anyhow::Result<Vec<_>>>()
            };
            let limits = ChainLimits {
                assets: accounts(&entry.assets)?,
                pay_to: accounts(&entry.pay_to)?,
                min_prices: source.min_prices(entry)?,
                factories: accounts(&entry.factories)?,
                ..ChainLimits::default()
            };
            let files: Vec<PathBuf> = entry.keystores.iter().map(|path| source.beside(path)).collect();
            chain(&source.network(&entry.network)?, entry.rpc.get_ref(), &files, limits)
        })
        .collect()
}

/// The same chains for whoever only looks: no key is needed.
pub(crate) fn watched(
    configured: &[ChainConfig],
    source: Option<&Source>,
    flags: &ChainFlags,
    network: &Network,
) -> anyhow::Result<Vec<Chain>> {
    match (&flags.rpc, source) {
        (Some(rpc), _) => Ok(vec![node(network, rpc)?]),
        (None, Some(source)) => configured
            .iter()
            .map(|entry| node(&source.network(&entry.network)?, entry.rpc.get_ref()))
            .collect(),
        (None, None) => Ok(Vec::new()),
    }
}

/// A chain to look at.
pub(crate) fn node(network: &Network, rpc: &str) -> anyhow::Result<Chain> {
    let id = network.chain_id().with_context(|| format!("{network} is not an EVM chain"))?;
    let rpc = Rpc::http(rpc, RPC_TIMEOUT).map_err(anyhow::Error::msg)?;
    Ok(Chain::new(id, rpc, Vec::new(), ChainOptions::default()))
}

fn chain(network: &Network, rpc: &str, keystores: &[PathBuf], limits: ChainLimits) -> anyhow::Result<Chain> {
    let id = network.chain_id().with_context(|| format!("{network} is not an EVM chain"))?;
    let rpc = Rpc::http(rpc, RPC_TIMEOUT).map_err(anyhow::Error::msg)?;
    let mut keys =
        keystores.iter().map(|path| super::wallet::gas_key(path)).collect::<anyhow::Result<Vec<_>>>()?;
    keys.extend(environment_keys(network)?);
    if keys.is_empty() {
        bail!(
            "no key pays for gas on {network}: make one with `groat wallet new gas` and name it with --keystore"
        );
    }
    Ok(Chain::new(id, rpc, keys, ChainOptions { limits, ..ChainOptions::default() }))
}

fn environment_keys(network: &Network) -> anyhow::Result<Vec<GasKey>> {
    let Ok(text) = std::env::var(KEYS_VARIABLE) else { return Ok(Vec::new()) };
    if !network.is_testnet() {
        bail!("{KEYS_VARIABLE} is for test networks; on {network} name a keystore file with --keystore");
    }
    text.split(',').map(|key| GasKey::from_hex(key).with_context(|| KEYS_VARIABLE.to_owned())).collect()
}
