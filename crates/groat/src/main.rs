//! groat: pay and get paid over HTTP.

mod accounts;
mod books;
mod commands;
mod config;
mod listen;
mod logging;
mod pass_key;
mod paths;
mod registry;
mod sweep;
mod universe;

use clap::{Parser, Subcommand};

/// Payments are made of many small pieces of text, made by one thread and dropped by another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Pay and get paid over HTTP (402 Payment Required), offline or for real.
///
/// Start with `groat demo`, which runs the whole loop in one process and explains each step.
#[derive(Parser)]
#[command(name = "groat", version, propagate_version = true)]
struct Cli {
    /// Folder for keys, journals and stores [default: $XDG_DATA_HOME/groat]
    #[arg(long, global = true, value_name = "FOLDER", env = "GROAT_DATA_DIR")]
    data_dir: Option<std::path::PathBuf>,
    /// Log more (-v, -vv); RUST_LOG is obeyed as well
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show a whole payment, step by step, in one process and without network
    Demo(commands::demo::Options),
    /// Keep the same universe running: chain, facilitator, a priced sample API, a funded buyer
    Dev(commands::dev::Options),
    /// Run only the embedded chain
    Devchain(commands::devchain::Options),
    /// Ask for a URL and pay for it when it costs something, within your limits
    Pay(commands::pay::Options),
    /// Look at and top up what sellers keep for your key
    Balance(commands::balance::Options),
    /// Show every dialect and offer of a 402, and what is wrong with it; nothing is paid
    Inspect(commands::inspect::Options),
    /// Put prices in front of an HTTP API
    Gate(commands::gate::Options),
    /// Verify and settle payments for others over HTTP
    Facilitator(commands::facilitator::Options),
    /// List the services that a registry on chain has for sale
    Discover(commands::discover::Options),
    /// Keep an index of payments for services, and answer questions about it over HTTP
    Indexer(commands::indexer::Options),
    /// Show where payments by permit to an account go through, and what puts that contract there
    Till(commands::till::Options),
    /// Make and show the keys that pay
    Wallet(commands::wallet::Options),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    logging::start(cli.verbose);
    // One TLS provider for the whole process; a second call would be the only way to fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("groat: cannot start: {error}");
            return commands::exit::FAULT.into();
        }
    };
    let data = paths::DataDir::new(cli.data_dir);
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(options) => commands::demo::run(options).await,
            Command::Dev(options) => commands::dev::run(options, &data).await,
            Command::Devchain(options) => commands::devchain::run(options).await,
            Command::Pay(options) => commands::pay::run(options, &data).await,
            Command::Balance(options) => commands::balance::run(options, &data).await,
            Command::Inspect(options) => commands::inspect::run(options).await,
            Command::Gate(options) => commands::gate::run(options, &data).await,
            Command::Facilitator(options) => commands::facilitator::run(options, &data).await,
            Command::Discover(options) => commands::discover::run(options).await,
            Command::Indexer(options) => commands::indexer::run(options, &data).await,
            Command::Till(options) => commands::till::run(options),
            Command::Wallet(options) => commands::wallet::run(options, &data),
        }
    });
    // Work that is still under way in background tasks is in the book; the next start takes it up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("groat: {error:#}");
            commands::exit::FAULT.into()
        }
    }
}
