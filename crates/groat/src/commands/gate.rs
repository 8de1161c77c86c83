//! `groat gate`: prices in front of an HTTP API.

mod balance;
mod services;
mod want_pay;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use clap::Args;
use groat_chain_evm::Chain;
use groat_core::key::KeyKind;
use groat_core::ports::{Facilitator, Store};
use groat_core::{Confirmations, Fault, Network, PaymentKey, Terms};
use groat_facilitator::Remote;
use groat_seller::{Gateway, GatewayConfig, Limits, PassKey, Pay, RouteRule};
use groat_wire::want_pay::id::RequestKey;
use zeroize::Zeroizing;

use super::exit;
use super::facilitator::{ChainFlags, chains, engine, sweep_engine, watched};
use crate::books::{Books, StoreFlag};
use crate::config::{Config, Source};
use crate::paths::DataDir;
use crate::registry::PayContracts;
use crate::{listen, pass_key, registry, sweep};

/// Options of `groat gate`.
#[derive(Args)]
pub(crate) struct Options {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// URL of the API behind the gate
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// What costs what, as 'GET /weather=$0.01'; may be repeated
    #[arg(long = "price", value_name = "ROUTE=PRICE")]
    prices: Vec<String>,
    /// Account to be paid
    #[arg(long, value_name = "ACCOUNT")]
    pay_to: Option<String>,
    /// How deep a payment's block must lie before anything is handed out: 1, 12, safe, finalized
    #[arg(long, value_name = "DEPTH")]
    confirmations: Option<Confirmations>,
    /// Where buyers reach the gate
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// URL of a facilitator; without it the gate settles by itself
    #[arg(long, value_name = "URL")]
    facilitator: Option<String>,
    #[command(flatten)]
    chain: ChainFlags,
    #[command(flatten)]
    store: StoreFlag,
    /// Tell where it listens in one JSON line
    #[arg(long)]
    json: bool,
}

/// How long another gate on the same database that lives may work on a sale: longer than reading, verifying, serving and settling
/// twice take at most.
const LEASE_S: u64 = 180;
/// How often gates on the same database tell each other that they live. Who is silent for four beats is gone.
const BEAT: Duration = Duration::from_secs(1);

/// A name that no other gate has.
fn name() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the machine gives no randomness")?;
    Ok(format!("gate-{:032x}", u128::from_be_bytes(bytes)))
}
/// Where passes are sold, unless `gate.token_path` says otherwise.
const TOKEN_PATH: &str = "/token";
/// The API key for a facilitator, unless `gate.facilitator_key_env` names another variable.
const KEY_VARIABLE: &str = "GROAT_FACILITATOR_KEY";

