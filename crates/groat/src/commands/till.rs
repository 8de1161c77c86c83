//! `groat till`: where the till of a payee is, and what puts it there.

use anyhow::Context;
use clap::Args;
use groat_chain_evm::permit::till;

use super::exit;
use crate::listen;

/// Options of `groat till`.
#[derive(Args)]
pub(crate) struct Options {
    /// Account to be paid
    #[arg(value_name = "ACCOUNT")]
    pay_to: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: Options) -> anyhow::Result<std::process::ExitCode> {
    let payee = groat_chain_evm::account::parse(&options.pay_to).filter(|account| !account.is_zero());
    let payee = payee.with_context(|| {
        format!("`{}` is not an account: write 0x and 40 hex digits", options.pay_to.escape_debug())
    })?;
    let (address, data) =
        till::address(payee).zip(till::deployment(payee)).context("the till's code is missing")?;
    let facts = [
        ("payee", payee.to_string()),
        ("till", address.to_string()),
        ("to", till::DEPLOYER.to_string()),
        ("data", data.to_string()),
    ];
    listen::announce(options.json, &facts);
    if !options.json {
        println!(
            "\nOn each chain, send one transaction to `to` with `data`: anybody may, once, from any account."
        );
    }
    Ok(exit::OK)
}
