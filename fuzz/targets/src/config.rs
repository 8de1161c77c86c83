//! `groat.toml`: whatever the file says, there is a configuration or one sentence that points into it.

#[allow(dead_code)]
#[path = "../../../crates/groat/src/config/mod.rs"]
mod file;

use std::path::PathBuf;

use groat_chain_evm::account;
use groat_core::{Network, Price};
use regex::Regex;

/// The bytes as the text of the file.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = match file::Config::parse(PathBuf::from("groat.toml"), text.to_owned()) {
        Ok((config, _)) => config,
        Err(error) => return points_into_the_file(&error.to_string(), text),
    };
    // What was accepted is TOML to the library as well, and every value is what it has to be.
    let table: toml::Table = text.parse().expect("an accepted file is TOML");
    assert!(table.keys().all(|key| ["chain", "facilitator", "gate"].contains(&key.as_str())), "{table:?}");
    for chain in &config.chain {
        assert!(Network::parse(chain.network.get_ref()).is_ok());
        let accounts = chain.assets.iter().chain(&chain.pay_to).chain(&chain.factories);
        accounts.for_each(|account| assert!(account::parse(account.get_ref()).is_some()));
    }
    config.gate.pay_to.iter().for_each(|account| assert!(account::parse(account.get_ref()).is_some()));
    config.gate.network.iter().for_each(|network| assert!(Network::parse(network.get_ref()).is_ok()));
    config.gate.route.iter().for_each(|route| assert!(Price::parse(route.price.get_ref()).is_ok()));
}

fn points_into_the_file(message: &str, text: &str) {
    let form = Regex::new(r"^groat\.toml:([1-9][0-9]*): .*; .+$").unwrap();
    let captures = form.captures(message).unwrap_or_else(|| panic!("no line in {message:?}"));
    let line: usize = captures[1].parse().unwrap();
    assert!(line <= text.matches('\n').count() + 1, "{message:?} is behind the end");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}
