//! Permits by command: a gate that sells for them, a till on the chain, a wallet that signs them.

use std::path::Path;
use std::process::Output;

use alloy_primitives::{Address, B256, U256, keccak256};
use serde_json::{Value, json};

use crate::interop::peer;
use crate::processes::{Running, dev, groat, http, rpc, text};
use crate::world::GAS_KEY;

const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
/// A token with permits and no authorizations, at home on the development chain only.
const DOLLAR: &str = "0x0Dd000000000000000000000000000000000000A";
const PERMIT2: &str = "0x000000000022D473030F116dDEE9F6B43aC78BA3";

/// Who takes the money.
enum Settles {
    Gate,
    Facilitator,
}

/// A gate in front of the sample API that sells a pass for what is free there, a little cheaper by permit.
fn gate(data: &Path, universe: &Running, kind: &str, settles: Settles) -> Running {
    let permit = format!("{{ kind = \"{kind}\", asset = \"{USDC}\", amount = \"9000\" }}");
    selling(data, universe, &permit, settles)
}

/// The same for any permit.
fn selling(data: &Path, universe: &Running, permit: &str, settles: Settles) -> Running {
    // Books of its own; the wallet lies elsewhere.
    let home = data.join("gate");
    std::fs::create_dir_all(&home).unwrap();
    let config = home.join("groat.toml");
    let chain = universe.said("chain");
    let known =
        format!("[[chain]]\nnetwork = \"eip155:84532\"\nrpc = \"{chain}\"\nassets = [\"{DOLLAR}\"]\n");
    let route = format!(
        "[[gate.route]]\nmatch = \"GET /free\"\nprice = \"$0.01\"\npass = {{ ttl_s = 60 }}\npermits = [{permit}]\n"
    );
    std::fs::write(&config, format!("{known}\n{route}")).unwrap();
    let mut command = groat(&home);
    command.args(["gate", "--json", "--listen", "127.0.0.1:0", "--upstream", &universe.said("api")]);
    command.args(["--pay-to", &universe.said("seller"), "--config"]).arg(config);
    match settles {
        Settles::Gate => command.args(["--network", "eip155:84532"]).env("GROAT_SIGNER_KEYS", GAS_KEY),
        Settles::Facilitator => command.args(["--facilitator", &universe.said("facilitator")]),
    };
    Running::start(&mut command)
}

fn pay(data: &Path, universe: &Running, gate: &Running, with_node: bool) -> Output {
    let mut command = groat(data);
    command.args(["pay", "--wallet", "dev", "--dialect", "token"]);
    let node = format!("eip155:84532={}", universe.said("chain"));
    if with_node {
        command.args(["--rpc", &node]);
    }
    command.arg(format!("{}/free", gate.said("gate"))).output().unwrap()
}

fn balance(universe: &Running, account: &str) -> U256 {
    balance_of(universe, USDC, account)
}

fn balance_of(universe: &Running, token: &str, account: &str) -> U256 {
    let data = format!("0x70a08231{:0>64}", account[2..].to_lowercase());
    let answer = rpc(&universe.said("chain"), "eth_call", &json!([{ "to": token, "data": data }, "latest"]));
    answer.as_str().unwrap().parse().unwrap()
}

