//! `groat pay`: curl that pays.

mod own;
mod show;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use groat_buyer::{Buyer, Client, DenyAll};
use groat_core::Price;
use groat_core::payment::DialectId;
use groat_core::policy::Policy;
use groat_store::SqliteStore;
use groat_wire::Dialect;
use http::{HeaderName, HeaderValue};

use super::wallet;
use crate::paths::DataDir;
use crate::registry;

/// Options of `groat pay`.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 done, 10 the seller refused, 11 your limits said no, 20 something does not work, 21 not known yet (repeat the command).\nThe body goes to stdout, the receipt to stderr."
)]
pub(crate) struct Options {
    /// What to ask for
    #[arg(required_unless_present = "resume", default_value = "")]
    url: String,
    /// Take up every payment that was signed and whose outcome is not known; signs nothing new
    #[arg(long, conflicts_with_all = ["url", "data", "dry_run", "again", "output"])]
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
    /// Most that may be paid for this, such as $0.05
    #[arg(long, value_name = "PRICE")]
    max: Option<String>,
    /// Show what it would cost, and pay nothing
    #[arg(long)]
    dry_run: bool,
    /// Pay in this dialect only, such as x402-v2 or token
    #[arg(long, value_name = "NAME", value_parser = dialect)]
    dialect: Option<DialectId>,
    /// Sign a new payment although an earlier one may still be under way
    #[arg(long)]
    again: bool,
    /// Allow networks where money is real
    #[arg(long)]
    mainnet: bool,
    /// Allow payments over plain http to other machines
    #[arg(long)]
    plain_http: bool,
    /// Sign the paid request as its payer, for sellers who take payments that everybody can see (AgentXPay)
    #[arg(long)]
    prove_payer: bool,
    #[command(flatten)]
    own: own::Flags,
    /// Key to pay with
    #[arg(long, value_name = "NAME", default_value = "main")]
    wallet: String,
}

fn dialect(name: &str) -> Result<DialectId, String> {
    let spoken = registry::dialects();
    let found = spoken.iter().map(Dialect::id).find(|id| id.as_str() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = spoken.iter().map(|dialect| dialect.id().to_string()).collect();
        format!("this dialect is not spoken here: choose one of {}", names.join(", "))
    })
}

/// A key in the environment, for development on test networks only.
const KEY_VARIABLE: &str = "GROAT_PRIVATE_KEY";

pub(crate) async fn run(options: Options, data: &DataDir) -> anyhow::Result<ExitCode> {
    if options.resume {
        let client = client(&options, data)?;
        return show::resumed(&options, client.resume().await).await;
    }
    let request = request(&options)?;
    let client = client(&options, data)?;
    if options.dry_run {
        return Ok(match client.dry_run(request).await {
            Ok(plan) => show::plan(&options, &plan),
            Err(error) => show::failure(&options, &error),
        });
    }
    // What is bought must not be lost because it cannot be put down.
    let output = options.output.as_deref().map(open_output).transpose()?;
    match client.execute(request).await {
        Ok(bought) => show::answer(&options, output, bought).await,
        Err(error) => Ok(show::failure(&options, &error)),
    }
}

/// Opens the file for the body; what is in it stays until there is something better.
fn open_output(path: &Path) -> anyhow::Result<File> {
    let opened = File::options().create(true).write(true).truncate(false).open(path);
    opened.with_context(|| format!("{}: nothing was bought", path.display()))
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
        payers: options.own.payers()?,
        dialects: registry::dialects(),
        clock: registry::clock(),
        approver: Arc::new(DenyAll),
        options: groat_buyer::Options {
            again: options.again,
            dialect: options.dialect.clone(),
            prove_payer: options.prove_payer,
            published_keys,
            payees_forgotten: wallet::payees_forgotten(data)?,
            ..Default::default()
        },
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
