//! `groat pay`: curl that pays.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use base64::Engine as _;
use clap::Args;
use groat_buyer::{Bought, BuyError, Buyer, Client, DenyAll, PaidWith, Plan};
use groat_core::Price;
use groat_core::policy::{Decision, Policy, usd};
use groat_core::reason::printable;
use groat_store::SqliteStore;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{exit, wallet};
use crate::paths::DataDir;
use crate::registry;

/// Options of `groat pay`.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 done, 10 the seller refused, 11 your limits said no, 20 something does not work, 21 not known yet (repeat the command).\nThe body goes to stdout, the receipt to stderr."
)]
pub(crate) struct Options {
    /// What to ask for
    url: String,
    /// Method [default: GET, or POST with -d]
    #[arg(short = 'X', long, value_name = "METHOD")]
    request: Option<String>,
    /// Body; @FILE reads it from a file
    #[arg(short, long, value_name = "DATA")]
    data: Option<String>,
    /// Header field, as 'Name: value'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// Write the body to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the status and header fields before the body
    #[arg(short, long)]
    include: bool,
    /// Print one JSON object with answer and payment
    #[arg(long)]
    json: bool,
    /// Most that may be paid for this, such as $0.05
    #[arg(long, value_name = "PRICE")]
    max: Option<String>,
    /// Show what it would cost, and pay nothing
    #[arg(long)]
    dry_run: bool,
    /// Sign a new payment although an earlier one may still be under way
    #[arg(long)]
    again: bool,
    /// Allow networks where money is real
    #[arg(long)]
    mainnet: bool,
    /// Allow payments over plain http to other machines
    #[arg(long)]
    plain_http: bool,
    /// Key to pay with
    #[arg(long, value_name = "NAME", default_value = "main")]
    wallet: String,
}

/// A key in the environment, for development on test networks only.
const KEY_VARIABLE: &str = "GROAT_PRIVATE_KEY";

pub(crate) async fn run(options: Options, data: &DataDir) -> anyhow::Result<ExitCode> {
    match buy(&options, data).await {
        Ok(code) => Ok(code),
        Err(error) => {
            eprintln!("groat: {error:#}");
            Ok(ExitCode::from(exit::FAULT_CODE))
        }
    }
}

async fn buy(options: &Options, data: &DataDir) -> anyhow::Result<ExitCode> {
    let request = request(options)?;
    let client = client(options, data)?;
    if options.dry_run {
        return Ok(match client.dry_run(request).await {
            Ok(plan) => show_plan(options, &plan),
            Err(error) => failed(options, &error),
        });
    }
    match client.execute(request).await {
        Ok(bought) => show(options, bought).await,
        Err(error) => Ok(failed(options, &error)),
    }
}

fn client(options: &Options, data: &DataDir) -> anyhow::Result<Client> {
    let mut policy = Policy { mainnet: options.mainnet, plain_http: options.plain_http, ..Policy::default() };
    if let Some(max) = &options.max {
        let units =
            Price::parse(max).and_then(|price| price.to_units(6)).with_context(|| "--max".to_owned())?;
        policy.payment_usd_micros_max = units.to_string().parse().context("--max is too large")?;
        policy.host_day_usd_micros_max = policy.host_day_usd_micros_max.max(policy.payment_usd_micros_max);
        policy.day_usd_micros_max = policy.day_usd_micros_max.max(policy.payment_usd_micros_max);
    }
    let signer = match std::env::var(KEY_VARIABLE) {
        Ok(_) if options.mainnet => {
            bail!("{KEY_VARIABLE} is for test networks: use a keystore file, see `groat wallet`")
        }
        Ok(text) => groat_buyer::LocalSigner::from_hex(&text).context(KEY_VARIABLE)?,
        Err(_) => wallet::open(data, &options.wallet)?,
    };
    let published_keys = !options.mainnet;
    Ok(Client::new(Buyer {
        signer: Arc::new(signer),
        policy,
        store: Arc::new(SqliteStore::open_shared(&data.file("purchases.db")?)?),
        payers: registry::payers(),
        dialects: registry::dialects(),
        clock: registry::clock(),
        approver: Arc::new(DenyAll),
        options: groat_buyer::Options { again: options.again, published_keys, ..Default::default() },
    })?)
}

fn request(options: &Options) -> anyhow::Result<reqwest::Request> {
    let url: url::Url = options
        .url
        .parse()
        .with_context(|| format!("`{}` is not a URL: write https://host/path", options.url))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        bail!("`{}` cannot be asked: write https://host/path", options.url);
    }
    let method = match (&options.request, &options.data) {
        (Some(method), _) => {
            method.to_ascii_uppercase().parse().with_context(|| format!("`{method}` is not a method"))?
        }
        (None, Some(_)) => reqwest::Method::POST,
        (None, None) => reqwest::Method::GET,
    };
    let mut request = reqwest::Request::new(method, url);
    if let Some(data) = &options.data {
        let body = match data.strip_prefix('@') {
            Some(file) => std::fs::read(file).with_context(|| file.to_owned())?,
            None => data.clone().into_bytes(),
        };
        *request.body_mut() = Some(body.into());
    }
    for field in &options.headers {
        let (name, value) = field
            .split_once(':')
            .with_context(|| format!("`{field}` is not a header field: write 'Name: value'"))?;
        let name: HeaderName =
            name.trim().parse().with_context(|| format!("`{name}` is not a field name"))?;
        request.headers_mut().append(name, HeaderValue::from_str(value.trim())?);
    }
    Ok(request)
}

