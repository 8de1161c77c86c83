//! `groat indexer`: an index of payments for services, over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use groat_chain_evm::Contracts;
use groat_indexer::{Indexer, IndexerOptions, http};

use super::named::{accounts, node_of};
use super::{exit, facilitator};
use crate::books::{Books, StoreFlag};
use crate::paths::DataDir;
use crate::{listen, registry, sweep};

/// Options of `groat indexer`.
#[derive(Args)]
pub(crate) struct Options {
    /// Node of the chain of the contracts; of several, that one is taken
    #[arg(
        long = "rpc",
        value_name = "NETWORK=URL",
        env = "GROAT_RPC",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    rpcs: Vec<String>,
    /// Contract whose payments are read
    #[arg(long, value_name = "NETWORK=ACCOUNT")]
    payment_manager: String,
    /// Contract whose subscriptions are read
    #[arg(long, value_name = "NETWORK=ACCOUNT")]
    subscription_manager: Option<String>,
    #[command(flatten)]
    store: StoreFlag,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3002")]
    listen: SocketAddr,
    /// Milliseconds between two looks at the chain
    #[arg(long, value_name = "MS", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(10..))]
    poll: u64,
    /// First block that is read: where the contracts were made
    #[arg(long, value_name = "BLOCK", default_value_t = 0)]
    from_block: u64,
    /// Tell where it listens in one JSON line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options, data: &DataDir) -> anyhow::Result<std::process::ExitCode> {
    let one = |flag: &String, name: &str| {
        accounts(std::slice::from_ref(flag), name)?.pop().context(name.to_owned())
    };
    let (network, payments) = one(&options.payment_manager, "--payment-manager")?;
    let subscriptions = options.subscription_manager.as_ref();
    let subscriptions = subscriptions.map(|flag| one(flag, "--subscription-manager")).transpose()?;
    if let Some((of, _)) = subscriptions.as_ref().filter(|(of, _)| *of != network) {
        bail!(
            "--subscription-manager is on {of} and --payment-manager on {network}: an index is of one chain"
        );
    }
    let contracts = Contracts { payments, subscriptions: subscriptions.map(|(_, account)| account) };
    let url = node_of(&options.rpcs, &network)?;
    let chain = facilitator::node(&network, url)?;
    chain.check_id().await.with_context(|| format!("the node of {network}"))?;
    let books = Books::choose(&options.store, None, None, data, "indexer.db")?;
    let store = books.open(std::slice::from_ref(&network)).await?;
    let reading = IndexerOptions { first_block: options.from_block, ..IndexerOptions::default() };
    let indexer = Arc::new(Indexer::open(chain, contracts, store, registry::clock(), reading).await?);
    let begun = Arc::clone(&indexer);
    tokio::spawn(async move {
        if let Err(fault) = begun.poll().await {
            tracing::warn!(%fault, "the chain is not read yet: again in a while");
        }
    });
    let polled = Arc::clone(&indexer);
    sweep::start("the chain", Duration::from_millis(options.poll), move || {
        let indexer = Arc::clone(&polled);
        async move { indexer.poll().await }
    });
    let listener = listen::bind(options.listen, "the indexer").await?;
    let serving = listen::spawn(listener, http::router(Arc::clone(&indexer)))?;
    let address = serving.address();
    let facts = [
        ("indexer", format!("http://{address}")),
        ("book", books.to_string()),
        ("lastBlock", indexer.status().0.to_string()),
    ];
    listen::announce(options.json, &facts);
    listen::until_stopped().await?;
    serving.stop().await;
    Ok(exit::OK)
}
