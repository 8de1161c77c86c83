//! What the commands print and how they end.

use serde_json::Value;

use crate::processes::{Running, dev, groat, http, rpc, text};

#[test]
fn the_demo_prints_two_receipts_and_the_sellers_balance() {
    let data = tempfile::tempdir().unwrap();
    let output = groat(data.path()).args(["demo", "--json"]).output().unwrap();
    assert!(output.status.success(), "{:?}", text(&output));
    let story: Value = serde_json::from_slice(&output.stdout).unwrap();
    let receipts = story["receipts"].as_array().unwrap();
    assert_eq!(receipts.len(), 2);
    assert_eq!((&receipts[0]["dialect"], &receipts[1]["dialect"]), (&"x402-v2".into(), &"x402-v1".into()));
    assert_ne!(receipts[0]["transaction"], receipts[1]["transaction"]);
    assert_eq!(story["sellerBalance"], "20000");
}

#[test]
fn an_unpaid_request_shows_both_generations_and_pay_buys_it() {
    let data = tempfile::tempdir().unwrap();
    let dev = dev(data.path());
    let url = format!("{}/weather", dev.said("api"));
    let (status, answer) = http(&url, &["-i"]);
    assert_eq!(status, 402);
    assert!(answer.to_lowercase().contains("payment-required: ey"), "{answer}");
    assert!(answer.contains("\"x402Version\":1"), "{answer}");

    let output = groat(data.path()).args(["pay", "--wallet", "dev", &url]).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.contains("Zurich"), "{stdout}");
    let transaction = stderr.lines().find_map(|line| line.strip_prefix("transaction  ")).unwrap();
    let receipt = rpc(&dev.said("chain"), "eth_getTransactionReceipt", &serde_json::json!([transaction]));
    assert_eq!(receipt["status"], "0x1");
}

#[test]
fn a_price_above_the_limit_ends_with_11_and_signs_nothing() {
    let data = tempfile::tempdir().unwrap();
    let dev = dev(data.path());
    let url = format!("{}/weather", dev.said("api"));
    let output =
        groat(data.path()).args(["pay", "--wallet", "dev", "--max", "$0.001", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(11));
    assert!(text(&output).1.contains("--max $0.01"), "{:?}", text(&output));
    let dry =
        groat(data.path()).args(["pay", "--wallet", "dev", "--dry-run", "--json", &url]).output().unwrap();
    let plan: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(plan["chosen"], 0);
    assert_eq!(rpc(&dev.said("chain"), "eth_blockNumber", &serde_json::json!([])), "0x0");
}

#[test]
fn whatever_does_not_work_ends_with_20_and_one_sentence() {
    let data = tempfile::tempdir().unwrap();
    drop(dev(data.path()));
    for (url, part) in [
        ("http://127.0.0.1:1/x", "cannot be reached"),
        ("nonsense", "is not a URL"),
        ("ftp://x/", "cannot be asked"),
    ] {
        let output = groat(data.path()).args(["pay", "--wallet", "dev", url]).output().unwrap();
        let (_, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(20), "{stderr}");
        assert!(stderr.contains(part) && stderr.lines().count() == 1, "{stderr}");
    }
    let output =
        groat(data.path()).args(["pay", "--wallet", "nobody", "http://127.0.0.1:1/"]).output().unwrap();
    assert!(text(&output).1.contains("groat wallet new nobody"));
}

#[test]
fn what_was_bought_is_not_lost_on_a_file_that_cannot_be_written() {
    let data = tempfile::tempdir().unwrap();
    let dev = dev(data.path());
    let url = format!("{}/weather", dev.said("api"));
    let file = data.path().join("missing/answer");
    let pay = |file: &std::path::Path| {
        groat(data.path()).args(["pay", "--wallet", "dev", "-o"]).arg(file).arg(&url).output().unwrap()
    };
    let output = pay(&file);
    assert_eq!(output.status.code(), Some(20));
    assert!(text(&output).1.contains("nothing was bought"), "{:?}", text(&output));
    assert_eq!(rpc(&dev.said("chain"), "eth_blockNumber", &serde_json::json!([])), "0x0");
    std::fs::create_dir(data.path().join("missing")).unwrap();
    assert_eq!(pay(&file).status.code(), Some(0));
    assert!(std::fs::read_to_string(&file).unwrap().contains("Zurich"));
}

#[test]
fn y03_a_host_that_changes_its_payee_is_refused_until_it_is_forgotten() {
    let data = tempfile::tempdir().unwrap();
    let dev = dev(data.path());
    let gate = |listen: &str, pay_to: &str| {
        let (upstream, facilitator) = (dev.said("api"), dev.said("facilitator"));
        let mut command = groat(&data.path().join("gate"));
        command.args(["gate", "--json", "--price", "GET /free=$0.01", "--upstream", &upstream]);
        command.args(["--facilitator", &facilitator, "--listen", listen, "--pay-to", pay_to]);
        Running::start(&mut command)
    };
    let first = gate("127.0.0.1:0", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    let origin = first.said("gate");
    let pay = || {
        let url = format!("{origin}/free");
        groat(data.path()).args(["pay", "--wallet", "dev", &url]).output().unwrap()
    };
    assert_eq!(pay().status.code(), Some(0));
    first.kill();
    let host = origin.trim_start_matches("http://");
    let _second = gate(host, "0x90F79bf6EB2c4f870365E785982E1f101E93b906");
    let refused = pay();
    assert_eq!(refused.status.code(), Some(11), "{:?}", text(&refused));
    assert!(text(&refused).1.contains(&format!("groat wallet forget {host}")), "{:?}", text(&refused));
    let forget = groat(data.path()).args(["wallet", "forget", host]).output().unwrap();
    assert!(forget.status.success(), "{:?}", text(&forget));
    assert_eq!(pay().status.code(), Some(0));
}

#[test]
fn the_wallet_lists_names_and_accounts() {
    let data = tempfile::tempdir().unwrap();
    let list = || text(&groat(data.path()).args(["wallet", "list"]).output().unwrap()).0;
    assert!(list().contains("groat wallet new"), "{}", list());
    let dev = dev(data.path());
    let account = dev.said("buyer");
    assert_eq!(list().split_whitespace().collect::<Vec<_>>(), ["dev", &account]);
}
