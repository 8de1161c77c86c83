//! `groat demo`: a whole payment, told step by step.

use std::sync::Arc;

use alloy_primitives::U256;
use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use clap::Args;
use groat_buyer::{Buyer, Client, DenyAll, LocalSigner};
use groat_chain_evm::Purse;
use groat_core::ports::Store;
use groat_core::{Amount, Receipt};
use groat_devchain::Mining;
use groat_store::MemoryStore;
use groat_wire::{Dialects, x402_v1, x402_v2};
use serde_json::{Value, json};

use super::exit;
use crate::registry;
use crate::universe::{Ports, Universe};

/// Options of `groat demo`.
#[derive(Args)]
pub(crate) struct Options {
    /// Print one JSON object instead of the story
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<std::process::ExitCode> {
    let story = Story { quiet: options.json };
    let signer = Arc::new(LocalSigner::random()?);
    let universe = Universe::start(Ports::default(), Mining::Instant, signer.address()).await?;
    let url = format!("{}/weather", universe.gate_url);
    story.tell(
        "A universe in one process",
        &[
            format!("chain        {}  an EVM chain in memory with a play dollar", universe.chain_url),
            format!(
                "facilitator  {}  verifies payments and puts them on the chain",
                universe.facilitator_url
            ),
            format!("seller       {url}  asks $0.01, paid to {}", universe.seller),
            format!("buyer        {}  has {}", signer.address(), dollars(universe.balance(signer.address()))),
        ],
    );

    let challenge = reqwest::get(&url).await.context("the sample API does not answer")?;
    ensure!(challenge.status() == 402, "an unpaid request was answered with {}", challenge.status());
    story.tell("Step 1: ask without paying", &challenge_lines(challenge).await?);

    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut receipts = Vec::new();
    let generations: [(&str, Dialects); 2] = [
        ("version 2 (PAYMENT-SIGNATURE)", Dialects::new(vec![Arc::new(x402_v2::V2)])),
        ("version 1 (X-PAYMENT)", Dialects::new(vec![Arc::new(x402_v1::V1::default())])),
    ];
    for (step, (name, dialects)) in (2..).zip(generations) {
        let client = Client::new(Buyer {
            signer: signer.clone(),
            policy: Default::default(),
            store: Arc::clone(&store),
            payers: registry::payers(Vec::new(), Purse::default(), Vec::new()),
            dialects,
            clock: registry::clock(),
            approver: Arc::new(DenyAll),
            options: Default::default(),
        })?;
        let bought = client.get(&url).await?;
        let paid = bought.payment.context("nothing was paid")?;
        let receipt = paid.receipt.clone().context("the seller gave no receipt")?;
        let body = bought.response.text().await?;
        let mined = receipt_on_chain(&universe, &receipt)?;
        story.tell(
            &format!("Step {step}: pay as a buyer of x402 {name}"),
            &[
                format!("policy       {} is within the limit of $0.10 for one payment", "$0.01"),
                "signature    an EIP-3009 authorization: costs no gas, good for one transfer of exactly this"
                    .to_owned(),
                format!("payment      {}", paid.id),
                format!("answer       {body}"),
                format!("receipt      transaction {}", receipt.transaction.as_deref().unwrap_or_default()),
                format!(
                    "on the chain block {}, status {}",
                    mined["blockNumber"].as_str().unwrap_or_default(),
                    mined["status"].as_str().unwrap_or_default()
                ),
            ],
        );
        receipts.push(json!({
            "dialect": paid.dialect.as_str(),
            "paymentId": paid.id,
            "transaction": receipt.transaction,
            "network": receipt.network,
            "payer": receipt.payer,
            "block": mined["blockNumber"],
        }));
    }

    let earned = universe.balance(universe.seller);
    story.tell(
        "The seller's new balance",
        &[
            format!("{}  {}", universe.seller, dollars(earned)),
            "Try it yourself: groat dev keeps this universe running.".to_owned(),
        ],
    );
    if options.json {
        println!("{}", json!({ "receipts": receipts, "sellerBalance": earned.to_string() }));
    }
    if earned != U256::from(20_000) {
        bail!("the seller has {} instead of $0.02", dollars(earned));
    }
    Ok(exit::OK)
}

/// Proves that the transaction of a receipt exists.
fn receipt_on_chain(universe: &Universe, receipt: &Receipt) -> anyhow::Result<Value> {
    let mined = universe.chain.request("eth_getTransactionReceipt", json!([receipt.transaction]))?;
    ensure!(mined["status"] == "0x1", "the transaction of the receipt is not on the chain");
    Ok(mined)
}

async fn challenge_lines(challenge: reqwest::Response) -> anyhow::Result<Vec<String>> {
    let header = challenge.headers().get("payment-required").context("the 402 has no PAYMENT-REQUIRED")?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(header.as_bytes())?;
    let v2: Value = serde_json::from_slice(&decoded)?;
    let v1: Value = serde_json::from_str(&challenge.text().await?)?;
    Ok(vec![
        "HTTP/1.1 402 Payment Required".to_owned(),
        format!("PAYMENT-REQUIRED (x402 version 2, base64 of): {}", v2["accepts"][0]),
        format!("body (x402 version 1): {}", v1["accepts"][0]),
        "Both say: 10000 millionths of a dollar, in this token, to this account, within this time."
            .to_owned(),
    ])
}

fn dollars(units: U256) -> String {
    format!("${}", Amount::from_u256(units).to_decimal(6))
}

/// Tells what happens, unless a machine is listening.
struct Story {
    quiet: bool,
}

impl Story {
    fn tell(&self, title: &str, lines: &[String]) {
        if self.quiet {
            return;
        }
        println!("{title}");
        for line in lines {
            println!("  {line}");
        }
        println!();
    }
}
