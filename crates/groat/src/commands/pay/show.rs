//! What `groat pay` prints: the answer to stdout, all about money to stderr.

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use base64::Engine as _;
use groat_buyer::{Bought, BuyError, PaidWith, Plan, Resumed};
use groat_chain_evm::Purse;
use groat_core::policy::{Decision, usd};
use groat_core::reason::printable;
use http::StatusCode;
use serde_json::{Value, json};

use super::Options;
use crate::commands::exit;
use crate::registry;

pub(super) async fn answer(
    options: &Options,
    output: Option<File>,
    bought: Bought,
) -> anyhow::Result<ExitCode> {
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
    let mut out: Box<dyn Write> = match output {
        Some(file) => {
            file.set_len(0)?;
            Box::new(file)
        }
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
    } else if status == StatusCode::PAYMENT_REQUIRED {
        eprintln!("groat: it wants to be paid in a way that is not x402: nothing was paid");
        return Ok(exit::FAULT.into());
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
    let token = registry::payers(Vec::new(), Purse::default(), Vec::new())
        .iter()
        .find_map(|one| one.token(&paid.offer.network, &paid.offer.asset));
    token.map_or_else(
        || format!("{} units of {}", paid.offer.amount, paid.offer.asset),
        |token| format!("{} {}", paid.offer.amount.to_decimal(token.decimals), token.symbol),
    )
}

/// A payment as JSON.
pub(crate) fn describe(paid: &PaidWith) -> Value {
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

/// What became of purchases that were left open. The answers are not printed: whoever wants them asks again, and gets them
/// for the same payment.
pub(super) async fn resumed(
    options: &Options,
    resumed: Result<Vec<Resumed>, BuyError>,
) -> anyhow::Result<ExitCode> {
    let resumed = match resumed {
        Ok(resumed) => resumed,
        Err(error) => return Ok(failure(options.json, &error)),
    };
    let mut code = exit::OK;
    let mut lines = Vec::new();
    for one in &resumed {
        let (outcome, text) = match &one.outcome {
            Ok(bought) => ("bought", format!("HTTP {}", bought.response.status().as_u16())),
            Err(error) => {
                let (exit, kind) = kind_of(error);
                code = ExitCode::from(exit);
                (kind, error.to_string())
            }
        };
        let payment = one.outcome.as_ref().ok().and_then(|bought| bought.payment.as_ref()).map(describe);
        let id = one.id.map(|id| id.to_string());
        if !options.json {
            println!("{outcome:<8} {}  {}  {text}", one.title, id.as_deref().unwrap_or("-"));
        }
        lines.push(json!({ "request": one.title, "paymentId": id, "outcome": outcome, "message": text, "payment": payment }));
    }
    if options.json {
        println!("{}", Value::Array(lines));
    } else if resumed.is_empty() {
        println!("nothing is open");
    }
    Ok(code)
}

fn kind_of(error: &BuyError) -> (u8, &'static str) {
    match error {
        BuyError::Refused { .. } => (exit::REFUSED, "refused"),
        BuyError::Denied(_) | BuyError::NotApproved(_) => (exit::DENIED, "denied"),
        BuyError::NoOffer(_) | BuyError::Fault(_) => (exit::FAULT, "fault"),
        BuyError::Pending { .. } => (exit::PENDING, "pending"),
    }
}

pub(super) fn plan(options: &Options, plan: &Plan) -> ExitCode {
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

/// Says why nothing was bought.
pub(crate) fn failure(json: bool, error: &BuyError) -> ExitCode {
    let (code, kind) = kind_of(error);
    if json {
        println!("{}", json!({ "error": kind, "message": error.to_string() }));
    } else {
        eprintln!("groat: {error}");
    }
    ExitCode::from(code)
}
