//! Gas that may be spent for a caller in a day.

use std::net::SocketAddr;
use std::time::Duration;

use alloy_primitives::U256;
use futures_util::future::join_all;
use groat_core::Payment;
use groat_devchain::Mining;
use groat_facilitator::http::{Caller, digest};
use groat_wire::facilitator::write_request;
use serde_json::{Value, json};

use crate::server::serve_callers;
use crate::world::{Payer, World, offer, payment};

async fn serve(world: &World, gas_per_day: u64) -> SocketAddr {
    let caller = Caller {
        name: "shop".into(),
        digest: digest("groat_key"),
        networks: Vec::new(),
        assets: Vec::new(),
        pay_to: Vec::new(),
        gas_per_day: Some(gas_per_day),
    };
    serve_callers(world, vec![caller]).await
}

/// Status, `Retry-After` and body.
async fn post(server: SocketAddr, path: &str, payment: &Payment) -> (u16, u64, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = reqwest::Client::new().post(format!("http://{server}{path}")).bearer_auth("groat_key");
    let request = request.header("content-type", "application/json").body(write_request(payment, &offer()));
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let after = answer.headers().get("retry-after").map_or("0", |after| after.to_str().unwrap());
    let after = after.parse().unwrap();
    (status, after, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

async fn settles(server: SocketAddr, payment: &Payment) -> bool {
    match post(server, "/settle", payment).await {
        (200, _, answer) if answer["success"] == true => true,
        (503, _, answer) if answer["error"] == "gas_budget_spent" => false,
        (status, _, answer) => panic!("{status} {answer}"),
    }
}

/// What the chain says that a payment took.
fn gas_used(world: &World, transaction: &Value) -> u64 {
    let receipt = world.chain.request("eth_getTransactionReceipt", json!([transaction])).unwrap();
    u64::from_str_radix(&receipt["gasUsed"].as_str().unwrap()[2..], 16).unwrap()
}

fn later(world: &World, payer: &Payer, nonce: u8) -> Payment {
    let mut authorization = payer.authorization(nonce);
    authorization.valid_before = U256::from(world.chain.now() + 60);
    payment(&authorization, &payer.sign(&authorization))
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_that_was_spent_counts_until_the_day_is_over_and_survives_a_restart() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let budget = 450_000;
    let server = serve(&world, budget).await;
    let (mut spent, mut nonce) = (0, 1);
    let mut first = None;
    loop {
        let payment = payer.pay(nonce);
        let (status, _, answer) = post(server, "/settle", &payment).await;
        if status == 503 {
            assert_eq!(answer["error"], "gas_budget_spent");
            break;
        }
        assert_eq!((status, &answer["success"]), (200, &true.into()), "{answer}");
        spent += gas_used(&world, &answer["transaction"]);
        first.get_or_insert(payment);
        nonce += 1;
        assert!(nonce < 20, "{spent}");
    }
    // Never more than the budget, and what was left would not have been enough for one more.
    assert!(spent <= budget && budget - spent <= 100_000, "{spent}");
    let paid = world.received();
    // Told before anybody works for it.
    let (status, after, answer) = post(server, "/verify", &payer.pay(nonce)).await;
    assert_eq!((status, &answer["error"]), (503, &"gas_budget_spent".into()));
    assert_eq!(after, 86_400 - world.chain.now() % 86_400);
    let restarted = serve(&world, budget).await;
    assert!(!settles(restarted, &payer.pay(nonce)).await);
    // What is settled keeps its answer.
    assert!(settles(restarted, &first.unwrap()).await);
    assert_eq!(world.received(), paid);
    world.chain.increase_time(after);
    world.chain.mine(1);
    for server in [server, restarted] {
        nonce += 1;
        assert!(settles(server, &later(&world, &payer, nonce)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_called_good_has_its_gas_and_what_is_not_settled_gives_it_back() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    // Enough for one.
    let server = serve(&world, 100_000).await;
    let mut wrong = payer.authorization(1);
    let signature = payer.sign(&wrong);
    wrong.nonce = payer.authorization(9).nonce;
    let refused = post(server, "/settle", &payment(&wrong, &signature)).await;
    assert_eq!((refused.0, &refused.2["success"]), (200, &false.into()));
    let (good, next) = (payer.pay(2), payer.pay(3));
    for _ in 0..3 {
        assert_eq!(post(server, "/verify", &good).await.2["isValid"], true);
        assert_eq!(post(server, "/verify", &next).await.0, 503);
        assert!(!settles(server, &next).await);
    }
    // All copies are one payment.
    let copies = join_all((0..20).map(|_| settles(server, &good))).await;
    assert!(copies.into_iter().all(|settled| settled));
    assert_eq!((world.received(), world.transactions()), (U256::from(10_000), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_nobody_comes_for_is_free_again() {
    let world = World::new(Mining::Instant);
    let payer = world.payer(1);
    let server = serve(&world, 100_000).await;
    assert_eq!(post(server, "/verify", &payer.pay(1)).await.2["isValid"], true);
    assert!(!settles(server, &payer.pay(2)).await);
    world.chain.increase_time(61);
    world.chain.mine(1);
    assert!(settles(server, &later(&world, &payer, 3)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_in_one_transaction_share_its_gas() {
    let world = World::new(Mining::Manual);
    let server = serve(&world, 10_000_000).await;
    // A signer has at most 16 transactions on their way: before a block comes, the others have gathered.
    let payments: Vec<_> = (1..=40).map(|who| world.payer(who).pay(1)).collect();
    let miner = world.chain.clone();
    let mining = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            miner.mine(1);
        }
    });
    let answers = join_all(payments.iter().map(|payment| post(server, "/settle", payment))).await;
    mining.abort();
    let transactions: std::collections::BTreeSet<_> =
        answers.iter().map(|(_, _, answer)| answer["transaction"].to_string()).collect();
    assert!(transactions.len() < payments.len(), "{answers:?}");
    let took: u64 = transactions
        .iter()
        .map(|transaction| gas_used(&world, &serde_json::from_str(transaction).unwrap()))
        .sum();
    let mut shares = 0;
    for payment in &payments {
        let authorization = &payment.proof["authorization"];
        let (from, nonce) =
            (authorization["from"].as_str().unwrap(), authorization["nonce"].as_str().unwrap());
        let asset = offer().asset;
        let url =
            format!("http://{server}/payments?network=eip155:84532&asset={asset}&from={from}&nonce={nonce}");
        let answer = reqwest::Client::new().get(url).bearer_auth("groat_key").send().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        shares += answer["gas"].as_u64().unwrap();
    }
    // Each share is rounded down.
    assert!(shares <= took && took - shares < 40, "{shares} {took}");
}