pub(crate) async fn run(options: Options, data: &DataDir) -> anyhow::Result<std::process::ExitCode> {
    let (config, source) = match &options.config {
        Some(path) => Config::read(path).map(|(config, source)| (config, Some(source)))?,
        None => (Config::default(), None),
    };
    let text = |value: &Option<toml::Spanned<String>>| value.as_ref().map(|text| text.get_ref().clone());
    let pay_to = options
        .pay_to
        .clone()
        .or(text(&config.gate.pay_to))
        .context("nobody is paid: name an account with --pay-to")?;
    let upstream = options
        .upstream
        .clone()
        .or(text(&config.gate.upstream))
        .context("no API is named: say which with --upstream URL")?;
    let network = options.chain.network(text(&config.gate.network).as_deref())?;
    let address = options.listen.or(config.gate.listen).unwrap_or(([127, 0, 0, 1], 4021).into());
    let books = Books::choose(&options.store, config.gate.store.as_ref(), source.as_ref(), data, "gate.db")?;
    let store = books.open(std::slice::from_ref(&network)).await?;
    // With a node of the command line the chains of the file are left aside.
    let configured = if options.chain.rpc().is_some() { &[][..] } else { &config.chain };
    let contracts = want_pay::contracts(&config, source.as_ref(), &network, configured)?;
    let mut routes = routes(&options, &config, source.as_ref(), &network, &pay_to, &contracts)?;
    let asks = routes.iter().flat_map(|route| &route.asks);
    let services: Vec<Terms> = asks.filter(|terms| groat_chain_evm::is_service(terms)).cloned().collect();
    let nodes = nodes(&options, &config, source.as_ref(), &network, &services)?;
    let mut facilitator =
        facilitator(&options, &config, source.as_ref(), &network, &contracts, &store).await?;
    let mut mechanisms = registry::mechanisms(&contracts);
    let public_url = options.public_url.as_deref().or(config.gate.public_url.as_deref());
    let token_path = config.gate.token_path.as_deref().unwrap_or(TOKEN_PATH);
    let balance =
        balance::Balance::open(&config, source.as_ref(), public_url, token_path, (&network, &store))?;
    if let Some(balance) = &balance {
        balance.sell(&config, source.as_ref(), (&network, &pay_to), &mut routes)?;
        facilitator = balance.beside(facilitator, &store);
        mechanisms.push(balance.mechanism());
    }
    services::check(&nodes, &services).await?;
    let confirmations = options.confirmations.or(config.gate.confirmations).unwrap_or_default();
    let of_routes = routes.iter().map(|route| route.confirmations.unwrap_or(confirmations));
    if of_routes.into_iter().any(|confirmations| !confirmations.is_mined()) {
        can_tell_depth(facilitator.as_ref(), &network).await?;
    }
    let mut builder = Pay::builder()
        .facilitator(facilitator)
        .mechanisms(mechanisms)
        .access(registry::access(nodes.clone()))
        .store(store)
        .clock(registry::clock())
        .network(network.as_str())
        .pay_to(&pay_to)
        .confirmations(confirmations);
    if books.are_shared() {
        let mut limits = Limits::default();
        limits.lease_s = LEASE_S;
        builder = builder.limits(limits).instance(&name()?);
    }
    if let Some(url) = public_url {
        builder = builder.public_url(url);
    }
    let seed = || pass_key::open(config.gate.pass_key.as_ref(), source.as_ref(), data, books.are_shared());
    if routes.iter().any(|route| route.pass.is_some()) {
        builder = builder.token_path(token_path);
        builder = builder.pass_key(PassKey::from_seed(&*seed()?)?);
    }
    if let Some(source) = source.as_ref().filter(|_| want_pay::is_sold(&config)) {
        let settles = text(&config.gate.facilitator);
        let settles = options.facilitator.as_deref().or(settles.as_deref());
        let key = RequestKey::derived(&*seed()?)?;
        builder = builder.dialects(want_pay::dialects(&config, source, settles, key)?);
    }
    if let (Some(key), Some(source)) = (&config.gate.token_key, source.as_ref()) {
        builder = builder.shared_key(pass_key::shared(key, source)?);
    }
    let format = config.gate.token_format.as_ref().map(|format| *format.get_ref());
    let pay = builder.token_format(format.unwrap_or_default()).build()?;
    let mut gateway = GatewayConfig::new(&upstream);
    gateway.routes.clone_from(&routes);
    let mut gateway = Gateway::new(&pay, &gateway)?;
    if let Some(balance) = &balance {
        gateway = balance.serve(gateway)?;
    }
    pay.beat().await?;
    let recovered = pay.recover().await?;
    let (swept, beating) = (pay.clone(), pay.clone());
    sweep::start("sales", sweep::INTERVAL, move || {
        let pay = swept.clone();
        async move { pay.recover().await }
    });
    services::watch(nodes, services);
    sweep::start("gates on the same books", BEAT, move || {
        let pay = beating.clone();
        async move { pay.beat().await }
    });
    let listener = listen::bind(address, "the gate").await?;
    let serving = listen::spawn(listener, Router::new().fallback_service(gateway))?;
    let address = serving.address();
    let mut facts = vec![("gate", format!("http://{address}")), ("upstream", upstream)];
    if !options.json {
        facts.extend(routes.iter().map(|route| ("sells", format!("{}  {}", route.path, route.price))));
    }
    facts.extend(balance.iter().map(|balance| ("balances", balance.audience().to_owned())));
    facts.push(("openSales", recovered.open.to_string()));
    listen::announce(options.json, &facts);
    listen::until_stopped().await?;
    serving.stop().await;
    pay.drained().await;
    Ok(exit::OK)
}

