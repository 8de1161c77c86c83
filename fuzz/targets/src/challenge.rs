//! A 402 as a buyer reads it: bounded, printable, and nothing is chosen that the policy would not pay.

use std::sync::Arc;

use alloy_primitives::U256;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groat_buyer::{Buyer, Client, DenyAll, Options, Plan, PlannedOffer, fuzzing};
use groat_chain_evm::{ExactEvm, account, assets};
use groat_core::policy::{Decision, Policy};
use groat_core::ports::{SignError, Signer, TypedIntent};
use groat_core::{Offer, Timestamp};
use groat_store::MemoryStore;
use groat_wire::{Dialects, WireError};
use http::{HeaderMap, HeaderName};
use url::Url;

use crate::sample::NOW;

/// The bytes once as the JSON of the header field and once as the body.
pub fn target(data: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("payment-required"), STANDARD.encode(data).parse().unwrap());
    exchange(&headers, b"");
    exchange(&HeaderMap::new(), data);
}

fn exchange(headers: &HeaderMap, body: &[u8]) {
    reads_back(headers, body);
    let url = Url::parse("https://api.example.com/weather").unwrap();
    thread_local! {
        static CLIENT: (tokio::runtime::Runtime, Client) = client();
    }
    let plan = CLIENT.with(|(runtime, client)| runtime.block_on(fuzzing::plan(client, &url, headers, body)));
    match plan {
        Ok(None) => {}
        Ok(Some(plan)) => weighed(&plan),
        Err(error) => printable(&error.to_string(), 80_000),
    }
}

fn printable(text: &str, bytes_max: usize) {
    assert!(text.len() <= bytes_max && !text.chars().any(char::is_control), "{text:?}");
}

/// Everything that a person would be shown is fit to be shown, and the choice is the cheapest that is allowed.
fn weighed(plan: &Plan) {
    printable(&plan.description, 800);
    for planned in &plan.offers {
        let Offer { scheme, asset, pay_to, .. } = &planned.offer;
        for name in [scheme, asset, pay_to] {
            assert!(name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
        }
        if let Some(Decision::Deny(denial)) = &planned.decision {
            printable(&denial.to_string(), 1_000);
        }
        assert_eq!(payable(planned), matches!(planned.decision, Some(Decision::Allow(_))), "{planned:?}");
    }
    let cheapest =
        plan.offers.iter().filter(|planned| payable(planned)).map(|planned| planned.offer.amount).min();
    assert_eq!(plan.chosen().map(|planned| planned.offer.amount), cheapest);
}

/// What the default policy pays to a stranger: at most ten cents of a known dollar on a test network, by EIP-3009.
fn payable(planned: &PlannedOffer) -> bool {
    let offer = &planned.offer;
    let known = account::parse(&offer.asset).and_then(|asset| assets::find(&offer.network, asset));
    let Some(known) = known else { return false };
    // All test networks of the table have dollars of six decimals, but for one.
    let micros = match known.decimals {
        6 => offer.amount.as_u256(),
        18 => offer.amount.as_u256().div_ceil(U256::from(10_u64.pow(12))),
        other => panic!("a token of {other} decimals"),
    };
    let plain = |key: &str, fine: &[&str]| {
        offer.extra.get(key).is_none_or(|value| value.as_str().is_some_and(|text| fine.contains(&text)))
    };
    let method = offer.extra.get("assetTransferMethod").and_then(|method| method.as_str());
    offer.scheme == "exact"
        && offer.network.is_testnet()
        && micros <= 100_000
        && method.is_none_or(|method| method == "eip3009")
        && plain("paymentFlow", &["authorization", "upfront"])
}

/// What was read can be written again and means the same offers.
fn reads_back(headers: &HeaderMap, body: &[u8]) {
    let dialects = Dialects::standard();
    let (id, challenge) = match dialects.read_challenge(headers, body) {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(error) => return told_safely(&error),
    };
    assert!(headers.values().all(|value| value.len() <= 64 * 1024) && body.len() <= 64 * 1024);
    if id.as_str() != "x402-v2" {
        return;
    }
    let parts = dialects.write_challenge(&challenge);
    let again = match dialects.read_challenge(&parts.headers, b"") {
        Ok(again) => again.expect("it was written").1,
        // It grows by what an offer may leave out.
        Err(WireError::TooLarge { .. }) => {
            return assert!(headers.values().any(|value| value.len() > 8 * 1024));
        }
        Err(error) => panic!("what was read cannot be read again: {error}"),
    };
    let bare = |offers: &[Offer]| -> Vec<Offer> {
        offers.iter().map(|offer| Offer { currency: None, verbatim: None, ..offer.clone() }).collect()
    };
    assert_eq!(bare(&again.offers), bare(&challenge.offers));
    assert_eq!(
        (again.resource, again.error, again.extensions),
        (challenge.resource, challenge.error, challenge.extensions)
    );
}

fn told_safely(error: &WireError) {
    printable(&error.to_string(), 300);
}

/// A wallet that is never asked: planning signs nothing.
struct Untouched;

#[async_trait]
impl Signer for Untouched {
    fn account(&self) -> String {
        account::text(crate::sample::payer(0))
    }

    async fn sign(&self, _: &TypedIntent) -> Result<Vec<u8>, SignError> {
        panic!("a plan was signed")
    }
}

fn client() -> (tokio::runtime::Runtime, Client) {
    let buyer = Buyer {
        signer: Arc::new(Untouched),
        policy: Policy::default(),
        store: Arc::new(MemoryStore::default()),
        payers: vec![Arc::new(ExactEvm::offline())],
        dialects: Dialects::standard(),
        clock: Arc::new(|| Timestamp(NOW)),
        approver: Arc::new(DenyAll),
        options: Options::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    (runtime, Client::new(buyer).unwrap())
}
