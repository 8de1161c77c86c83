//! `groat inspect`: every dialect and offer of a 402, and what is wrong with it. Nothing is paid.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use groat_chain_evm::Purse;
use groat_core::reason::printable;
use groat_core::{Offer, Timestamp};
use groat_wire::inspect::{Finding, Report, Severity, report};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::exit;
use crate::registry;

/// Options of `groat inspect`.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 nothing is wrong, 10 something is (an error, not a warning), 20 the URL cannot be asked."
)]
pub(crate) struct Options {
    /// What to ask for
    url: String,
    /// Method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    request: String,
    /// Body
    #[arg(short, long, value_name = "DATA")]
    data: Option<String>,
    /// Header field, as 'Name: value'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Most of a body that is read.
const BODY_BYTES_MAX: usize = 256 * 1024;
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest text of a stranger that is shown.
const SHOWN_CHARS_MAX: usize = 100;

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let (status, headers, body) = ask(&options).await?;
    let now = registry::clock().now();
    let report = report(&registry::dialects(), &headers, &body, now);
    if options.json {
        println!("{}", as_json(status, &report));
    } else {
        print(&options.url, status, &report, now);
    }
    let is_wrong = report.findings.iter().any(|finding| finding.severity == Severity::Error);
    let is_free = status != StatusCode::PAYMENT_REQUIRED;
    Ok(if is_wrong && !is_free { ExitCode::from(exit::REFUSED) } else { exit::OK })
}

async fn ask(options: &Options) -> anyhow::Result<(StatusCode, http::HeaderMap, Vec<u8>)> {
    let http =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT).build()?;
    let method: reqwest::Method = options.request.to_ascii_uppercase().parse().context("--request")?;
    let mut request = http.request(method, &options.url);
    if let Some(data) = &options.data {
        request = request.body(data.clone());
    }
    for field in &options.headers {
        let (name, value) = field
            .split_once(':')
            .with_context(|| format!("`{field}` is not a header field: write 'Name: value'"))?;
        let name: HeaderName =
            name.trim().parse().with_context(|| format!("`{name}` is not a field name"))?;
        request = request.header(name, HeaderValue::from_str(value.trim())?);
    }
    let mut response = request.send().await.map_err(reqwest::Error::without_url).with_context(|| {
        format!("`{}` cannot be asked: write https://host/path of something that runs", options.url)
    })?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the body broke off")? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            bail!("the body is larger than {BODY_BYTES_MAX} bytes: no client reads that as a 402");
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, headers, body))
}

fn as_json(status: StatusCode, report: &Report) -> Value {
    let offer = |offer: &Offer| {
        json!({
            "scheme": offer.scheme, "network": offer.network, "asset": offer.asset, "amount": offer.amount,
            "payTo": offer.pay_to, "timeoutSeconds": offer.timeout_s, "currency": offer.currency,
            "extra": offer.extra,
        })
    };
    let spoken: Vec<Value> = report
        .spoken
        .iter()
        .map(|one| {
            let offers = one.challenge.as_ref().map(|challenge| challenge.offers.iter().map(offer).collect::<Vec<_>>());
            json!({ "dialect": one.dialect, "readable": one.challenge.is_some(), "offers": offers.unwrap_or_default() })
        })
        .collect();
    let finding = |one: &Finding| json!({ "severity": one.severity.as_str(), "dialect": one.dialect, "text": one.text });
    json!({
        "status": status.as_u16(),
        "headerBytes": report.header_bytes,
        "bodyBytes": report.body_bytes,
        "dialects": spoken,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn print(url: &str, status: StatusCode, report: &Report, now: Timestamp) {
    println!(
        "{url} answers {status}: {} bytes of header fields, {} of body",
        report.header_bytes, report.body_bytes
    );
    if status != StatusCode::PAYMENT_REQUIRED {
        println!("it costs nothing");
        return;
    }
    for one in &report.spoken {
        println!("\n{}", one.dialect);
        let Some(challenge) = &one.challenge else { continue };
        if !challenge.resource.description.is_empty() {
            println!("  sells       {}", printable(&challenge.resource.description, SHOWN_CHARS_MAX));
        }
        for offer in &challenge.offers {
            println!(
                "  {:<11} {} on {} to {}",
                printable(&offer.scheme, 20),
                price(offer),
                offer.network,
                printable(&offer.pay_to, 50)
            );
            if let Some(expires) = offer.extra.get("expires").and_then(Value::as_u64) {
                println!("              to be paid within {} s", Timestamp(expires).since(now));
            }
        }
        if let Some(path) = &challenge.pass_at {
            println!("  pass        sold at {}", printable(path, SHOWN_CHARS_MAX));
        }
    }
    println!();
    if report.findings.is_empty() {
        println!("nothing is wrong");
    }
    for finding in &report.findings {
        let dialect = finding.dialect.as_ref().map_or_else(String::new, |dialect| format!("{dialect}: "));
        println!("{}: {dialect}{}", finding.severity.as_str(), finding.text);
    }
}

/// In units that people know, by what the offer says of itself or by our own table.
fn price(offer: &Offer) -> String {
    let known = registry::payers(Vec::new(), Purse::default(), Vec::new())
        .iter()
        .find_map(|payer| payer.token(&offer.network, &offer.asset))
        .map(|token| (token.symbol.to_owned(), token.decimals));
    match known {
        Some((symbol, decimals)) => format!("{} {symbol}", offer.amount.to_decimal(decimals)),
        None => format!("{} units of {}", offer.amount, printable(&offer.asset, 50)),
    }
}
