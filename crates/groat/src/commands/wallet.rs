//! `groat wallet`: keys that pay, in keystore files.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use groat_buyer::{LocalSigner, keystore};
use groat_chain_evm::GasKey;
use groat_core::Timestamp;
use zeroize::Zeroizing;

use super::exit;
use crate::paths::{DataDir, write_private};
use crate::registry;

/// Options of `groat wallet`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a new key
    New {
        /// Its name
        #[arg(default_value = "main")]
        name: String,
    },
    /// Show the accounts of all keys
    List,
    /// Show the account of one key
    Address {
        /// Its name
        #[arg(default_value = "main")]
        name: String,
    },
    /// Allow a host to be paid at another account than before
    Forget {
        /// The host, with the port where its URL names one
        host: String,
    },
}

/// Where a password may be read from instead of being asked for.
const PASSWORD_FILE: &str = "GROAT_PASSWORD_FILE";

pub(crate) fn run(options: Options, data: &DataDir) -> anyhow::Result<std::process::ExitCode> {
    match options.action {
        Action::New { name } => {
            let path = path(data, &name)?;
            let password = password(&path, "New password")?;
            let signer = LocalSigner::random()?;
            keystore::write(&path, &signer, &password)?;
            println!("{}  {}", signer.address(), path.display());
        }
        Action::List => {
            let folder = data.file("wallets")?;
            let mut files: Vec<PathBuf> = match std::fs::read_dir(&folder) {
                Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
                Err(_) => Vec::new(),
            };
            files.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
            files.sort();
            if files.is_empty() {
                println!("no keys yet: make one with `groat wallet new`");
            }
            for file in files {
                let name = file.file_stem().unwrap_or_default().to_string_lossy();
                println!("{name:<16} {}", account(&file));
            }
        }
        Action::Address { name } => println!("{}", open(data, &name)?.address()),
        Action::Forget { host } => {
            let mut forgotten = payees_forgotten(data)?;
            forgotten.insert(host.clone(), registry::clock().now());
            let path = data.file(PAYEES_FORGOTTEN)?;
            let new = path.with_added_extension("new");
            std::fs::write(&new, serde_json::to_string_pretty(&forgotten)?)?;
            std::fs::rename(&new, &path).with_context(|| path.display().to_string())?;
            println!("the next payment to {host} may go to another account");
        }
    }
    Ok(exit::OK)
}

/// The account that a keystore file names; without the password nobody can say whether it is true.
fn account(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let named = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|keystore| keystore.get("address")?.as_str()?.trim_start_matches("0x").parse().ok())
        .map(|address: Address| address.to_checksum(None));
    named.unwrap_or_else(|| "names no account".to_owned())
}

/// Hosts whose payee may be another than before, for payments after that second.
const PAYEES_FORGOTTEN: &str = "payees-forgotten.json";

/// What `groat wallet forget` has written down.
pub(crate) fn payees_forgotten(data: &DataDir) -> anyhow::Result<BTreeMap<String, Timestamp>> {
    let path = data.file(PAYEES_FORGOTTEN)?;
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn path(data: &DataDir, name: &str) -> anyhow::Result<PathBuf> {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !plain {
        bail!("`{name}` cannot be the name of a key: use letters, digits, - and _");
    }
    data.file(&format!("wallets/{name}.json"))
}

/// Opens a key by name.
pub(crate) fn open(data: &DataDir, name: &str) -> anyhow::Result<LocalSigner> {
    let path = path(data, name)?;
    if !path.exists() {
        bail!(
            "there is no key `{name}`: make one with `groat wallet new {name}`, or start `groat dev` and use --wallet dev"
        );
    }
    Ok(keystore::read(&path, &password(&path, "Password")?)?)
}

/// Makes the key of the sample universe, once; its password lies beside it because it guards only play money.
pub(crate) fn open_or_make_dev(data: &DataDir) -> anyhow::Result<LocalSigner> {
    let path = path(data, "dev")?;
    if path.exists() {
        return open(data, "dev");
    }
    let signer = LocalSigner::random()?;
    let password = "play money";
    keystore::write(&path, &signer, password)?;
    let beside = path.with_added_extension("password");
    write_private(&beside, password)?;
    Ok(signer)
}

/// A facilitator's key from a keystore file.
pub(crate) fn gas_key(path: &Path) -> anyhow::Result<GasKey> {
    let password = password(path, "Password")?;
    keystore::private(path)?;
    let bytes = keystore::secret(path, &password)?;
    GasKey::from_bytes(*bytes).with_context(|| path.display().to_string())
}

/// The password of a key: from the file beside it, from the file that the environment names, or from a person.
fn password(path: &Path, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    let beside = path.with_added_extension("password");
    let named = std::env::var_os(PASSWORD_FILE).map(PathBuf::from);
    if let Some(file) = Some(beside).filter(|file| file.exists()).or(named) {
        keystore::private(&file)?;
        let text =
            Zeroizing::new(std::fs::read_to_string(&file).with_context(|| file.display().to_string())?);
        return Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    if !std::io::stdin().is_terminal() {
        bail!(
            "{} needs a password: put it into a private file and name that with {PASSWORD_FILE}",
            path.display()
        );
    }
    Ok(Zeroizing::new(rpassword::prompt_password(format!("{prompt} for {}: ", path.display()))?))
}
