//! `/verify` and `/settle` through the real service, with a real engine on the embedded chain.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use groat_chain_evm::proof::Proof;
use groat_chain_evm::typed_data::Domain;
use groat_chain_evm::{Chain, ChainOptions, ExactEvm, GasKey, Rpc, account};
use groat_core::ports::{Mechanism, Store};
use groat_core::{Reason, Timestamp};
use groat_devchain::{ChainClock, Config, DevChain, Mining};
use groat_facilitator::http::{Ready, Service};
use groat_facilitator::{Engine, EngineOptions};
use groat_store::MemoryStore;
use groat_wire::facilitator::read_request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::exact;
use crate::json::at_mut;
use crate::sample::{self, NOW};

/// What the payers have.
const PURSE: u64 = 10_000_000;

/// The bytes as a body. A signature that is the text `sign` is made: a mutation of the terms stays signed.
pub fn target(data: &[u8]) {
    thread_local! {
        static CHAIN: DevChain = chain();
    }
    let body = signed(data).unwrap_or_else(|| data.to_vec());
    CHAIN.with(|chain| {
        let clean = chain.snapshot();
        // One of its own: an engine of the last run would take the reverted chain for a reorganisation, and settle again.
        runtime().block_on(judged(chain, &body));
        assert!(chain.revert(clean));
    });
}

async fn judged(chain: &DevChain, body: &[u8]) {
    let router = service(chain);
    let (status, verified) = ask(&router, "/verify", body).await;
    typed(status, &verified, "isValid", "invalidReason");
    assert!(verified["payer"].is_string() || status == StatusCode::PAYLOAD_TOO_LARGE, "{verified}");
    assert_eq!(sent(chain), 0, "asking moved something");

    let before = balances(chain, body);
    let (status, settled) = ask(&router, "/settle", body).await;
    typed(status, &settled, "success", "errorReason");
    let after = balances(chain, body);
    // What was called good settles, and nothing else does.
    assert_eq!(verified["isValid"] == true, settled["success"] == true, "{verified} {settled}");
    let amount = if settled["success"] == true { asked(body) } else { U256::ZERO };
    assert_eq!(sent(chain), u64::from(!amount.is_zero()), "{settled}");
    if let (Some(before), Some(after)) = (before, after) {
        let [payer, payee] = [0, 1].map(|who| (before[who], after[who]));
        if payer.0 != payee.0 || !amount.is_zero() {
            assert_eq!((payer.0 - payer.1, payee.1 - payee.0), (amount, amount), "{settled}");
        }
    }
    // The same again is the same answer and no second transaction.
    let again = ask(&router, "/settle", body).await;
    assert_eq!(again, (status, settled));
    assert_eq!(sent(chain), u64::from(!amount.is_zero()));
}

/// A verdict is a flag and, where it is no, a reason of ours.
fn typed(status: StatusCode, answer: &Value, flag: &str, reason: &str) {
    let expected = [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE];
    assert!(expected.contains(&status), "{status} {answer}");
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return assert!(answer["error"].is_string(), "{answer}");
    }
    let good = answer[flag].as_bool().unwrap_or_else(|| panic!("no {flag} in {answer}"));
    if good {
        return assert_eq!(status, StatusCode::OK);
    }
    let code = answer[reason].as_str().unwrap_or_else(|| panic!("no {reason} in {answer}"));
    // Version 1 spells one reason otherwise.
    let known = Reason::ALL.iter().any(|reason| reason.code() == code);
    assert!(known || code == "invalid_exact_evm_authorization_value", "{answer}");
}

/// What payer and payee of a body have, when they are two.
fn balances(chain: &DevChain, body: &[u8]) -> Option<[U256; 2]> {
    let request = read_request(body).ok()?;
    let payer = Proof::read(&request.payment.proof).ok()?.authorization.from;
    let payee = account::parse(&request.offer.pay_to)?;
    (payer != payee).then(|| [payer, payee].map(|who| chain.usdc_balance(who)))
}

fn asked(body: &[u8]) -> U256 {
    read_request(body).map(|request| request.offer.amount.as_u256()).unwrap_or_default()
}

async fn ask(router: &Router, path: &str, body: &[u8]) -> (StatusCode, Value) {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_vec())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{status}: no JSON: {bytes:?}")))
}

/// Transactions of the facilitator.
fn sent(chain: &DevChain) -> u64 {
    let count = chain.request("eth_getTransactionCount", serde_json::json!([gas_key().address(), "latest"]));
    u64::from_str_radix(count.unwrap().as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn gas_key() -> GasKey {
    GasKey::from_bytes([0x42; 32]).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn chain() -> DevChain {
    // A block is later than the look at the clock: what begins now is good in it.
    let config = Config { mining: Mining::Instant, clock: ChainClock::Fixed(NOW + 1), ..Config::default() };
    let chain = DevChain::new(config);
    chain.set_balance(gas_key().address(), U256::from(10).pow(U256::from(20)));
    for index in 0..3 {
        let missing = U256::from(PURSE).saturating_sub(chain.usdc_balance(sample::payer(index)));
        chain.mint_usdc(sample::payer(index), missing);
    }
    chain
}

/// A facilitator without a past.
fn service(chain: &DevChain) -> Router {
    let evm = Chain::new(84532, Rpc::local(chain.transport()), vec![gas_key()], ChainOptions::default());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let engine = Engine::new(
        vec![Arc::new(ExactEvm::on(vec![evm]))],
        store,
        Arc::new(|| Timestamp(NOW)),
        EngineOptions {
            wait: Duration::from_secs(20),
            look_interval: Duration::from_millis(5),
            looks_per_broadcast: 3,
            ..EngineOptions::default()
        },
    );
    let mechanisms = vec![Arc::new(ExactEvm::offline()) as Arc<dyn Mechanism>];
    let ready = Ready::default();
    ready.set(true);
    Service::new(Arc::new(engine), mechanisms, String::new, ready).router()
}

/// The body with a real signature in place of the word `sign`.
fn signed(data: &[u8]) -> Option<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(data).ok()?;
    let signature = at_mut(&mut body, &["paymentPayload", "payload", "signature"])?;
    if signature != "sign" {
        return None;
    }
    *signature = "0x".into();
    let proof = Proof::read(body.get("paymentPayload")?.get("payload")?).ok()?;
    let terms = body.get("paymentRequirements")?;
    let text = |value: Option<&Value>| Some(value?.as_str()?.to_owned());
    let extra = terms.get("extra")?;
    let domain = Domain {
        name: text(extra.get("name"))?,
        version: text(extra.get("version"))?,
        chain_id: 84532,
        asset: account::parse(&text(terms.get("asset"))?)?,
    };
    let from: Address = proof.authorization.from;
    let key = (0..3).find(|index| sample::payer(*index) == from)?;
    let signature = exact::signed(key, &domain, &proof.authorization);
    *at_mut(&mut body, &["paymentPayload", "payload", "signature"])? = signature.into();
    serde_json::to_vec(&body).ok()
}
