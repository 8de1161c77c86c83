//! Services of AgentXPay by command: discovered, sold by a gate that agrees with their registry, indexed.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::processes::{Running, dev, groat, http, rpc, text};
use crate::world::GAS_KEY;

const REGISTRY: &str = "0xa9e4700000000000000000000000000000000001";
const MANAGER: &str = "0xa9e4700000000000000000000000000000000002";
const SUBSCRIPTIONS: &str = "0xa9e4700000000000000000000000000000000003";
const NETWORK: &str = "eip155:84532";

fn on(network: &str, value: &str) -> String {
    format!("{network}={value}")
}

/// A gate on this chain that sells `/forecast` as the first service, at this price.
fn gate(data: &Path, chain: &str, provider: &str, wei: &str) -> Command {
    let config = data.join("groat.toml");
    let service = format!(
        "{{ manager = \"{MANAGER}\", service = 1, provider = \"{provider}\", price_wei = \"{wei}\", \
         subscriptions = \"{SUBSCRIPTIONS}\" }}"
    );
    let route =
        format!("[[gate.route]]\nmatch = \"GET /forecast\"\nprice = \"$0.01\"\nagentxpay = {service}\n");
    std::fs::write(&config, route).unwrap();
    let mut command = groat(data);
    command.args(["gate", "--json", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9"]);
    command.args(["--pay-to", provider, "--config"]).arg(config);
    if !chain.is_empty() {
        command.args(["--rpc", chain]).env("GROAT_SIGNER_KEYS", GAS_KEY);
    }
    command
}

fn fails(output: &Output, part: &str) {
    let (_, stderr) = text(output);
    assert_eq!(output.status.code(), Some(20), "{stderr}");
    assert!(stderr.contains(part), "{stderr}");
}

#[test]
fn a_service_is_discovered_and_sold_by_a_gate_that_agrees_with_its_registry() {
    let data = tempfile::tempdir().unwrap();
    let universe = dev(data.path());
    let (chain, seller) = (universe.said("chain"), universe.said("seller"));
    let found = groat(data.path())
        .args(["discover", "--json", "--rpc", &on(NETWORK, &chain), "--registry", &on(NETWORK, REGISTRY)])
        .output()
        .unwrap();
    let told: Value = serde_json::from_str(&text(&found).0).unwrap_or_else(|_| panic!("{:?}", text(&found)));
    let service = &told["services"][0];
    assert_eq!((&service["id"], &service["category"]), (&json!("1"), &json!("weather")));
    let price = service["pricePerCall"].as_str().unwrap();
    let none = groat(data.path())
        .args([
            "discover",
            "--max-price",
            "1",
            "--rpc",
            &on(NETWORK, &chain),
            "--registry",
            &on(NETWORK, REGISTRY),
        ])
        .output()
        .unwrap();
    assert_eq!(text(&none).0, "nothing of the kind is on sale\n");

    let home = tempfile::tempdir().unwrap();
    let running = Running::start(&mut gate(home.path(), &chain, &seller, price));
    let (status, listed) = http(&format!("{}/api/services", running.said("gate")), &[]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let expected =
        json!({ "path": "/forecast", "method": "GET", "serviceId": 1, "price": price, "token": "native" });
    assert_eq!((status, &listed["services"][0]), (200, &expected));
    let subscriber = format!("x-subscription-address: {seller}");
    let (status, refused) = http(&format!("{}/forecast", running.said("gate")), &["-H", &subscriber]);
    assert_eq!(status, 403, "{refused}");
    assert!(refused.contains("Subscription Not Proved"), "{refused}");
    drop(running);

    let dear = gate(home.path(), &chain, &seller, "1").output().unwrap();
    fails(&dear, &format!("service 1 costs {price} wei in its registry and 1 here"));
    let stranger = gate(home.path(), &chain, MANAGER, price).output().unwrap();
    fails(&stranger, "name the right service or provider");
    let without =
        gate(home.path(), "", &seller, price).args(["--facilitator", "http://127.0.0.1:9"]).output().unwrap();
    fails(&without, "no node of eip155:84532 is set");
    // Whoever settles: this node would say who has subscribed.
    let mut foreign = gate(home.path(), &chain, &seller, price);
    let foreign =
        foreign.args(["--network", "base", "--facilitator", "http://127.0.0.1:9"]).output().unwrap();
    fails(&foreign, "the node of eip155:8453: ");
}

#[test]
fn an_indexer_answers_and_goes_on_after_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let universe = dev(data.path());
    let chain = universe.said("chain");
    rpc(&chain, "evm_mine", &json!([]));
    rpc(&chain, "anvil_mine", &json!(["0x5"]));
    let start = || {
        Running::start(groat(data.path()).args([
            "indexer",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--poll",
            "50",
            "--rpc",
            &on(NETWORK, &chain),
            "--payment-manager",
            &on(NETWORK, MANAGER),
            "--subscription-manager",
            &on(NETWORK, SUBSCRIPTIONS),
        ]))
    };
    let read = |running: &Running| -> u64 {
        let (_, status) = http(&format!("{}/api/indexer-status", running.said("indexer")), &[]);
        let status: Value = serde_json::from_str(&status).unwrap();
        status["last_indexed_block"].as_str().unwrap().parse().unwrap()
    };
    let running = start();
    let mut looks = 0;
    while read(&running) < 4 {
        looks += 1;
        assert!(looks < 200, "nothing was read");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(http(&format!("{}/api/events", running.said("indexer")), &[]).0, 400);
    assert_eq!(http(&format!("{}/health", running.said("indexer")), &[]).0, 200);
    running.kill();
    let again = start();
    assert!(again.said("lastBlock").parse::<u64>().unwrap() >= 4, "{}", again.ready);
}

#[test]
fn h25_the_nodes_of_the_environment_are_a_list_everywhere_and_shown_nowhere() {
    let data = tempfile::tempdir().unwrap();
    let node = Running::start(groat(data.path()).args(["devchain", "--port", "0", "--json"]));
    let nodes = format!("eip155:8453=http://127.0.0.1:1/secret,eip155:84532={}", node.said("chain"));
    let discover = |nodes: &str, network: &str| {
        let registry = format!("{network}=0xa9e4700000000000000000000000000000000001");
        let mut command = groat(data.path());
        command
            .args(["discover", "--json", "--registry", &registry])
            .env("GROAT_RPC", nodes)
            .output()
            .unwrap()
    };
    let found = discover(&nodes, "eip155:84532");
    assert_eq!(found.status.code(), Some(0), "{:?}", text(&found));
    let missing = discover(&nodes, "eip155:1");
    assert!(text(&missing).1.contains("name a node of eip155:1"), "{:?}", text(&missing));
    for wrong in ["https://node.example/?key=secret", "eip155:84532=://secret", "eip155:84532=secret"] {
        let refused = discover(wrong, "eip155:84532");
        assert_eq!(refused.status.code(), Some(20), "{:?}", text(&refused));
        assert!(!text(&refused).1.contains("secret"), "{:?}", text(&refused));
    }
    for command in ["pay", "discover", "indexer"] {
        let help = groat(data.path()).args([command, "--help"]).env("GROAT_RPC", &nodes).output().unwrap();
        assert!(!text(&help).0.contains("secret"), "{command}");
    }
}