async fn show(options: &Options, bought: Bought) -> anyhow::Result<ExitCode> {
    let Bought { response, payment } = bought;
    let status = response.status();
    let (version, headers) = (response.version(), response.headers().clone());
    let body = response.bytes().await.context("the answer broke off; what was paid is in the journal")?;
    if options.json {
        let text = std::str::from_utf8(&body).map(str::to_owned);
        let fields: serde_json::Map<String, Value> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect();
        let mut object = json!({ "status": status.as_u16(), "headers": fields, "payment": payment.as_ref().map(describe) });
        match text {
            Ok(text) => object["body"] = text.into(),
            Err(_) => object["bodyBase64"] = base64::engine::general_purpose::STANDARD.encode(&body).into(),
        }
        println!("{object}");
        return Ok(exit::OK);
    }
    let mut out: Box<dyn Write> = match &options.output {
        Some(path) => Box::new(std::fs::File::create(path).with_context(|| path.display().to_string())?),
        None => Box::new(std::io::stdout().lock()),
    };
    if options.include {
        writeln!(out, "{version:?} {status}")?;
        for (name, value) in &headers {
            writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        writeln!(out)?;
    }
    out.write_all(&body)?;
    out.flush()?;
    if let Some(paid) = &payment {
        tell_receipt(paid, options.output.is_none() && !body.ends_with(b"\n"));
    }
    Ok(exit::OK)
}

fn tell_receipt(paid: &PaidWith, newline: bool) {
    if newline {
        eprintln!();
    }
    let price = paid.offer.price.clone().unwrap_or_else(|| price_of(paid));
    let transaction = paid.receipt.as_ref().and_then(|receipt| receipt.transaction.clone());
    let again = if paid.resent { " (signed by an earlier command)" } else { "" };
    eprintln!("paid         {price} on {} to {}{again}", paid.offer.network, paid.offer.pay_to);
    eprintln!("payment      {}", paid.id);
    eprintln!(
        "transaction  {}",
        transaction.map_or_else(|| "not told".to_owned(), |text| printable(&text, 100))
    );
}

fn price_of(paid: &PaidWith) -> String {
    let token =
        registry::mechanisms().iter().find_map(|one| one.token(&paid.offer.network, &paid.offer.asset));
    token.map_or_else(
        || format!("{} units of {}", paid.offer.amount, paid.offer.asset),
        |token| format!("{} {}", paid.offer.amount.to_decimal(token.decimals), token.symbol),
    )
}

fn describe(paid: &PaidWith) -> Value {
    json!({
        "paymentId": paid.id,
        "dialect": paid.dialect.as_str(),
        "scheme": paid.offer.scheme,
        "network": paid.offer.network,
        "asset": paid.offer.asset,
        "amount": paid.offer.amount,
        "payTo": paid.offer.pay_to,
        "resent": paid.resent,
        "transaction": paid.receipt.as_ref().and_then(|receipt| receipt.transaction.clone()),
        "settled": paid.receipt.as_ref().is_some_and(groat_core::Receipt::is_settled),
    })
}

fn show_plan(options: &Options, plan: &Plan) -> ExitCode {
    let verdict = |decision: &Option<Decision>| match decision {
        None => "cannot be paid by this wallet".to_owned(),
        Some(Decision::Allow(rule)) => format!("allowed: {rule}"),
        Some(Decision::Ask(why)) => format!("a person is asked: {why}"),
        Some(Decision::Deny(denial)) => format!("denied: {denial}"),
    };
    if options.json {
        let offers: Vec<Value> = plan
            .offers
            .iter()
            .map(|planned| {
                json!({
                    "scheme": planned.offer.scheme, "network": planned.offer.network, "asset": planned.offer.asset,
                    "amount": planned.offer.amount, "payTo": planned.offer.pay_to,
                    "usd": planned.usd_micros.map(usd), "verdict": verdict(&planned.decision),
                })
            })
            .collect();
        println!("{}", json!({ "status": plan.status, "offers": offers, "chosen": plan.chosen }));
    } else if plan.status != 402 {
        println!("it costs nothing (HTTP {})", plan.status);
    } else {
        println!("for sale: {}", plan.description);
        for (index, planned) in plan.offers.iter().enumerate() {
            let mark = if plan.chosen == Some(index) { "->" } else { "  " };
            let price = planned.usd_micros.map_or_else(|| format!("{} units", planned.offer.amount), usd);
            println!(
                "{mark} {price}  {} on {} to {}  {}",
                planned.offer.scheme,
                planned.offer.network,
                planned.offer.pay_to,
                verdict(&planned.decision)
            );
        }
    }
    if plan.status == 402 && plan.chosen.is_none() { ExitCode::from(exit::DENIED) } else { exit::OK }
}

fn failed(options: &Options, error: &BuyError) -> ExitCode {
    let (code, kind) = match error {
        BuyError::Refused { .. } => (exit::REFUSED, "refused"),
        BuyError::Denied(_) | BuyError::NotApproved(_) => (exit::DENIED, "denied"),
        BuyError::NoOffer(_) | BuyError::Fault(_) => (exit::FAULT_CODE, "fault"),
        BuyError::Pending { .. } => (exit::PENDING, "pending"),
    };
    if options.json {
        println!("{}", json!({ "error": kind, "message": error.to_string() }));
    } else {
        eprintln!("groat: {error}");
    }
    ExitCode::from(code)
}
