//! `groat pay`: curl that pays.

mod own;
mod show;
pub(crate) mod spend;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use groat_buyer::Client;
use groat_core::payment::DialectId;
use groat_wire::{Dialect, token};
use http::{HeaderName, HeaderValue};

use self::spend::Purse;
use crate::paths::DataDir;
use crate::registry;

pub(crate) use show::{describe, failure};

/// Options of `groat pay`.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 done, 10 the seller refused, 11 your limits said no, 20 something does not work, 21 not known yet (repeat the command).\nThe body goes to stdout, the receipt to stderr."
)]
pub(crate) struct Options {
    /// What to ask for
    #[arg(required_unless_present = "resume", default_value = "")]
    url: String,
    /// Take up every payment that was signed and whose outcome is not known, and print the answers; signs nothing new
    #[arg(long, conflicts_with_all = ["url", "data", "dry_run", "again", "output", "request", "headers", "max", "max_payments", "dialect", "plain_http", "balance"])]
    resume: bool,
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
    /// Show what it would cost, and pay nothing
    #[arg(long)]
    dry_run: bool,
    /// Pay in this dialect only, such as x402-v2 or token
    #[arg(long, value_name = "NAME", value_parser = dialect)]
    dialect: Option<DialectId>,
    /// Pay out of the balance that the seller keeps for your key, and out of nothing else; see `groat balance`
    #[arg(long, conflicts_with = "dialect")]
    balance: bool,
    #[command(flatten)]
    spend: spend::Spend,
    /// Sign the paid request as its payer, for sellers who take payments that everybody can see (AgentXPay)
    #[arg(long)]
    prove_payer: bool,
    #[command(flatten)]
    own: own::Flags,
}

fn dialect(name: &str) -> Result<DialectId, String> {
    let spoken = registry::dialects();
    let found = spoken.iter().map(Dialect::id).find(|id| id.as_str() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = spoken.iter().map(|dialect| dialect.id().to_string()).collect();
        format!("this dialect is not spoken here: choose one of {}", names.join(", "))
    })
}

pub(crate) async fn run(options: Options, data: &DataDir) -> anyhow::Result<ExitCode> {
    if options.resume {
        let client = client(&options, data)?;
        let resumed = client.resume().await;
        return show::resumed(&options, &client, resumed).await;
    }
    let request = request(&options)?;
    let client = client(&options, data)?;
    if options.dry_run {
        return Ok(match client.dry_run(request).await {
            Ok(plan) => show::plan(&options, &plan),
            Err(error) => failure(options.json, &error),
        });
    }
    // What is bought must not be lost because it cannot be put down.
    let output = options.output.as_deref().map(open_output).transpose()?;
    match client.fetch(request).await {
        Ok(bought) => show::answer(&options, &client, output, bought).await,
        Err(error) => Ok(failure(options.json, &error)),
    }
}

/// Opens the file for the body; what is in it stays until there is something better.
fn open_output(path: &Path) -> anyhow::Result<File> {
    let opened = File::options().create(true).write(true).truncate(false).open(path);
    opened.with_context(|| format!("{}: nothing was bought", path.display()))
}

fn client(options: &Options, data: &DataDir) -> anyhow::Result<Client> {
    let purse = match options.balance {
        true => Purse::Balance,
        false => Purse::Wallet(options.own.payers()?),
    };
    // Debits are said in one dialect.
    let dialect = if options.balance { Some(token::ID) } else { options.dialect.clone() };
    let prove_payer = options.prove_payer;
    options.spend.client(purse, groat_buyer::Options { dialect, prove_payer, ..Default::default() }, data)
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
