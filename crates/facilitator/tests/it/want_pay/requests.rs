//! `/v1/requests` and who watches for their payment: told once, matched by the contract's events, taken back by a
//! reorganisation.

use groat_chain_evm::pay_proof::PayProofEvm;
use groat_chain_evm::{Chain, ChainOptions, Rpc};
use groat_core::books::{Book, EventKind};
use groat_core::offer::Ask;
use groat_core::ports::{Facilitator, Mechanism, Observer, RequestChain, Store};
use groat_core::{Network, Price, Terms, Timestamp};
use groat_devchain::{Mining, X402_PAY};
use groat_wire::Dialect;
use groat_wire::want_pay::{WantPay, pay_header};
use serde_json::{Value, json};

use super::{SELLER, Shop, body, request};
use crate::world::NOW;

async fn events(shop: &Shop) -> Vec<(EventKind, Option<String>)> {
    let events = shop.engine.events(0, 100).await.unwrap();
    events.into_iter().map(|event| (event.kind, event.request)).collect()
}

async fn cursor(shop: &Shop) -> u64 {
    let records = shop.store.scan(Book::Cursors, None, false, 9).await.unwrap();
    let cursor: Value = serde_json::from_str(&records[0].body).unwrap();
    cursor["next"].as_u64().unwrap()
}

#[tokio::test]
async fn a_request_is_told_once_and_another_under_its_id_is_refused() {
    let shop = Shop::new(Mining::Instant);
    let asked = request("pay_1");
    let first = shop.post("/v1/requests", &body(&asked)).await;
    let expected = json!({
        "id": "pay_1", "state": "open", "seller": SELLER, "amount": "0.01", "currency": "USDC",
        "chain": "base-sepolia", "expires": NOW + 300,
    });
    assert_eq!((first.status, &first.body), (201, &expected));
    let again = shop.restart().post("/v1/requests", &body(&asked)).await;
    assert_eq!((again.status, &again.body), (200, &expected));
    let mut other = asked.clone();
    other.nonce = "f".repeat(32);
    let answer = shop.post("/v1/requests", &body(&other)).await;
    assert_eq!((answer.status, &answer.body["code"]), (409, &json!("request_conflict")));
    assert_eq!(shop.get("/v1/requests/pay_2").await.status, 404);
    assert_eq!(shop.get("/v1/requests/pay%201").await.status, 400);
    shop.chain.set_time(NOW + 301);
    let answer = shop.post("/v1/requests", &body(&request("pay_3"))).await;
    assert_eq!((answer.status, &answer.body["code"]), (422, &json!("expired")));
    let answer = shop.post("/v1/requests", &body(&asked)).await;
    assert_eq!(answer.status, 200, "told in its time: {answer:?}");
}

#[tokio::test]
async fn a_request_is_known_to_be_paid_without_anybody_showing_a_proof() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    shop.post("/v1/requests", &body(&asked)).await;
    shop.requests.look().await.unwrap();
    assert_eq!(shop.state("pay_1").await, "open");
    let tx = shop.paid(&buyer, &asked);
    shop.requests.look().await.unwrap();
    let answer = shop.get("/v1/requests/pay_1").await.body;
    assert_eq!((&answer["state"], &answer["tx"]), (&json!("settled"), &json!(tx.to_string())));
    assert_eq!(
        (&answer["buyer"], &answer["confirmations"]),
        (&json!(buyer.address().to_checksum(None)), &json!(1))
    );
    assert_eq!(events(&shop).await, [(EventKind::Settled, Some("pay_1".to_owned()))]);
    assert_eq!(shop.engine.events(0, 1).await.unwrap()[0].block, Some(shop.chain.block_number()));
    // Told once, whoever looks again.
    shop.restart().requests.look().await.unwrap();
    assert_eq!(events(&shop).await.len(), 1);
    // With the id alone a proof is verified.
    let question = json!({ "proof": buyer.proof(&asked, tx), "requestId": "pay_1", "seller": SELLER });
    assert_eq!(shop.post("/v1/verify", &question).await.body["valid"], true);
}

#[tokio::test]
async fn t07_a_payment_of_another_amount_or_payee_to_the_same_id_settles_nothing() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    shop.post("/v1/requests", &body(&asked)).await;
    for (key, value) in
        [("amount", json!("0.000001")), ("seller", json!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"))]
    {
        let mut other = body(&asked);
        other.as_object_mut().unwrap().remove("requestHash");
        other[key] = value;
        shop.paid(&buyer, &super::PaymentRequest::from_value(&other).unwrap());
    }
    shop.requests.look().await.unwrap();
    assert_eq!(shop.state("pay_1").await, "open");
    shop.paid(&buyer, &asked);
    shop.requests.look().await.unwrap();
    assert_eq!(shop.state("pay_1").await, "settled");
}

#[tokio::test]
async fn a_request_that_is_told_of_after_its_payment_is_found_paid() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    shop.paid(&buyer, &asked);
    shop.chain.mine(5);
    shop.requests.look().await.unwrap();
    shop.post("/v1/requests", &body(&asked)).await;
    shop.requests.look().await.unwrap();
    assert_eq!(shop.state("pay_1").await, "settled");
}

