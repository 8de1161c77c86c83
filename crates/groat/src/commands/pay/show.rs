//! What `groat pay` prints: the answer to stdout, all about money to stderr.

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use base64::Engine as _;
use groat_buyer::{Bought, BuyError, Client, Ending, PaidWith, Plan, Resumed};
use groat_chain_evm::Purse;
use groat_core::Offer;
use groat_core::policy::{Decision, usd};
use groat_core::reason::printable;
use http::StatusCode;
use serde_json::{Value, json};

use super::Options;
use crate::commands::exit;
use crate::registry;

/// Prints an answer and tells the client that it has arrived.
pub(super) async fn answer(
    options: &Options,
    client: &Client,
    output: Option<File>,
    mut bought: Bought,
) -> anyhow::Result<ExitCode> {
    let code = print(options, output, &mut bought).await?;
    client.received(&mut bought).await;
    Ok(code)
}

async fn print(options: &Options, output: Option<File>, bought: &mut Bought) -> anyhow::Result<ExitCode> {
    let (status, version) = (bought.response.status(), bought.response.version());
    if options.json {
        writeln!(std::io::stdout(), "{}", whole(bought).await?)?;
        return Ok(exit::OK);
    }
    let headers = bought.response.headers().clone();
    let body = read(&mut bought.response).await?;
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
    if let Some(paid) = &bought.payment {
        tell_receipt(paid, options.output.is_none() && !body.ends_with(b"\n"));
    } else if status == StatusCode::PAYMENT_REQUIRED {
        eprintln!("groat: it wants to be paid in a way that is not x402: nothing was paid");
        return Ok(exit::FAULT.into());
    }
    Ok(exit::OK)
}

/// An answer and its payment as one object.
async fn whole(bought: &mut Bought) -> anyhow::Result<Value> {
    let fields: serde_json::Map<String, Value> = bought
        .response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let status = bought.response.status().as_u16();
    let body = read(&mut bought.response).await?;
    let mut object =
        json!({ "status": status, "headers": fields, "payment": bought.payment.as_ref().map(describe) });
    match String::from_utf8(body) {
        Ok(text) => object["body"] = text.into(),
        Err(bytes) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes.as_bytes());
            object["bodyBase64"] = text.into();
        }
    }
    Ok(object)
}

async fn read(response: &mut reqwest::Response) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn tell_receipt(paid: &PaidWith, newline: bool) {
    if newline {
        eprintln!();
    }
    let transaction = paid.receipt.as_ref().and_then(|receipt| receipt.transaction.clone());
    let again = if paid.resent { " (signed by an earlier command)" } else { "" };
    let price = price_of(&paid.offer);
    eprintln!("paid         {price} on {} to {}{again}", paid.offer.network, paid.offer.pay_to);
    eprintln!("payment      {}", paid.id);
    eprintln!(
        "transaction  {}",
        transaction.map_or_else(|| "not told".to_owned(), |text| printable(&text, 100))
    );
}

/// What was signed, by the table of tokens and never by the words of the seller (threat row Y23).
fn price_of(offer: &Offer) -> String {
    let token = registry::payers(Vec::new(), Purse::default(), Vec::new())
        .iter()
        .find_map(|one| one.token(&offer.network, &offer.asset));
    token.map_or_else(
        || format!("{} units of {}", offer.amount, printable(&offer.asset, 130)),
        |token| format!("{} {}", offer.amount.to_decimal(token.decimals), token.symbol),
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

/// What became of purchases that were left open: answers to stdout, as if they had been asked for just now, and what they
/// are to stderr. A purchase is closed when its answer is out.
pub(super) async fn resumed(
    options: &Options,
    client: &Client,
    resumed: Result<Vec<Resumed>, BuyError>,
) -> anyhow::Result<ExitCode> {
    let mut resumed = match resumed {
        Ok(resumed) => resumed,
        Err(error) => return Ok(failure(options.json, &error)),
    };
    let mut code = exit::OK;
    let mut list = Vec::new();
    for one in &mut resumed {
        let (outcome, message) = match &one.ending {
            Ending::Bought(bought) => ("bought", format!("HTTP {}", bought.response.status().as_u16())),
            Ending::Closed(why) => ("closed", (*why).to_owned()),
            Ending::Failed(error) => {
                let (exit, kind) = kind_of(error);
                code = ExitCode::from(exit);
                (kind, error.to_string())
            }
        };
        let id = one.id.to_string();
        if options.json {
            let mut object = match &mut one.ending {
                Ending::Bought(bought) => whole(bought).await?,
                _ => json!({ "payment": null }),
            };
            object["request"] = one.title.as_str().into();
            object["paymentId"] = id.into();
            object["outcome"] = outcome.into();
            object["message"] = message.into();
            list.push(object);
            continue;
        }
        eprintln!("{outcome:<8} {}  {id}  {message}", one.title);
        if let Ending::Bought(bought) = &mut one.ending {
            print(options, None, bought).await?;
            client.received(bought).await;
        }
    }
    if options.json {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", Value::Array(list))?;
        out.flush()?;
    } else if resumed.is_empty() {
        eprintln!("nothing is open");
    }
    for one in &mut resumed {
        if let Ending::Bought(bought) = &mut one.ending {
            client.received(bought).await;
        }
    }
    Ok(code)
}

fn kind_of(error: &BuyError) -> (u8, &'static str) {
    match error {
        BuyError::Refused { .. } => (exit::REFUSED, "refused"),
        BuyError::Denied(_) | BuyError::NotApproved(_) => (exit::DENIED, "denied"),
        BuyError::NoOffer(_) | BuyError::Fault(_) => (exit::FAULT, "fault"),
        BuyError::Pending { .. } | BuyError::MayLand { .. } => (exit::PENDING, "pending"),
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

#[cfg(test)]
mod tests {
    use groat_core::{Amount, Network};

    use super::*;

    #[test]
    fn y23_what_was_paid_is_told_from_what_was_signed_and_not_from_the_words_of_the_seller() {
        let mut offer = Offer {
            scheme: "exact".to_owned(),
            network: Network::eip155(84532),
            asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".to_owned(),
            amount: Amount::from_units(10_000),
            pay_to: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".to_owned(),
            timeout_s: 60,
            extra: Default::default(),
            price: Some("$0.000001\u{1b}[2J".to_owned()),
            dialect: None,
            currency: None,
            verbatim: None,
        };
        assert_eq!(price_of(&offer), "0.01 USDC");
        offer.asset = "stranger\u{1b}".to_owned();
        assert_eq!(price_of(&offer), "10000 units of stranger ");
    }
}
