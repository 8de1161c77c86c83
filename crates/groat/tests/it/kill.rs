//! Processes killed at the worst moment, and many callers at once: the same payment gets the same transaction.

use groat_chain_evm::ExactEvm;
use groat_core::ports::Mechanism;
use groat_wire::facilitator;
use serde_json::{Value, json};

use crate::processes::{dev, groat, http, rpc};
use crate::world::{Upstream, World, offer};

#[test]
fn kp6_a_facilitator_killed_after_broadcast_finishes_the_same_transaction() {
    let world = World::new();
    let data = tempfile::tempdir().unwrap();
    let before = world.facilitator(data.path());
    world.ask("dev_hold", json!([]));
    let url = before.said("facilitator");
    let payment = world.payment.clone();
    let caller = std::thread::spawn(move || {
        let body = facilitator::write_request(&payment, &offer());
        http(&format!("{url}/settle"), &["-H", "content-type: application/json", "-d", &body])
    });
    world.until_broadcast(&caller);
    let id = ExactEvm::offline().key(&world.payment, &offer()).unwrap().0.id();
    let known = http(&format!("{}/payments/{id}", before.said("facilitator")), &[]).1;
    let known: Value = serde_json::from_str(&known).unwrap();
    assert_eq!(known["state"], "submitted");
    before.kill();
    assert_eq!(caller.join().unwrap().0, 0, "the caller lost its answer");

    let after = world.facilitator(data.path());
    assert_eq!(after.said("openPayments"), "1");
    world.ask("dev_release", json!([]));
    let answer = World::settle(&after.said("facilitator"), &world.payment);
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(answer["transaction"], known["transaction"]);
    assert_eq!(world.mined(), "0x1");
}

#[test]
fn r12_a_gate_killed_after_broadcast_gives_the_same_payment_its_answer() {
    let world = World::new();
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let gate = |listen: &str| world.gate(data.path(), listen, &upstream);
    let before = gate("127.0.0.1:0");
    let gate_url = before.said("gate");
    let header = world.field();
    world.ask("dev_hold", json!([]));
    let url = format!("{gate_url}/a");
    let (asked, field) = (url.clone(), header.clone());
    let caller = std::thread::spawn(move || http(&asked, &["-H", &field]));
    world.until_broadcast(&caller);
    before.kill();
    assert_eq!(caller.join().unwrap().0, 0);

    let _after = gate(gate_url.trim_start_matches("http://"));
    world.ask("dev_release", json!([]));
    let (status, body) = http(&url, &["-i", "-H", &header]);
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("upstream says hello"), "{body}");
    assert_eq!(world.mined(), "0x1");
    // And once more, from the book.
    let again = http(&url, &["-i", "-H", &header]);
    assert_eq!(again.0, 200);
    assert_eq!(world.mined(), "0x1");
    assert_eq!(upstream.heads().len(), 1, "the answer was kept before the money moved");
}

#[test]
fn forty_copies_of_one_payment_are_one_run_and_one_transaction() {
    let world = World::new();
    let data = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let gate = world.gate(data.path(), "127.0.0.1:0", &upstream);
    let (url, field) = (format!("{}/a", gate.said("gate")), world.field());
    let buy = || http(&url, &["-X", "POST", "-d", "one coffee", "-H", &field]);
    let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..40).map(|_| scope.spawn(buy)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    for (status, body) in &answers {
        assert_eq!((*status, body.as_str()), (200, "upstream says hello"));
    }
    assert_eq!(upstream.heads().len(), 1);
    assert_eq!(world.mined(), "0x1");
}

#[test]
fn twenty_settles_of_one_payment_without_blocks_are_one_transaction() {
    let world = World::new();
    let data = tempfile::tempdir().unwrap();
    let facilitator = world.facilitator(data.path());
    let url = facilitator.said("facilitator");
    world.ask("dev_hold", json!([]));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (url, payment) = (url.clone(), world.payment.clone());
            std::thread::spawn(move || World::settle(&url, &payment))
        })
        .collect();
    let waiting = || world.ask("txpool_status", json!([]))["pending"].clone();
    for _ in 0..1_000 {
        if waiting() != "0x0" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Time for the others to make a mistake.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(waiting(), "0x1");
    world.ask("dev_release", json!([]));
    let answers: Vec<Value> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer["success"] == true), "{answers:?}");
    let receipt = world.ask("eth_getTransactionReceipt", json!([answers[0]["transaction"]]));
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(world.mined(), "0x1");
}

#[test]
fn kp18_a_buyer_killed_while_it_waits_sends_the_same_payment_again() {
    let data = tempfile::tempdir().unwrap();
    let dev = dev(data.path());
    let (url, chain) = (format!("{}/weather", dev.said("api")), dev.said("chain"));
    let pay = || {
        let mut command = groat(data.path());
        command.args(["pay", "--wallet", "dev", "--json", &url]);
        command
    };
    let blocks = || rpc(&chain, "eth_blockNumber", &json!([]));
    rpc(&chain, "dev_hold", &json!([]));
    let mut killed = pay().stdout(std::process::Stdio::null()).spawn().unwrap();
    while rpc(&chain, "txpool_status", &json!([]))["pending"] == "0x0" {
        assert!(killed.try_wait().unwrap().is_none(), "ended without a transaction");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();

    rpc(&chain, "dev_release", &json!([]));
    let again = pay().output().unwrap();
    let answer: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&answer["status"], &answer["payment"]["resent"]), (&json!(200), &json!(true)), "{answer}");
    assert_eq!(blocks(), "0x1");
    // What was bought is bought: the next command is another purchase.
    let next: Value = serde_json::from_slice(&pay().output().unwrap().stdout).unwrap();
    assert_eq!(next["payment"]["resent"], false, "{next}");
    assert_eq!(blocks(), "0x2");
}
