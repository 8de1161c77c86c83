//! A gate whose routes are sold for requests of x402-pay/1 as well, by its configuration alone.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::processes::{Running, dev, groat, http, rpc, text};
use crate::world::{GAS_KEY, PAY_TO, Upstream};

const NETWORK: &str = "eip155:84532";
const CONTRACT: &str = "0x7834303200000000000000000000000000000001";
const BUYER_KEY: &str = "0x7777777777777777777777777777777777777777777777777777777777777777";
const BUYER: &str = "0xAe72A48c1a36bd18Af168541c53037965d26e4A8";
/// Whoever knows of requests and sends what buyers have signed; nobody is asked there in these tests.
const NAMED: &str = "http://127.0.0.1:4402";

/// A gate that sells `/weather` for requests, with this under `[gate.want_pay]`.
fn gate(data: &Path, listen: &str, upstream: &Upstream, want_pay: &str) -> Command {
    let config = data.join("groat.toml");
    let route = "[[gate.route]]\nmatch = \"GET /weather\"\nprice = \"$0.01\"\nwant_pay = true\n";
    std::fs::write(&config, format!("[gate.want_pay]\n{want_pay}\n{route}")).unwrap();
    let mut command = groat(data);
    let upstream = format!("http://{}", upstream.address);
    command.args(["gate", "--json", "--listen", listen, "--upstream", &upstream, "--pay-to", PAY_TO]);
    command.arg("--config").arg(config);
    command
}

fn by_itself(command: &mut Command, chain: &str) -> Running {
    Running::start(command.args(["--rpc", chain]).env("GROAT_SIGNER_KEYS", GAS_KEY))
}

fn settings() -> String {
    format!("contract = \"{CONTRACT}\"\nfacilitator = \"{NAMED}\"")
}

/// Our buyer, who can pay for requests only.
fn pay(data: &Path, chain: &str, url: &str) -> Command {
    let mut command = groat(data);
    command.env("GROAT_PRIVATE_KEY", BUYER_KEY);
    command.args(["pay", "--json", "--dialect", "want-pay", "--rpc", &format!("{NETWORK}={chain}")]);
    command.args(["--pay-contract", &format!("{NETWORK}={CONTRACT}"), url]);
    command
}

fn rich(chain: &str) {
    rpc(chain, "dev_mintUsdc", &json!([BUYER, "1000000"]));
    rpc(chain, "anvil_setBalance", &json!([BUYER, "0x8ac7230489e80000"]));
}

fn balance(chain: &str) -> Value {
    let data = format!("0x70a08231{:0>64}", &PAY_TO[2..]);
    rpc(
        chain,
        "eth_call",
        &json!([{ "to": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "data": data }, "latest"]),
    )
}

fn is_a_cent(balance: &Value, times: u64) {
    let units = u64::from_str_radix(balance.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert_eq!(units, times * 10_000);
}

#[test]
fn a_gate_sells_for_requests_by_itself_and_through_a_facilitator() {
    let data = tempfile::tempdir().unwrap();
    let universe = dev(data.path());
    let (chain, facilitator) = (universe.said("chain"), universe.said("facilitator"));
    rich(&chain);
    let upstream = Upstream::start();
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let alone = by_itself(&mut gate(homes[0].path(), "127.0.0.1:0", &upstream, &settings()), &chain);
    let contract = format!("contract = \"{CONTRACT}\"");
    let through = Running::start(
        gate(homes[1].path(), "127.0.0.1:0", &upstream, &contract).args(["--facilitator", &facilitator]),
    );
    for (times, (gate, named)) in (1..).zip([(&alone, NAMED), (&through, facilitator.as_str())]) {
        let url = format!("{}/weather", gate.said("gate"));
        let (status, told) = http(&url, &[]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((status, &told["facilitator"], &told["contract"]), (402, &json!(named), &json!(CONTRACT)));
        let buyer = tempfile::tempdir().unwrap();
        let bought = pay(buyer.path(), &chain, &url).output().unwrap();
        let answer: Value = serde_json::from_str(&text(&bought).0).unwrap_or_else(|_| panic!("{bought:?}"));
        assert_eq!(
            (&answer["status"], &answer["payment"]["dialect"]),
            (&json!(200), &json!("want-pay")),
            "{answer}"
        );
        is_a_cent(&balance(&chain), times);
    }
}

/// Requests are kept nowhere: the key in the data directory knows them again.
#[test]
fn a_request_that_was_paid_while_its_gate_crashed_buys_after_it() {
    let home = tempfile::tempdir().unwrap();
    let node = Running::start(groat(home.path()).args(["devchain", "--port", "0", "--json"]));
    let chain = node.said("chain");
    rich(&chain);
    let upstream = Upstream::start();
    let first = by_itself(&mut gate(home.path(), "127.0.0.1:0", &upstream, &settings()), &chain);
    let url = first.said("gate");
    rpc(&chain, "evm_setAutomine", &json!([false]));
    let buyer = tempfile::tempdir().unwrap();
    let mut buying =
        pay(buyer.path(), &chain, &format!("{url}/weather")).stdout(Stdio::piped()).spawn().unwrap();
    let is_sent = |_| {
        std::thread::sleep(Duration::from_millis(20));
        rpc(&chain, "txpool_status", &json!([]))["pending"] != "0x0" || buying.try_wait().unwrap().is_some()
    };
    assert!((0..1000).any(is_sent), "nothing was sent in twenty seconds");
    first.kill();
    let listen = url.trim_start_matches("http://");
    let _second = by_itself(&mut gate(home.path(), listen, &upstream, &settings()), &chain);
    rpc(&chain, "evm_setAutomine", &json!([true]));
    rpc(&chain, "evm_mine", &json!([]));
    let bought = buying.wait_with_output().unwrap();
    let answer: Value = serde_json::from_str(&text(&bought).0).unwrap_or_else(|_| panic!("{bought:?}"));
    assert_eq!(answer["status"], 200, "{answer}");
    is_a_cent(&balance(&chain), 1);
}

#[test]
fn what_a_gate_needs_for_requests_is_told_at_its_start() {
    let home = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let fails = |want_pay: &str, facilitator: &[&str], line: &str, part: &str| {
        let output =
            gate(home.path(), "127.0.0.1:0", &upstream, want_pay).args(facilitator).output().unwrap();
        let (_, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(20), "{stderr}");
        assert!(stderr.contains(line) && stderr.contains(part), "{stderr}");
    };
    let through = ["--facilitator", "http://127.0.0.1:9"];
    fails("", &through, "groat.toml:6: ", "no contract for payments of requests is known");
    fails("contract = \"0x12\"", &through, "groat.toml:2: ", "`0x12` is not an account");
    let open = format!("contract = \"{CONTRACT}\"\nfacilitator = \"http://pay.example\"");
    fails(&open, &through, "groat.toml:3: ", "is no https URL (http only on this machine)");
}
