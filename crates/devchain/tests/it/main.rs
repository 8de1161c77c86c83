//! What a chain must do for those who build on it.
#![allow(clippy::unwrap_used, missing_docs)]

mod agentxpay;
mod want_pay;

use alloy_primitives::{Address, U256, address};
use groat_devchain::{ChainClock, Config, DevChain, Mining, USDC};
use serde_json::{Value, json};

const ALICE: Address = address!("0x00000000000000000000000000000000000a11ce");

fn chain(mining: Mining) -> DevChain {
    DevChain::new(Config { mining, clock: ChainClock::Fixed(1_800_000_000), ..Config::default() })
}

fn ask(chain: &DevChain, method: &str, params: Value) -> Value {
    chain.request(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
}

#[test]
fn the_dollar_is_deployed_and_minted() {
    let chain = chain(Mining::Instant);
    chain.mint_usdc(ALICE, U256::from(42));
    assert_eq!(chain.usdc_balance(ALICE), U256::from(42));
    let code = ask(&chain, "eth_getCode", json!([USDC, "latest"]));
    assert!(code.as_str().unwrap().len() > 1000);
    let name = ask(&chain, "eth_call", json!([{"to": USDC, "data": "0x06fdde03"}, "latest"]));
    assert!(name.as_str().unwrap().contains("55534443"), "{name}");
}

#[test]
fn a_snapshot_brings_back_money_and_height() {
    let chain = chain(Mining::Manual);
    let snapshot = chain.snapshot();
    chain.mint_usdc(ALICE, U256::from(42));
    chain.set_balance(ALICE, U256::from(7));
    chain.mine(3);
    assert!(chain.revert(snapshot));
    assert_eq!(chain.usdc_balance(ALICE), U256::ZERO);
    assert_eq!(ask(&chain, "eth_getBalance", json!([ALICE, "latest"])), json!("0x0"));
    assert_eq!(chain.block_number(), 0);
    assert!(!chain.revert(snapshot));
}

#[test]
fn time_moves_when_told() {
    let chain = chain(Mining::Manual);
    chain.increase_time(100);
    chain.mine(1);
    let block = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["timestamp"], json!(format!("{:#x}", 1_800_000_100u64)));
    ask(&chain, "evm_setNextBlockTimestamp", json!([1_900_000_000u64]));
    chain.mine(1);
    let block = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["timestamp"], json!(format!("{:#x}", 1_900_000_000u64)));
}

#[test]
fn the_base_fee_of_the_next_block_can_be_set_and_falls_again() {
    let chain = chain(Mining::Manual);
    ask(&chain, "anvil_setNextBlockBaseFeePerGas", json!(["0x77359400"]));
    let fees: Vec<_> = (0..3)
        .map(|_| {
            chain.mine(1);
            let block = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]));
            block["baseFeePerGas"].as_str().unwrap().to_owned()
        })
        .collect();
    // An eighth less with each empty block (EIP-1559).
    assert_eq!(fees, ["0x77359400", "0x684ee180", "0x5b450550"]);
}

#[test]
fn unknown_methods_and_hostile_parameters_are_errors_with_codes() {
    let chain = chain(Mining::Instant);
    assert_eq!(chain.request("eth_fillTransaction", json!([])).unwrap_err().code, -32601);
    for method in [
        "eth_getBalance",
        "eth_call",
        "eth_sendRawTransaction",
        "eth_getLogs",
        "eth_feeHistory",
        "eth_getBlockByHash",
        "anvil_setCode",
        "dev_reorg",
        "evm_revert",
    ] {
        for params in [
            json!(null),
            json!([]),
            json!([1, 2]),
            json!(["0x"]),
            json!([{}]),
            json!([[]]),
            json!({"a": 1}),
            json!(["0xzz", "latest"]),
        ] {
            if let Err(error) = chain.request(method, params.clone()) {
                assert!([-32602, -32000, 3].contains(&error.code), "{method} {params}: {error:?}");
            }
        }
    }
}

#[test]
fn a_method_fails_as_often_as_it_was_told_to() {
    let chain = chain(Mining::Instant);
    ask(&chain, "dev_failNext", json!(["eth_chainId", 2, 429]));
    assert_eq!(chain.request("eth_chainId", json!([])).unwrap_err().code, 429);
    assert_eq!(chain.request("eth_chainId", json!([])).unwrap_err().code, 429);
    assert_eq!(ask(&chain, "eth_chainId", json!([])), json!("0x14a34"));
}

#[test]
fn a_revert_carries_code_data_and_reason() {
    let chain = chain(Mining::Instant);
    // transfer(ALICE, 1) from an account without money
    let data = format!("0xa9059cbb{:0>64}{:0>64}", &format!("{ALICE:?}")[2..], "1");
    let error = chain.request("eth_call", json!([{"to": USDC, "data": data}, "latest"])).unwrap_err();
    assert_eq!(error.code, 3);
    assert_eq!(error.message, "execution reverted: ERC20: transfer amount exceeds balance");
    assert!(error.data.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn http_speaks_single_and_batch_and_survives_garbage() {
    let chain = chain(Mining::Instant);
    let server = chain.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}", server.local_addr());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let post = async |body: &str| {
        client.post(&url).body(body.to_owned()).send().await.unwrap().text().await.unwrap()
    };
    let call = r#"{"jsonrpc":"2.0","id":7,"method":"eth_chainId","params":[]}"#;
    assert_eq!(post(call).await, r#"{"id":7,"jsonrpc":"2.0","result":"0x14a34"}"#);
    assert!(post(&format!("[{call},{call}]")).await.starts_with("[{"));
    for garbage in ["", "[]", "{}", "nonsense", "[1]", "\u{0}"] {
        assert!(post(garbage).await.contains("error"), "{garbage}");
    }
}

#[tokio::test]
async fn o18_only_loopback_is_served() {
    assert!(chain(Mining::Instant).serve("0.0.0.0:0".parse().unwrap()).await.is_err());
}