#[tokio::test]
async fn the_cursor_never_passes_an_error_and_blocks_of_a_pause_are_read() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    shop.post("/v1/requests", &body(&asked)).await;
    shop.requests.look().await.unwrap();
    let before = cursor(&shop).await;
    shop.paid(&buyer, &asked);
    shop.chain.mine(2_500);
    shop.chain.faults(|faults| faults.fail_next.insert("eth_getLogs".into(), (1, -32_000)));
    shop.requests.look().await.unwrap_err();
    assert_eq!((cursor(&shop).await, shop.state("pay_1").await.as_str()), (before, "open"));
    shop.restart().requests.look().await.unwrap();
    assert_eq!(shop.state("pay_1").await, "settled");
    assert_eq!(cursor(&shop).await, shop.chain.block_number() + 1);
}

#[tokio::test]
async fn a_reorganisation_takes_a_payment_back_and_finds_it_again() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    shop.post("/v1/requests", &body(&asked)).await;
    shop.requests.look().await.unwrap();
    let depth = shop.chain.block_number();
    shop.paid(&buyer, &asked);
    shop.requests.look().await.unwrap();
    assert_eq!(shop.state("pay_1").await, "settled");
    // The block is gone, and what it held is forgotten.
    shop.chain.reorg(shop.chain.block_number() - depth, true);
    shop.chain.mine(3);
    // Another process: what this one remembers of the chain is up to a second old.
    let shop = shop.restart();
    shop.requests.look().await.unwrap();
    assert_eq!(shop.state("pay_1").await, "open");
    let told = Some("pay_1".to_owned());
    let undone = [(EventKind::Settled, told.clone()), (EventKind::Reverted, told.clone())];
    assert_eq!(events(&shop).await, undone);
    // The buyer sends it again.
    let tx = shop.paid(&buyer, &asked);
    shop.requests.look().await.unwrap();
    let answer = shop.get("/v1/requests/pay_1").await.body;
    assert_eq!((&answer["state"], &answer["tx"]), (&json!("settled"), &json!(tx.to_string())));
    assert_eq!(events(&shop).await.last(), Some(&(EventKind::Settled, told)));
}

#[tokio::test]
async fn a_request_that_nobody_paid_in_its_time_expires_by_the_chain_s_clock() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    shop.post("/v1/requests", &body(&asked)).await;
    shop.post("/v1/requests", &body(&request("pay_2"))).await;
    shop.paid(&buyer, &asked);
    // Not read before its time was over, and paid in time all the same.
    shop.chain.set_time(NOW + 302);
    shop.chain.mine(1);
    shop.requests.look().await.unwrap();
    assert_eq!(shop.state("pay_1").await, "settled");
    assert_eq!(shop.state("pay_2").await, "open", "looked for first");
    shop.requests.look().await.unwrap();
    assert_eq!(shop.state("pay_2").await, "expired");
    assert_eq!(events(&shop).await.len(), 1);
}

/// Behind one URL there may be a node that does not have the newest blocks: by number it says that nothing happened in them.
#[tokio::test]
async fn a_node_that_lacks_a_block_stops_the_reading_and_hides_nothing() {
    let shop = Shop::new(Mining::Instant);
    let tx = shop.paid(&shop.buyer(1), &request("pay_1"));
    let behind = |chain: groat_devchain::DevChain, lacks: bool| {
        crate::node::node(move |method, params| match method {
            "eth_getLogs" if params[0].get("fromBlock").is_some() => Ok(json!([])),
            "eth_getLogs" if lacks => Err("unknown block".into()),
            _ => chain.request(method, params.clone()).map_err(|error| format!("{error:?}")),
        })
    };
    let paid = async |lacks: bool| {
        let rpc = Rpc::local(behind(shop.chain.clone(), lacks));
        let evm = Chain::new(84532, rpc, Vec::new(), ChainOptions::default());
        let network = Network::eip155(84532);
        let pay = PayProofEvm::knowing(vec![(network.clone(), X402_PAY)]).on(vec![evm]);
        pay.paid(&network, 1, shop.chain.block_number(), None).await
    };
    assert!(paid(true).await.is_err());
    let found = paid(false).await.unwrap();
    assert_eq!(
        found.iter().map(|event| event.paid.transaction.as_str()).collect::<Vec<_>>(),
        [tx.to_string()]
    );
}

/// Whoever hands a payment in may say anything beside a signature over something else.
#[tokio::test]
async fn t07_a_signature_over_one_request_proves_no_payment_of_another() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked, other) = (shop.buyer(1), request("pay_1"), request("pay_2"));
    let tx = shop.paid(&buyer, &asked);
    let network = Network::eip155(84532);
    let evm = Chain::new(84532, Rpc::local(shop.chain.transport()), Vec::new(), ChainOptions::default());
    let pay = PayProofEvm::knowing(vec![(network.clone(), X402_PAY)]).on(vec![evm]);
    let price = Ask::Price(Price::parse("$0.01").unwrap());
    let (scheme, pay_to) = ("x402-pay".into(), SELLER.into());
    let offer = pay.offer(&Terms { scheme, network, price, pay_to, timeout_s: 300 }).unwrap().unwrap();
    let read = |token: &str| {
        let mut headers = http::HeaderMap::new();
        pay_header::write(token, &mut headers).unwrap();
        WantPay::default().read_payment(&headers).unwrap().unwrap()
    };
    let good = read(&buyer.proof(&asked, tx));
    assert!(pay.observe(&good, &offer, Timestamp(NOW)).await.is_ok());
    // The payer has signed for another request; the claims beside it are those of the one that is paid.
    let mut forged = read(&buyer.proof(&other, tx));
    forged.proof["claims"] = good.proof["claims"].clone();
    assert!(pay.observe(&forged, &offer, Timestamp(NOW)).await.is_err());
}
