//! `groat dev`: the sample universe, staying up.

use clap::Args;

use super::{devchain, exit, wallet};
use crate::listen;
use crate::paths::DataDir;
use crate::universe::{Ports, REFUND_KEY, Universe};

/// Options of `groat dev`.
#[derive(Args)]
pub(crate) struct Options {
    /// Port of the priced sample API
    #[arg(long, default_value_t = 4021)]
    port: u16,
    /// Port of the facilitator
    #[arg(long, default_value_t = 4402)]
    facilitator_port: u16,
    /// Port of the chain's JSON-RPC node
    #[arg(long, default_value_t = 8545)]
    chain_port: u16,
    /// Seconds between blocks; without it every transaction makes its own block at once
    #[arg(long, value_name = "SECONDS")]
    block_time: Option<u64>,
    /// Tell where everything listens in one JSON line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options, data: &DataDir) -> anyhow::Result<std::process::ExitCode> {
    let buyer = wallet::open_or_make_dev(data)?;
    let ports =
        Ports { chain: options.chain_port, facilitator: options.facilitator_port, gate: options.port };
    let universe = Universe::start(ports, devchain::mining(options.block_time), buyer.address()).await?;
    let gate = &universe.gate_url;
    let facts = [
        ("chain", universe.chain_url.clone()),
        ("facilitator", universe.facilitator_url.clone()),
        ("api", gate.clone()),
        ("seller", universe.seller.to_string()),
        ("buyer", buyer.address().to_string()),
        ("refundKey", REFUND_KEY.to_owned()),
    ];
    listen::announce(options.json, &facts);
    if !options.json {
        println!();
        println!(
            "For sale:       GET /weather $0.01, GET /forecast $0.01, POST /order $0.02; GET /free costs nothing"
        );
        println!("See the price:  curl -i {gate}/weather");
        println!("Pay it:         groat pay --wallet dev {gate}/weather");
        println!("Keep a balance: groat balance top-up --wallet dev {gate} 0.50");
        println!("Spend it:       groat pay --wallet dev --balance {gate}/forecast");
        println!("Look at it:     groat balance statement --wallet dev {gate}");
        println!();
        println!("The buyer has $100 of play money. Everything is forgotten when this stops (Ctrl-C).");
    }
    listen::until_stopped().await?;
    Ok(exit::OK)
}
