//! Permits by command: a gate that sells for them, a till on the chain, a wallet that signs them.

use std::path::Path;
use std::process::Output;

use alloy_primitives::{Address, B256, U256, keccak256};
use serde_json::{Value, json};

use crate::processes::{Running, dev, groat, http, rpc, text};
use crate::world::GAS_KEY;

const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
const PERMIT2: &str = "0x000000000022D473030F116dDEE9F6B43aC78BA3";

/// Who takes the money.
enum Settles {
    Gate,
    Facilitator,
}

/// A gate in front of the sample API that sells a pass for what is free there, a little cheaper by permit.
fn gate(data: &Path, universe: &Running, kind: &str, settles: Settles) -> Running {
    // Books of its own; the wallet lies elsewhere.
    let home = data.join("gate");
    std::fs::create_dir_all(&home).unwrap();
    let config = home.join("groat.toml");
    let permit = format!("{{ kind = \"{kind}\", asset = \"{USDC}\", amount = \"9000\" }}");
    let route = format!(
        "[[gate.route]]\nmatch = \"GET /free\"\nprice = \"$0.01\"\npass = {{ ttl_s = 60 }}\npermits = [{permit}]\n"
    );
    std::fs::write(&config, route).unwrap();
    let mut command = groat(&home);
    command.args(["gate", "--json", "--listen", "127.0.0.1:0", "--upstream", &universe.said("api")]);
    command.args(["--pay-to", &universe.said("seller"), "--config"]).arg(config);
    match settles {
        Settles::Gate => command.args(["--rpc", &universe.said("chain")]).env("GROAT_SIGNER_KEYS", GAS_KEY),
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
    let data = format!("0x70a08231{:0>64}", account[2..].to_lowercase());
    let answer = rpc(&universe.said("chain"), "eth_call", &json!([{ "to": USDC, "data": data }, "latest"]));
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
