//! The compiled interface is the public one: `selectors.txt` and `abi.txt` say what that is.

use std::collections::BTreeSet;

use alloy_primitives::{hex, keccak256};
use groat_devchain::agentxpay;
use serde_json::Value;

const SELECTORS: &str = include_str!("selectors.txt");
const ABI: &str = include_str!("abi.txt");
const ADDRESSES: &str = include_str!("../../../../../contracts/addresses.json");
const ARTIFACTS: [(&str, &str); 6] = [
    ("AgentWallet", include_str!("../../../../../contracts/artifacts/AgentWallet.json")),
    ("AgentWalletFactory", include_str!("../../../../../contracts/artifacts/AgentWalletFactory.json")),
    ("Escrow", include_str!("../../../../../contracts/artifacts/Escrow.json")),
    ("PaymentManager", include_str!("../../../../../contracts/artifacts/PaymentManager.json")),
    ("ServiceRegistry", include_str!("../../../../../contracts/artifacts/ServiceRegistry.json")),
    ("SubscriptionManager", include_str!("../../../../../contracts/artifacts/SubscriptionManager.json")),
];

#[test]
fn every_selector_topic_and_error_is_the_public_one() {
    for (name, entries) in compiled() {
        let ours: BTreeSet<String> = entries.iter().filter_map(selector).collect();
        assert_eq!(ours, lines_of(SELECTORS, &format!("{name}.json")), "{name}");
    }
}

#[test]
fn every_name_index_result_and_mutability_is_the_public_one() {
    for (name, entries) in compiled() {
        let ours: BTreeSet<String> = entries.iter().map(readable).collect();
        assert_eq!(ours, lines_of(ABI, name), "{name}");
    }
}

#[test]
fn the_constants_are_the_addresses_of_the_list() {
    let addresses: Value = serde_json::from_str(ADDRESSES).unwrap();
    for (name, address) in [
        ("ServiceRegistry", agentxpay::SERVICE_REGISTRY),
        ("PaymentManager", agentxpay::PAYMENT_MANAGER),
        ("SubscriptionManager", agentxpay::SUBSCRIPTION_MANAGER),
        ("Escrow", agentxpay::ESCROW),
        ("AgentWalletFactory", agentxpay::AGENT_WALLET_FACTORY),
    ] {
        assert_eq!(addresses[name], address.to_checksum(None), "{name}");
    }
}

fn compiled() -> impl Iterator<Item = (&'static str, Vec<Value>)> {
    ARTIFACTS.into_iter().map(|(name, artifact)| {
        let artifact: Value = serde_json::from_str(artifact).unwrap();
        (name, artifact["abi"].as_array().unwrap().clone())
    })
}

/// The lines below the title of a contract.
fn lines_of(text: &str, title: &str) -> BTreeSet<String> {
    let title = format!("## {title}");
    let lines = text.lines().skip_while(|line| *line != title).skip(1);
    let lines: BTreeSet<String> =
        lines.take_while(|line| !line.starts_with("##")).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{title} is missing");
    lines
}

/// Such as `fun 0d515def payPerUse(uint256)`; nothing for a constructor.
fn selector(entry: &Value) -> Option<String> {
    let name = entry["name"].as_str()?;
    let types: Vec<String> = list(entry, "inputs").iter().map(|input| of_type(input, &of_types)).collect();
    let signature = format!("{name}({})", types.join(","));
    let hash = keccak256(&signature);
    Some(match entry["type"].as_str()? {
        "function" => format!("fun {} {signature}", hex::encode(&hash[..4])),
        "event" => format!("evt {} {signature}", hex::encode(hash)),
        "error" => format!("err {} {signature}", hex::encode(&hash[..4])),
        other => panic!("{other}"),
    })
}

/// Such as `function payPerUse(uint256 serviceId) payable`.
fn readable(entry: &Value) -> String {
    let mut text = entry["type"].as_str().unwrap().to_owned();
    if let Some(name) = entry["name"].as_str() {
        text += &format!(" {name}");
    }
    text += &format!("({})", named(list(entry, "inputs")));
    match entry["stateMutability"].as_str() {
        None | Some("nonpayable") => {}
        Some(mutability) => text += &format!(" {mutability}"),
    }
    match list(entry, "outputs") {
        [] => {}
        outputs => text += &format!(" returns ({})", named(outputs)),
    }
    text
}

fn named(parameters: &[Value]) -> String {
    let parameters = parameters.iter().map(|parameter| {
        let mut text = of_type(parameter, &named);
        if parameter["indexed"] == true {
            text += " indexed";
        }
        match parameter["name"].as_str() {
            None | Some("") => text,
            Some(name) => format!("{text} {name}"),
        }
    });
    parameters.collect::<Vec<_>>().join(", ")
}

fn of_types(parameters: &[Value]) -> String {
    parameters.iter().map(|parameter| of_type(parameter, &of_types)).collect::<Vec<_>>().join(",")
}

/// A type in one word; the members of a tuple are written by `members`.
fn of_type(parameter: &Value, members: &dyn Fn(&[Value]) -> String) -> String {
    let word = parameter["type"].as_str().unwrap();
    match word.strip_prefix("tuple") {
        Some(array) => format!("({}){array}", members(list(parameter, "components"))),
        None => word.to_owned(),
    }
}

fn list<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value[member].as_array().map_or(&[], Vec::as_slice)
}
