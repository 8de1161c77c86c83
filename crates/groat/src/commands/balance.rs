//! `groat balance`: what sellers keep for a key, and how it gets more.

mod grant;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use groat_chain_ledger::statement_intent;
use groat_core::Price;
use groat_core::ports::Signer;
use groat_core::reason::printable;
use serde_json::{Value, json};
use url::{Host, Url};

use super::exit;
use super::pay::spend::{self, Purse};
use super::pay::{describe, failure};
use crate::paths::DataDir;
use crate::registry;

/// Options of `groat balance`.
#[derive(Args)]
#[command(
    after_help = "A seller who keeps balances takes debits: signed by your key, without a transaction.\n\n  groat balance top-up https://api.example.com 5       pay $5 on chain, once\n  groat pay --balance https://api.example.com/weather  spend it\n  groat balance statement https://api.example.com      see what happened\n\nThe account is that of your key at this seller; nobody registers."
)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show what is there and what happened to it
    Statement(StatementOf),
    /// Pay so much into the balance; the amount is the limit of the payment
    #[command(alias = "topup")]
    TopUp(TopUp),
    /// For sellers: add to a balance in your own book, beside the gate that runs on it
    Grant(grant::Grant),
}

#[derive(Args)]
struct StatementOf {
    /// Any URL of the seller
    url: String,
    /// Only lines after this number
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// At most so many lines
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Ask over plain http on other machines too
    #[arg(long)]
    plain_http: bool,
    /// Key whose account it is
    #[arg(long, value_name = "NAME", default_value = "main")]
    wallet: String,
    /// Print the seller's answer, one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct TopUp {
    /// Any URL of the seller
    url: String,
    /// Dollars, such as 5 or $0.50
    amount: String,
    #[command(flatten)]
    spend: spend::Spend,
    /// Print one JSON object with answer and payment
    #[arg(long)]
    json: bool,
}

/// How long a seller may take to tell a statement.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Of a text of the seller, so much is shown.
const SHOWN_CHARS_MAX: usize = 300;

pub(crate) async fn run(options: Options, data: &DataDir) -> anyhow::Result<ExitCode> {
    match options.action {
        Action::Statement(options) => statement(options, data).await,
        Action::TopUp(options) => top_up(options, data).await,
        Action::Grant(options) => grant::run(options, data).await,
    }
}

/// An amount that somebody has typed.
fn dollars(amount: &str) -> anyhow::Result<Price> {
    let price = Price::parse(amount).ok().filter(|price| price.ticker().is_none());
    price.with_context(|| format!("`{amount}` is not an amount of dollars: write it like 5 or 0.50"))
}

/// The account of a key at the payment service of a seller.
fn account_at(url: &str, account: &str, rest: &str) -> anyhow::Result<Url> {
    let asked: Url = url.parse().with_context(|| format!("`{url}` is not a URL: write https://host"))?;
    if !matches!(asked.scheme(), "http" | "https") || !asked.has_host() {
        bail!("`{url}` cannot be asked: write https://host");
    }
    Ok(asked.join(&format!("/x402/balance/{account}{rest}"))?)
}

async fn top_up(options: TopUp, data: &DataDir) -> anyhow::Result<ExitCode> {
    let TopUp { url, amount, mut spend, json } = options;
    let amount = dollars(&amount)?.to_units(6).context("an amount has up to six decimals")?.to_decimal(6);
    // Whoever types an amount allows it, and no more.
    spend.max.get_or_insert_with(|| amount.clone());
    spend.is_typed = true;
    let account = spend.signer(data)?.account();
    let url = account_at(&url, &account, &format!("/topup?amount={amount}"))?;
    let payers = registry::payers(Vec::new(), Default::default(), Vec::new());
    let client = spend.client(Purse::Wallet(payers), groat_buyer::Options::default(), data)?;
    let request = reqwest::Request::new(reqwest::Method::POST, url);
    let bought = match client.execute(request).await {
        Ok(bought) => bought,
        Err(error) => return Ok(failure(json, &error)),
    };
    let (paid, status) = (bought.payment, bought.response.status());
    let body = read(bought.response).await?;
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    if json {
        println!(
            "{}",
            json!({ "status": status.as_u16(), "body": told, "payment": paid.as_ref().map(describe) })
        );
    }
    if !status.is_success() {
        if !json {
            let (why, paid) =
                (message(&told), paid.map_or_else(String::new, |paid| format!(" (paid: {})", paid.id)));
            eprintln!("groat: the seller answers {status}: {why}{paid}");
        }
        return Ok(exit::FAULT.into());
    }
    if !json {
        let said = |name: &str| printable(told[name].as_str().unwrap_or("?"), SHOWN_CHARS_MAX);
        println!("added        {} {} for {}", said("added"), said("currency"), said("account"));
        if let Some(paid) = &paid {
            println!("payment      {}", paid.id);
        }
    }
    Ok(exit::OK)
}

async fn statement(options: StatementOf, data: &DataDir) -> anyhow::Result<ExitCode> {
    let signer = spend::signer(&options.wallet, false, data)?;
    let account = signer.account();
    let mut url = account_at(&options.url, &account, "")?;
    if !options.plain_http && !is_private(&url) {
        bail!("{url} is plain http: others could read along; use https or allow it with --plain-http");
    }
    for (name, value) in [("after", options.after), ("limit", options.limit)] {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, &value.to_string());
        }
    }
    let now = registry::clock().now();
    let signature =
        signer.sign(&statement_intent(&url.origin().ascii_serialization(), &account, now)).await?;
    let http =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT).build()?;
    let request = http
        .get(url)
        .header("x-balance-timestamp", now.to_string())
        .header("x-balance-signature", alloy_primitives::hex::encode_prefixed(signature));
    let response = request.send().await.context("the seller cannot be asked")?;
    let status = response.status();
    let body = read(response).await?;
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() || told.get("balance").is_none() {
        bail!("the seller answers {status}: {}", message(&told));
    }
    if options.json {
        println!("{told}");
    } else {
        print(&told);
    }
    Ok(exit::OK)
}

/// Whether nobody on the way can read along.
fn is_private(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || is_loopback
}

async fn read(mut response: reqwest::Response) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            bail!("the answer is larger than any that is read here");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What the seller says in words; data, whatever it says.
fn message(told: &Value) -> String {
    let words = ["message", "error"].iter().find_map(|name| told[*name].as_str());
    printable(
        words.unwrap_or("it keeps no balances, or says nothing that is understood here"),
        SHOWN_CHARS_MAX,
    )
}

fn print(told: &Value) {
    let text = |value: &Value| printable(value.as_str().unwrap_or("?"), SHOWN_CHARS_MAX);
    println!("account      {}", text(&told["account"]));
    println!("balance      {} {}", text(&told["balance"]), text(&told["currency"]));
    for line in told["entries"].as_array().into_iter().flatten() {
        let sign = if line["direction"] == "in" { "+" } else { "-" };
        println!(
            "{:>6}  {:<8} {sign}{:<12} {:<12} {}",
            line["number"].as_u64().unwrap_or_default(),
            text(&line["kind"]),
            text(&line["amount"]),
            text(&line["balance"]),
            text(&line["with"])
        );
    }
    if let Some(next) = told["next"].as_u64() {
        println!("more: --after {next}");
    }
}
