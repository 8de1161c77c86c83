//! `vectors/x402/22`: what the official facilitator (`@x402/evm` 2.27.0) says of 24 payments, and what ours says.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::{SolCall, SolValue};
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use groat_chain_evm::abi::{Eip3009, Erc1271, MULTICALL3, Multicall3};
use groat_chain_evm::{Chain, ChainLimits, ChainOptions, ExactEvm, GasKey, Rpc, Simulate};
use groat_core::Timestamp;
use groat_facilitator::http::{Ready, Service};
use groat_facilitator::{Engine, EngineOptions};
use groat_store::MemoryStore;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::node::node;

const ASSET: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

/// Where we differ on purpose (`docs/reference/differences.md`): case, our code, why.
const DIFFERENCES: &[(&str, &str, &str)] = &[(
    "eip3009 ERC-6492 counterfactual, factory allowlisted",
    "invalid_exact_evm_signature",
    "the wrapped signature is a plain account's: nothing needs to be deployed for it (threat row E18)",
)];

#[tokio::test]
async fn vector_22_every_eip3009_verdict_is_the_official_one_or_stricter() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../vectors/x402/22-facilitator-verdicts.json")).unwrap();
    let now = vectors["now"].as_u64().unwrap();
    let mut cases = 0;
    let mut wrong = Vec::new();
    for case in vectors["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if !name.starts_with("eip3009") {
            continue;
        }
        cases += 1;
        let ours = verify(case, now).await;
        let theirs = &case["verifyResponse"];
        let mut expected = json!({ "isValid": theirs["isValid"], "invalidReason": theirs["invalidReason"] });
        if let Some((_, code, _)) = DIFFERENCES.iter().find(|(differs, ..)| *differs == name) {
            expected = json!({ "isValid": false, "invalidReason": code });
        }
        let same = ours["isValid"] == expected["isValid"]
            && ours["invalidReason"] == expected["invalidReason"]
            && ours["payer"].as_str().map(str::to_lowercase)
                == theirs["payer"].as_str().map(str::to_lowercase);
        if !same {
            wrong.push(format!("{name}\n  ours   {ours}\n  theirs {theirs}"));
        }
    }
    assert_eq!(cases, 24);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn verify(case: &Value, now: u64) -> Value {
    let chain = case["chain"].clone();
    let rpc = Rpc::local(node(move |method, params| answer(&chain, now, method, params)));
    let mut limits = ChainLimits::default();
    if case["name"].as_str().unwrap().ends_with("factory allowlisted") {
        let signature = case["request"]["paymentPayload"]["payload"]["signature"].as_str().unwrap();
        // ERC-6492: the factory is the first word.
        limits.factories.push(Address::from_slice(&hex::decode(&signature[2..66]).unwrap()[12..]));
    }
    // The official facilitator simulates every payment.
    let options = ChainOptions { limits, simulate: Simulate::Always };
    let chain = Chain::new(84532, rpc, vec![GasKey::from_bytes([0x42; 32]).unwrap()], options);
    let mechanism = Arc::new(ExactEvm::on(vec![chain]));
    let clock = Arc::new(move || Timestamp(now));
    let store = Arc::new(MemoryStore::default());
    let engine = Engine::new(vec![mechanism.clone()], store, clock, EngineOptions::default());
    let router = Service::new(Arc::new(engine), vec![mechanism], String::new, Ready::default()).router();
    let request = Request::post("/verify").header("content-type", "application/json");
    let response =
        router.oneshot(request.body(Body::from(case["request"].to_string())).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}

/// The chain that the vector describes.
fn answer(chain: &Value, now: u64, method: &str, params: &Value) -> Result<Value, String> {
    match method {
        "eth_getCode" if params[0].as_str().is_some_and(|it| it.eq_ignore_ascii_case(ASSET)) => {
            Ok(chain["assetCode"].clone())
        }
        "eth_getCode" => Ok(chain["payerCode"].clone()),
        "eth_call" => {
            let call = &params[0];
            let to: Address = call["to"].as_str().unwrap().parse().unwrap();
            let input: Bytes = call.get("input").unwrap_or(&call["data"]).as_str().unwrap().parse().unwrap();
            execute(chain, now, to, &input).map(|data| json!(data))
        }
        "eth_getBlockByNumber" => Ok(
            json!({ "number": "0x1", "hash": B256::ZERO, "parentHash": B256::ZERO, "timestamp": "0x1", "baseFeePerGas": "0x7" }),
        ),
        "eth_maxPriorityFeePerGas" => Ok(json!("0x1")),
        other => panic!("{other} was not expected"),
    }
}

fn execute(chain: &Value, now: u64, to: Address, input: &[u8]) -> Result<Bytes, String> {
    let reverted = || Err("execution reverted".to_owned());
    let text = |name: &str, usual: &str| chain[name].as_str().unwrap_or(usual).to_owned();
    let selector: [u8; 4] = input[..4].try_into().unwrap();
    let data = match selector {
        Multicall3::aggregate3Call::SELECTOR => {
            let calls = Multicall3::aggregate3Call::abi_decode(input).unwrap().calls;
            let mut results = Vec::new();
            for call in calls {
                match execute(chain, now, call.target, &call.callData) {
                    Ok(data) => results.push(Multicall3::Result { success: true, returnData: data }),
                    Err(_) if call.allowFailure => {
                        results.push(Multicall3::Result { success: false, returnData: Bytes::new() });
                    }
                    Err(error) => return Err(error),
                }
            }
            results.abi_encode()
        }
        Multicall3::getBlockNumberCall::SELECTOR if to == MULTICALL3 => U256::from(1).abi_encode(),
        Multicall3::getBasefeeCall::SELECTOR if to == MULTICALL3 => U256::from(7).abi_encode(),
        Multicall3::getEthBalanceCall::SELECTOR if to == MULTICALL3 => U256::MAX.abi_encode(),
        Multicall3::getCurrentBlockTimestampCall::SELECTOR if to == MULTICALL3 => {
            U256::from(now).abi_encode()
        }
        Eip3009::balanceOfCall::SELECTOR => {
            text("balance", "1000000000000").parse::<U256>().unwrap().abi_encode()
        }
        Eip3009::authorizationStateCall::SELECTOR if chain["noAuthState"] == true => return reverted(),
        Eip3009::authorizationStateCall::SELECTOR => (chain["nonceUsed"] == true).abi_encode(),
        Eip3009::nameCall::SELECTOR => text("name", "USDC").abi_encode(),
        Eip3009::versionCall::SELECTOR => text("version", "2").abi_encode(),
        Erc1271::isValidSignatureCall::SELECTOR => {
            let mut word = [0; 32];
            word[..4].copy_from_slice(&hex::decode(text("erc1271", "0xffffffff")).unwrap());
            word.to_vec()
        }
        _ if chain["simulate"] == "revert" => return reverted(),
        // The settlement itself, or the factory before it.
        _ => Vec::new(),
    };
    Ok(data.into())
}
