//! `groat facilitator key`: keys for callers. They are shown once and kept nowhere.

use alloy_primitives::hex;
use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use groat_facilitator::http::digest;
use zeroize::Zeroizing;

use crate::commands::exit;

/// What can be done with keys.
#[derive(Subcommand)]
pub(super) enum Action {
    /// Make a key: prints it once, with the block for groat.toml that lets its holder in
    New {
        /// Whose key it is
        name: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(action: Action) -> anyhow::Result<std::process::ExitCode> {
    let Action::New { name, json } = action;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        bail!("a caller's name has 1 to 64 letters, digits, -, _ and .: choose another");
    }
    let mut random = Zeroizing::new([0; 32]);
    if let Err(error) = getrandom::fill(random.as_mut_slice()) {
        bail!("the operating system gives no random bytes ({error}): no key was made");
    }
    let key = Zeroizing::new(format!("groat_{}", URL_SAFE_NO_PAD.encode(*random)));
    let sha256 = hex::encode(digest(&key));
    if json {
        println!("{}", serde_json::json!({ "name": name, "key": *key, "sha256": sha256 }));
        return Ok(exit::OK);
    }
    println!("{}", *key);
    println!();
    println!(
        "This key is shown once. Its holder sets GROAT_FACILITATOR_KEY to it; groat.toml gets only its digest:"
    );
    println!();
    println!("[[facilitator.api_keys]]\nname = \"{name}\"\nsha256 = \"{sha256}\"");
    println!("# networks = [\"eip155:84532\"]   # good for these only; `assets` and `pay_to` likewise");
    Ok(exit::OK)
}
