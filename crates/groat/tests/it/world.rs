//! A chain in a process of its own, a signed payment, and gates and facilitators to take it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use groat_buyer::LocalSigner;
use groat_chain_evm::ExactEvm;
use groat_core::offer::Ask;
use groat_core::ports::{Mechanism, PayRequest, Payer};
use groat_core::{Network, Offer, Payment, Price, Terms, Timestamp};
use groat_wire::{Dialect, facilitator, x402_v2};
use serde_json::{Value, json};

use crate::processes::{Running, groat, http, rpc};

pub(crate) const PAY_TO: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// The event of a token that moved.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
/// The second of the published development keys pays for gas here.
pub(crate) const GAS_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

pub(crate) fn offer() -> Offer {
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
pub(crate) struct World {
    pub(crate) chain: Running,
    pub(crate) payment: Payment,
    signer: LocalSigner,
}

impl World {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let chain = Running::start(groat(data.path()).args(["devchain", "--port", "0", "--json"]));
        let signer = LocalSigner::random().unwrap();
        rpc(&chain.said("chain"), "dev_mintUsdc", &json!([signer.address(), "1000000"]));
        let payment = sign(&signer, 7);
        Self { chain, payment, signer }
    }

    /// Another payment of the same payer.
    pub(crate) fn pay(&self, nonce: u8) -> Payment {
        sign(&self.signer, nonce)
    }

    pub(crate) fn ask(&self, method: &str, params: Value) -> Value {
        rpc(&self.chain.said("chain"), method, &params)
    }

    pub(crate) fn facilitator(&self, data: &Path) -> Running {
        Running::start(&mut self.facilitator_command(data))
    }

    pub(crate) fn facilitator_command(&self, data: &Path) -> Command {
        self.facilitator_at("127.0.0.1:0", data)
    }

    pub(crate) fn facilitator_at(&self, listen: &str, data: &Path) -> Command {
        let url = self.chain.said("chain");
        let arguments = ["facilitator", "--rpc", &url, "--listen", listen, "--json"];
        let mut command = groat(data);
        command.args(arguments).env("GROAT_SIGNER_KEYS", GAS_KEY);
        command
    }

    pub(crate) fn settle(facilitator: &str, payment: &Payment) -> Value {
        let (status, answer) = Self::try_settle(facilitator, payment);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// The same without an opinion of the answer: status and body.
    pub(crate) fn try_settle(facilitator: &str, payment: &Payment) -> (u16, String) {
        let body = facilitator::write_request(payment, &offer());
        http(&format!("{facilitator}/settle"), &["-H", "content-type: application/json", "-d", &body])
    }

    /// The transactions that paid the seller, one for each time, the oldest first.
    pub(crate) fn transfers(&self) -> Vec<String> {
        let payee = format!("0x{:0>64}", PAY_TO[2..].to_lowercase());
        let logs =
            self.ask("eth_getLogs", json!([{ "fromBlock": "0x0", "topics": [TRANSFER, null, payee] }]));
        let of = |log: &Value| log["transactionHash"].as_str().unwrap().to_owned();
        logs.as_array().unwrap().iter().map(of).collect()
    }

    /// Waits until a transaction of ours waits for a block that does not come.
    pub(crate) fn until_broadcast(&self, caller: &JoinHandle<(u16, String)>) {
        for _ in 0..500 {
            assert!(!caller.is_finished(), "answered without a transaction");
            if self.ask("txpool_status", json!([]))["pending"] != "0x0" {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nothing was broadcast in ten seconds");
    }

    pub(crate) fn mined(&self) -> Value {
        self.ask("eth_getTransactionCount", json!(["0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", "latest"]))
    }

    /// A gate that settles by itself and sells `GET /a` and `POST /a` of an API.
    pub(crate) fn gate(&self, data: &Path, listen: &str, upstream: &Upstream) -> Running {
        Running::start(&mut self.gate_command(data, listen, upstream))
    }

    pub(crate) fn gate_command(&self, data: &Path, listen: &str, upstream: &Upstream) -> Command {
        let mut command = gate(data, listen, upstream);
        command.args(["--rpc", &self.chain.said("chain")]).env("GROAT_SIGNER_KEYS", GAS_KEY);
        command
    }

    /// The payment as curl sends it.
    pub(crate) fn field(&self) -> String {
        field(&self.payment)
    }
}

/// A gate that does not know yet who settles.
pub(crate) fn gate(data: &Path, listen: &str, upstream: &Upstream) -> Command {
    let mut command = groat(data);
    command.args([
        "gate",
        "--json",
        "--listen",
        listen,
        "--upstream",
        &format!("http://{}", upstream.address),
    ]);
    command.args(["--pay-to", PAY_TO, "--price", "GET /a=$0.01", "--price", "POST /a=$0.01"]);
    command
}

/// A payment as curl sends it.
pub(crate) fn field(payment: &Payment) -> String {
    let challenge = groat_core::Challenge {
        resource: Default::default(),
        offers: vec![offer()],
        pass_at: None,
        moment: None,
        error: String::new(),
        extensions: Default::default(),
    };
    let mut payment = x402_v2::accept(payment.clone(), &challenge, &challenge.offers[0]);
    payment.resource = None;
    let mut headers = http::HeaderMap::new();
    x402_v2::V2.write_payment(&payment, &mut headers).unwrap();
    format!("PAYMENT-SIGNATURE: {}", headers["payment-signature"].to_str().unwrap())
}

fn sign(signer: &LocalSigner, nonce: u8) -> Payment {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (dialect, offer) = (x402_v2::ID, offer());
    let request = PayRequest {
        dialect: &dialect,
        offer: &offer,
        now: Timestamp(now),
        window_s_max: 300,
        nonce: [nonce; 32],
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ExactEvm::offline().pay(request, signer)).unwrap()
}

/// A server in a thread of this process that says hello, and remembers the heads of the requests.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

/// What it says.
const HALVES: [&str; 2] = ["upstream ", "says hello"];

impl Upstream {
    pub(crate) fn start() -> Self {
        Self::hesitating(Duration::ZERO)
    }

    /// It takes its time between the halves of its answer.
    pub(crate) fn hesitating(between: Duration) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let count = stream.read(&mut request).unwrap_or_default();
                kept.lock().unwrap().push(String::from_utf8_lossy(&request[..count]).into_owned());
                let length = HALVES.concat().len();
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all((head + HALVES[0]).as_bytes());
                std::thread::sleep(between);
                let _ = stream.write_all(HALVES[1].as_bytes());
            }
        });
        Self { address, heads }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}
