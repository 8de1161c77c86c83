//! Measurement tool for x402 facilitators and sellers. `x4bench --help` lists the modes.
mod blocks;
mod chain;
mod http;
mod limits;
mod load;
mod pay;
mod process;
mod serve;
mod stub;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Counting JSON-RPC proxy: GET /__stats, POST /__reset, POST /__config?stub=1&delay_ms=20
    RpcProxy(serve::ProxyArgs),
    /// Facilitator that approves everything at once, to isolate seller middleware
    FakeFacilitator(serve::PortArgs),
    /// Bare hyper server, the loopback HTTP ceiling
    Hello(serve::PortArgs),
    /// POST /verify load: every request carries a fresh payment
    Verify(load::LoadArgs),
    /// POST /settle load: every request carries a fresh payment; chain totals are audited
    Settle(load::LoadArgs),
    /// The same payment settled by many callers at once
    Duplicate(load::LoadArgs),
    /// GET load on a seller (free, unpaid or paid)
    Seller(load::SellerArgs),
    /// Puts the bench contracts and balances on a fresh anvil
    InitChain(chain::InitArgs),
    /// Real gas of single and batched settlement on anvil
    Gas(chain::GasArgs),
    /// Raw transactions per second that anvil accepts and mines
    ChainCeiling(chain::CeilingArgs),
    /// Reads per second that anvil answers, one by one and folded into aggregate3
    Reads(chain::ReadArgs),
    /// CPU micro-benchmarks: signature recovery, hashing, parsing
    Limits(limits::LimitsArgs),
}

fn main() -> Result<()> {
    let mode = Cli::parse().mode;
    let mut builder = match mode {
        Mode::RpcProxy(_) | Mode::FakeFacilitator(_) | Mode::Hello(_) => {
            let mut b = tokio::runtime::Builder::new_multi_thread();
            b.worker_threads(1);
            b
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        match mode {
            Mode::RpcProxy(a) => serve::rpc_proxy(a).await,
            Mode::FakeFacilitator(a) => serve::fake_facilitator(a).await,
            Mode::Hello(a) => serve::hello(a).await,
            Mode::Verify(a) => load::verify(a).await,
            Mode::Settle(a) => load::settle(a).await,
            Mode::Duplicate(a) => load::duplicate(a).await,
            Mode::Seller(a) => load::seller(a).await,
            Mode::InitChain(a) => chain::init(a).await,
            Mode::Gas(a) => chain::gas(a).await,
            Mode::ChainCeiling(a) => chain::ceiling(a).await,
            Mode::Reads(a) => chain::reads(a).await,
            Mode::Limits(a) => limits::run(a),
        }
    })
}
