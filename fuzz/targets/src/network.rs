//! Names of networks, CAIP-2 and x402 version 1.

use std::sync::LazyLock;

use groat_core::Network;
use groat_core::network::KNOWN;
use regex::Regex;

/// CAIP-2, section "Syntax".
static CAIP2: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^([-a-z0-9]{3,8}):([-_a-zA-Z0-9]{1,32})$").unwrap());

/// The bytes as a name.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let network = match Network::parse(text) {
        Ok(network) => network,
        Err(_) => return assert_eq!(expected(text), None, "{text:?}"),
    };
    assert_eq!(expected(text).as_deref(), Some(network.as_str()), "{text:?}");
    // One chain has one name, whatever it was called.
    assert_eq!(Network::parse(network.as_str()).as_ref(), Ok(&network));
    let json = serde_json::to_string(&network).unwrap();
    assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), network);
    match network.chain_id() {
        Some(id) => assert_eq!(network, Network::eip155(id)),
        None => assert_ne!(network.namespace(), "eip155"),
    }
    if let Some(name) = network.v1_name() {
        assert_eq!(Network::parse(name).as_ref(), Ok(&network));
    }
    assert!(!network.is_testnet() || network.known().is_some(), "a stranger was taken for play money");
}

/// The CAIP-2 name that a text stands for.
fn expected(text: &str) -> Option<String> {
    if let Some(known) = KNOWN.iter().find(|known| known.v1 == Some(text)) {
        return Some(format!("eip155:{}", known.chain_id));
    }
    let captures = CAIP2.captures(text)?;
    let canonical_id = captures[2].parse::<u64>().is_ok_and(|id| id.to_string() == captures[2]);
    (captures[1] != *"eip155" || canonical_id).then(|| text.to_owned())
}
