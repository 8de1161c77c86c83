//! `groat balance grant`: a seller adds to an account in its own book, once for each cause.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use groat_chain_ledger::Holder;
use groat_core::{PaymentId, Price};
use serde_json::json;

use crate::accounts;
use crate::books::{Books, StoreFlag};
use crate::commands::exit;
use crate::commands::facilitator::gate_network;
use crate::config::Config;
use crate::paths::DataDir;
use crate::registry;

/// Options of `groat balance grant`.
#[derive(Args)]
pub(super) struct Grant {
    /// Whose balance
    account: String,
    /// Dollars, such as 5 or $0.50
    amount: String,
    /// What it is for, in a word of your own: the same word adds once
    #[arg(long, value_name = "WORD", required_unless_present = "payment")]
    id: Option<String>,
    /// The payment that was taken for a top-up and not added; added once, whoever adds it
    #[arg(long, value_name = "PAYMENT", conflicts_with = "id")]
    payment: Option<String>,
    /// Configuration file of the gate, for its book
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the gate is paid, as its own --network [default: eip155:84532]
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    #[command(flatten)]
    store: StoreFlag,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Grant, data: &DataDir) -> anyhow::Result<ExitCode> {
    let (config, source) = match &options.config {
        Some(path) => Config::read(path).map(|(config, source)| (config, Some(source)))?,
        None => (Config::default(), None),
    };
    let holder = Holder::parse(&options.account).with_context(|| format!("`{}`", options.account))?;
    let books = Books::choose(&options.store, config.gate.store.as_ref(), source.as_ref(), data, "gate.db")?;
    let configured = config.gate.network.as_ref().map(|network| network.get_ref().as_str());
    let network = gate_network(options.network.as_deref(), configured)?;
    let ledger = accounts::ledger(&books.open_beside().await?, &network)?;
    let (now, currency) = (registry::clock().now(), *ledger.first_currency());
    let price = super::dollars(&options.amount)?;
    let amount = Price::to_units(&price, currency.decimals)?;
    let posting = match (&options.payment, &options.id) {
        (Some(payment), _) => {
            let payment = PaymentId::parse(payment).context("--payment")?;
            ledger.top_up(&holder, currency.symbol, amount, payment, now).await
        }
        (None, id) => {
            let id = id.as_deref().unwrap_or_default();
            ledger.grant(&holder, currency.symbol, amount, id, now).await
        }
    };
    let posting = posting.context("nothing was added")?;
    let (added, balance) = (
        posting.amount.to_decimal(currency.decimals),
        ledger.account(currency.symbol, &posting.credit).await?.balance().to_decimal(currency.decimals),
    );
    if options.json {
        let told = json!({ "account": posting.credit, "currency": posting.currency, "added": added, "balance": balance });
        println!("{told}");
    } else {
        println!("added        {added} {} for {}", posting.currency, posting.credit);
        println!("balance      {balance} {}", posting.currency);
    }
    Ok(exit::OK)
}
