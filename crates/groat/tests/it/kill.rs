//! Processes killed at the worst moment: the same payment gets the same transaction.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use groat_buyer::LocalSigner;
use groat_chain_evm::ExactEvm;
use groat_core::offer::Ask;
use groat_core::ports::{Mechanism, PayRequest, Payer};
use groat_core::{Network, Offer, Payment, Price, Terms, Timestamp};
use groat_wire::{Dialect, facilitator, x402_v2};
use serde_json::{Value, json};

use crate::processes::{Running, groat, http, rpc};

const PAY_TO: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// The second of the published development keys pays for gas here.
const GAS_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

fn offer() -> Offer {
    let terms = Terms {
        scheme: "exact".into(),
        network: Network::eip155(84532),
        price: Ask::Price(Price::parse("$0.01").unwrap()),
        pay_to: PAY_TO.into(),
        // What the gate asks for unless it is told otherwise.
        timeout_s: 60,
    };
    ExactEvm::offline().offer(&terms).unwrap().unwrap()
}

/// A chain in a process of its own, a payer with money, and a signed payment.
struct World {
    chain: Running,
    payment: Payment,
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let chain = Running::start(groat(data.path()).args(["devchain", "--port", "0", "--json"]));
        let signer = LocalSigner::random().unwrap();
        rpc(&chain.said("chain"), "dev_mintUsdc", &json!([signer.address(), "1000000"]));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let (dialect, offer) = (x402_v2::ID, offer());
        let request = PayRequest {
            dialect: &dialect,
            offer: &offer,
            now: Timestamp(now),
            window_s_max: 300,
            nonce: [7; 32],
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let payment = runtime.block_on(ExactEvm::offline().pay(request, &signer)).unwrap();
        Self { chain, payment }
    }

    fn ask(&self, method: &str, params: Value) -> Value {
        rpc(&self.chain.said("chain"), method, &params)
    }

    fn facilitator(&self, data: &Path) -> Running {
        let url = self.chain.said("chain");
        let arguments = ["facilitator", "--rpc", &url, "--listen", "127.0.0.1:0", "--json"];
        Running::start(groat(data).args(arguments).env("GROAT_SIGNER_KEYS", GAS_KEY))
    }

    fn settle(facilitator: &str, payment: &Payment) -> Value {
        let body = facilitator::write_request(payment, &offer()).to_string();
        let (status, answer) =
            http(&format!("{facilitator}/settle"), &["-H", "content-type: application/json", "-d", &body]);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Waits until a transaction of ours waits for a block that does not come.
    fn until_broadcast(&self, caller: &JoinHandle<(u16, String)>) {
        for _ in 0..500 {
            assert!(!caller.is_finished(), "answered without a transaction");
            if self.ask("txpool_status", json!([]))["pending"] != "0x0" {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("nothing was broadcast in ten seconds");
    }

    fn mined(&self) -> Value {
        self.ask("eth_getTransactionCount", json!(["0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", "latest"]))
    }
}

#[test]
fn kp6_a_facilitator_killed_after_broadcast_finishes_the_same_transaction() {
    let world = World::new();
    let data = tempfile::tempdir().unwrap();
    let before = world.facilitator(data.path());
    world.ask("dev_hold", json!([]));
    let url = before.said("facilitator");
    let payment = world.payment.clone();
    let caller = std::thread::spawn(move || {
        let body = facilitator::write_request(&payment, &offer()).to_string();
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
    let upstream = upstream();
    let gate = |folder: &Path, listen: &str| {
        let (url, upstream) = (world.chain.said("chain"), format!("http://{}", upstream.0));
        let arguments = [
            "gate",
            "--rpc",
            &url,
            "--listen",
            listen,
            "--upstream",
            &upstream,
            "--price",
            "GET /a=$0.01",
            "--pay-to",
            PAY_TO,
            "--json",
        ];
        Running::start(groat(folder).args(arguments).env("GROAT_SIGNER_KEYS", GAS_KEY))
    };
    let before = gate(data.path(), "127.0.0.1:0");
    let gate_url = before.said("gate");
    let header = header(&world.payment);
    world.ask("dev_hold", json!([]));
    let url = format!("{gate_url}/a");
    let (asked, field) = (url.clone(), header.clone());
    let caller = std::thread::spawn(move || http(&asked, &["-H", &field]));
    world.until_broadcast(&caller);
    before.kill();
    assert_eq!(caller.join().unwrap().0, 0);

    let _after = gate(data.path(), gate_url.trim_start_matches("http://"));
    world.ask("dev_release", json!([]));
    let (status, body) = http(&url, &["-i", "-H", &header]);
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("upstream says hello"), "{body}");
    assert_eq!(world.mined(), "0x1");
    // And once more, from the book.
    let again = http(&url, &["-i", "-H", &header]);
    assert_eq!(again.0, 200);
    assert_eq!(world.mined(), "0x1");
    assert_eq!(
        upstream.1.load(std::sync::atomic::Ordering::SeqCst),
        1,
        "the answer was kept before the money moved"
    );
}

fn header(payment: &Payment) -> String {
    let mut payment = payment.clone();
    let challenge = groat_core::Challenge {
        resource: Default::default(),
        offers: vec![offer()],
        error: String::new(),
        extensions: Default::default(),
    };
    payment = x402_v2::accept(payment, &challenge, &challenge.offers[0]);
    payment.resource = None;
    let mut headers = http::HeaderMap::new();
    x402_v2::V2.write_payment(&payment, &mut headers).unwrap();
    format!("PAYMENT-SIGNATURE: {}", headers["payment-signature"].to_str().unwrap())
}

/// A server that counts and says hello, in a thread of this process.
fn upstream() -> (std::net::SocketAddr, Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hits = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let body = "upstream says hello";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (address, hits)
}