#[test]
fn f086_a_wallet_pays_a_gate_by_permit_and_the_till_keeps_nothing() {
    let data = tempfile::tempdir().unwrap();
    let universe = dev(data.path());
    let seller = universe.said("seller");
    let told = groat(data.path()).args(["till", "--json", &seller]).output().unwrap();
    let till: Value = serde_json::from_slice(&told.stdout).unwrap();
    let till = till["till"].as_str().unwrap().to_owned();
    assert_ne!(rpc(&universe.said("chain"), "eth_getCode", &json!([till, "latest"])), "0x");

    let running = gate(data.path(), &universe, "EIP2612", Settles::Gate);
    let (status, asked) = http(&format!("{}/free", running.said("gate")), &[]);
    let asked: Value = serde_json::from_str(&asked).unwrap();
    let component = &asked["payment_scheme"]["permit_components"][0];
    assert_eq!(
        (status, &component["permit_type"], &component["pay_to"]),
        (402, &json!("EIP2612"), &json!(till))
    );
    let (_, page) = http(&format!("{}/x402/schemes/evm", running.said("gate")), &[]);
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["permit_types"], json!(["ERC3009", "EIP2612"]));

    let blind = pay(data.path(), &universe, &running, false);
    assert!(text(&blind).1.contains("name one with --rpc"), "{:?}", text(&blind));
    let paid = pay(data.path(), &universe, &running, true);
    assert_eq!(paid.status.code(), Some(0), "{:?}", text(&paid));
    assert!(text(&paid).0.contains("price"), "{:?}", text(&paid));
    assert_eq!((balance(&universe, &seller), balance(&universe, &till)), (U256::from(9_000), U256::ZERO));
    // The pass is good for a minute: nothing is paid again.
    let again = pay(data.path(), &universe, &running, true);
    assert_eq!(again.status.code(), Some(0), "{:?}", text(&again));
    assert_eq!(balance(&universe, &seller), U256::from(9_000));
}

#[test]
fn y18_a_wallet_signs_for_permit2_only_where_it_has_allowed_it_before() {
    let data = tempfile::tempdir().unwrap();
    let universe = dev(data.path());
    let (seller, chain) = (universe.said("seller"), universe.said("chain"));
    let running = gate(data.path(), &universe, "Permit2", Settles::Facilitator);
    let refused = pay(data.path(), &universe, &running, true);
    assert!(text(&refused).1.contains("has not allowed Permit2"), "{:?}", text(&refused));
    assert_eq!(balance(&universe, &seller), U256::ZERO);
    // As if the owner had approved it with a wallet: the allowance lies in slot 2.
    let owner: Address = universe.said("buyer").parse().unwrap();
    let permit2: Address = PERMIT2.parse().unwrap();
    let of_owner = keccak256([owner.into_word(), B256::from(U256::from(2))].concat());
    let slot = keccak256([permit2.into_word(), of_owner].concat());
    rpc(&chain, "anvil_setStorageAt", &json!([USDC, slot, B256::from(U256::from(9_000))]));
    let paid = pay(data.path(), &universe, &running, true);
    assert_eq!(paid.status.code(), Some(0), "{:?}", text(&paid));
    assert_eq!(balance(&universe, &seller), U256::from(9_000));
}

/// One of the well-known accounts: it has coins, and the package allows Permit2 to move its tokens by itself.
const PACKAGE_KEY: &str = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6";
const PACKAGE: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";

#[test]
#[ignore = "needs the packages that interop/setup.sh installs; cargo xtask test runs it"]
fn f086_the_package_pays_by_permit2() {
    let data = tempfile::tempdir().unwrap();
    let universe = dev(data.path());
    let (seller, chain) = (universe.said("seller"), universe.said("chain"));
    let permit = format!(
        "{{ kind = \"Permit2\", asset = \"{DOLLAR}\", amount = \"9000\", symbol = \"PD\", decimals = 6 }}"
    );
    let running = selling(data.path(), &universe, &permit, Settles::Gate);
    // Balances lie in slot 1.
    let owner: Address = PACKAGE.parse().unwrap();
    let slot = keccak256([owner.into_word(), B256::from(U256::from(1))].concat());
    rpc(&chain, "anvil_setStorageAt", &json!([DOLLAR, slot, B256::from(U256::from(1_000_000))]));
    let mut client = peer("clients/x402-mock.py");
    client.envs([
        ("URL", format!("{}/free", running.said("gate")).as_str()),
        ("METHOD", "GET"),
        ("PRIVATE_KEY", PACKAGE_KEY),
        ("RPC_URL", &chain),
        ("CURRENCY", "PD"),
        ("TOKEN", DOLLAR),
        ("TOKEN_NAME", "PD"),
        ("TOKEN_VERSION", "1"),
    ]);
    let output = client.output().unwrap();
    assert!(output.status.success(), "{:?}", text(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let receipt = rpc(&chain, "eth_getTransactionReceipt", &json!([line["receipt"]["transaction"]]));
    assert_eq!(receipt["status"], "0x1", "{line}");
    assert_eq!(balance_of(&universe, DOLLAR, &seller), U256::from(9_000));
}