/// The nodes that services and subscriptions are asked of, whoever settles.
fn nodes(
    options: &Options,
    config: &Config,
    source: Option<&Source>,
    network: &Network,
    services: &[Terms],
) -> anyhow::Result<Vec<Chain>> {
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let nodes = watched(&config.chain, source, &options.chain, network)?;
    if !nodes.iter().any(|chain| chain.network() == network) {
        bail!(
            "a route is a service of AgentXPay, and no node of {network} is set to ask about it: name one with --rpc URL, \
             or write [[chain]] into the file of --config, also where a facilitator settles"
        );
    }
    Ok(nodes)
}

async fn facilitator(
    options: &Options,
    config: &Config,
    source: Option<&Source>,
    network: &Network,
    contracts: &PayContracts,
    store: &Arc<dyn Store>,
) -> anyhow::Result<Arc<dyn Facilitator>> {
    let configured = config.gate.facilitator.as_ref().map(|url| url.get_ref());
    if let Some(url) = options.facilitator.as_ref().or(configured) {
        let mechanisms = registry::mechanisms(contracts);
        return Ok(match facilitator_key(config, source)? {
            Some(key) => Arc::new(Remote::with_key(url, &key, mechanisms)?),
            None => Arc::new(Remote::new(url, mechanisms)?),
        });
    }
    let chains = chains(&config.chain, source, &options.chain, network)?;
    let engine = engine(&chains, contracts.clone(), Arc::clone(store)).await?;
    engine.recover().await.context("open payments cannot be taken up")?;
    sweep_engine(engine.clone());
    Ok(Arc::new(engine))
}

/// Whoever waits for depth at a facilitator that cannot tell it would wait for ever. One that does not answer now may
/// be able to later.
async fn can_tell_depth(facilitator: &dyn Facilitator, network: &Network) -> anyhow::Result<()> {
    let nobody = PaymentKey::new(KeyKind::Transaction, network, &[b"groat/probe"]).id();
    match facilitator.status(&nobody).await {
        Ok(_) => Ok(()),
        Err(Fault::Garbled { .. }) => bail!(
            "this facilitator cannot tell how deep a payment lies (GET /payments/ID), so nothing would be served with \
             `confirmations` above 1: leave them out, use `groat facilitator`, or let the gate settle by itself"
        ),
        Err(fault) => {
            tracing::warn!(%fault, "whether the facilitator can tell how deep a payment lies is not known yet");
            Ok(())
        }
    }
}

/// The API key for the facilitator comes from the environment: a command line can be read by everybody.
fn facilitator_key(config: &Config, source: Option<&Source>) -> anyhow::Result<Option<Zeroizing<String>>> {
    let named = config.gate.facilitator_key_env.as_ref().zip(source);
    let variable = named.map_or(KEY_VARIABLE, |(name, _)| name.get_ref());
    let key = std::env::var(variable).ok().filter(|key| !key.is_empty()).map(Zeroizing::new);
    match named {
        // The name is not quoted: it may be the key itself, put into the wrong place.
        Some((name, source)) if key.is_none() => {
            let mend = "set it to the API key, or leave this out";
            Err(source.wrong(Some(name.span()), "the environment has no variable of this name", mend))
        }
        _ => Ok(key),
    }
}

fn routes(
    options: &Options,
    config: &Config,
    source: Option<&Source>,
    network: &Network,
    pay_to: &str,
    contracts: &PayContracts,
) -> anyhow::Result<Vec<RouteRule>> {
    let mut routes = Vec::new();
    for price in &options.prices {
        let Some((path, price)) = price.rsplit_once('=') else {
            bail!("`{price}` is not a priced route: write it as 'GET /weather=$0.01'");
        };
        routes.push(RouteRule::new(path.trim(), price.trim()));
    }
    for route in &config.gate.route {
        let mut rule = route.rule(network, pay_to);
        if let Some(source) = source {
            rule.asks.extend(want_pay::terms(route, source, network, pay_to, contracts)?);
        }
        routes.push(rule);
    }
    if routes.is_empty() {
        bail!("nothing has a price: name a route with --price 'GET /weather=$0.01'");
    }
    Ok(routes)
}
