//! Unmodified official clients, servers and facilitators, each with ours. Needs what `interop/setup.sh` installs.

use std::process::Command;

use serde_json::{Value, json};

use crate::processes::{Running, dev, groat, interop, rpc, text};

/// Any key will do; the sample universe gives it play money.
const BUYER_KEY: &str = "0x7777777777777777777777777777777777777777777777777777777777777777";
const BUYER: &str = "0xAe72A48c1a36bd18Af168541c53037965d26e4A8";
const FACILITATOR_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// x402-mock is paid at the account that settles.
const TOKENS_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
const SELLER_OF_TOKENS: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
/// Nobody else is paid there.
const MPPX_PAY_TO: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
/// The event of a token that moved.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
const PAY_TO: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";

/// A script of `interop/` with the interpreter that has its packages.
pub(crate) fn peer(script: &str) -> Command {
    let folder = interop();
    let program = match script {
        _ if script.ends_with(".mjs") => "node".into(),
        _ if script.ends_with(".sh") => "bash".into(),
        _ if script.contains("mock") => folder.join(".venv-mock/bin/python"),
        _ if script.contains("-v1") => folder.join(".venv-v1/bin/python"),
        _ => folder.join(".venv-v2/bin/python"),
    };
    let mut command = Command::new(program);
    command.arg(folder.join(script)).current_dir(&folder).env("STOP_WITH_STDIN", "1");
    let signs = folder.join(".venv-mock/bin/python");
    command.env("SIGN", format!("{} sign-permit.py", signs.display())).env("PAYMENT_MANAGER", MANAGER);
    command
}

/// The dialect that an official client or server speaks, as our buyer calls it.
fn dialect_of(script: &str) -> &'static str {
    match script {
        _ if script.contains("agentxpay") => "agentxpay",
        _ if script.contains("mppx") => "mpp",
        _ if script.contains("mock") || script.contains("header-only") => "token",
        _ if script.contains("-v1") => "x402-v1",
        _ => "x402-v2",
    }
}

/// Clients of the other dialects.
const OTHERS: [&str; 4] =
    ["clients/x402-mock.py", "header-only.sh", "clients/agentxpay.mjs", "clients/mppx.mjs"];
/// Where the sample universe has the contract for payments of requests.
const PAY_CONTRACT: &str = "0x7834303200000000000000000000000000000001";
/// Where the sample universe has the payment manager.
const MANAGER: &str = "0xa9E4700000000000000000000000000000000002";

const CLIENTS: [&str; 4] = [
    "clients/x402-fetch-v2.mjs",
    "clients/x402-httpx-v2.py",
    "clients/x402-fetch-v1.mjs",
    "clients/x402-httpx-v1.py",
];

struct Row {
    buyer: String,
    dialect: &'static str,
    seller: String,
    facilitator: String,
    request: &'static str,
    outcome: Result<String, String>,
}

struct Matrix {
    universe: Running,
    rows: Vec<Row>,
}

impl Matrix {
    /// An official client asks for something.
    fn official_buyer(
        &mut self,
        script: &str,
        seller: &str,
        facilitator: &str,
        url: &str,
        request: &'static str,
    ) {
        let chain = self.universe.said("chain");
        let (method, path) = request.split_once(' ').unwrap();
        let mut command = peer(script);
        command.envs([
            ("URL", format!("{url}{path}").as_str()),
            ("METHOD", method),
            ("PRIVATE_KEY", BUYER_KEY),
            ("RPC_URL", &chain),
        ]);
        if method == "POST" {
            command.env("BODY", r#"{"cups":1}"#);
        }
        let output = command.output().unwrap();
        let (stdout, stderr) = text(&output);
        let line: Value = serde_json::from_str(stdout.trim()).unwrap_or_else(|_| json!({ "error": stderr }));
        let buyer = format!(
            "{} {}",
            line["client"].as_str().unwrap_or(script),
            line["version"].as_str().unwrap_or("?")
        );
        let outcome = match (output.status.success(), line["receipt"]["transaction"].as_str()) {
            (true, Some(transaction)) => self.on_chain(transaction),
            _ => Err(line.to_string()),
        };
        self.rows.push(Row {
            buyer,
            dialect: dialect_of(script),
            seller: seller.into(),
            facilitator: facilitator.into(),
            request,
            outcome,
        });
    }

    /// Our client asks for something.
    fn our_buyer(
        &mut self,
        dialect: &'static str,
        seller: &str,
        facilitator: &str,
        url: &str,
        request: &'static str,
    ) {
        let (method, path) = request.split_once(' ').unwrap();
        let url = format!("{url}{path}");
        // A wallet that has never been here: it has no pass, and remembers no payee.
        let data = tempfile::tempdir().unwrap();
        let mut command = groat(data.path());
        command.env("GROAT_PRIVATE_KEY", BUYER_KEY);
        command.args(["pay", "--json", "--dialect", dialect, "-X", method, &url]);
        let chain = format!("eip155:84532={}", self.universe.said("chain"));
        let manager = format!("eip155:84532={MANAGER}");
        command.args(["--rpc", &chain, "--payment-manager", &manager, "--coin-price", "eip155:84532=$2500"]);
        command.args(["--pay-contract", &format!("eip155:84532={PAY_CONTRACT}")]);
        if method == "POST" {
            command.args(["-H", "content-type: application/json", "-d", r#"{"cups":1}"#]);
        }
        let output = command.output().unwrap();
        let (stdout, stderr) = text(&output);
        let answer: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| json!({ "error": stderr }));
        let outcome = match answer["payment"]["transaction"].as_str() {
            Some(transaction) if answer["status"] == 200 => self.on_chain(transaction),
            // These sellers say nothing of transactions, or not on which chain they are.
            None if answer["status"] == 200 && seller.contains("x402-mock") => self.paid_to(SELLER_OF_TOKENS),
            None if answer["status"] == 200 && seller.contains("mppx") => self.paid_anew(MPPX_PAY_TO),
            _ => Err(answer.to_string()),
        };
        self.rows.push(Row {
            buyer: ours(),
            dialect,
            seller: seller.into(),
            facilitator: facilitator.into(),
            request,
            outcome,
        });
    }

    /// A receipt is believed when the chain says the same.
    fn on_chain(&self, transaction: &str) -> Result<String, String> {
        let receipt = rpc(&self.universe.said("chain"), "eth_getTransactionReceipt", &json!([transaction]));
        if receipt["status"] == "0x1" {
            Ok(transaction.to_owned())
        } else {
            Err(format!("{transaction} is not on the chain"))
        }
    }
}

impl Matrix {
    /// The newest transfer of the dollar to an account, looked for until it is there: some settle after they have sold.
    fn paid_to(&self, account: &str) -> Result<String, String> {
        let topic = format!("0x{:0>64}", account[2..].to_lowercase());
        let filter = json!([{ "fromBlock": "0x0", "topics": [TRANSFER, null, topic] }]);
        for _ in 0..200 {
            let logs = rpc(&self.universe.said("chain"), "eth_getLogs", &filter);
            if let Some(transaction) =
                logs.as_array().and_then(|logs| logs.last()?["transactionHash"].as_str())
            {
                return self.on_chain(transaction);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Err("no money has moved".to_owned())
    }
}

impl Matrix {
    /// The same, and no row has named it before: for sellers who settle before they answer.
    fn paid_anew(&self, account: &str) -> Result<String, String> {
        let transaction = self.paid_to(account)?;
        match self.rows.iter().any(|row| row.outcome.as_ref() == Ok(&transaction)) {
            true => Err("no money has moved for this".to_owned()),
            false => Ok(transaction),
        }
    }
}

fn ours() -> String {
    format!("groat {}", env!("CARGO_PKG_VERSION"))
}

fn named(server: &Running) -> String {
    format!("{} {}", server.said("peer"), server.said("version"))
}

fn url(server: &Running) -> String {
    format!("http://127.0.0.1:{}", server.ready["listening"])
}

#[test]
#[ignore = "needs the packages that interop/setup.sh installs; cargo xtask test runs it"]
fn every_official_peer_pays_and_is_paid() {
    let data = tempfile::tempdir().unwrap();
    let universe = dev(data.path());
    rpc(&universe.said("chain"), "dev_mintUsdc", &json!([BUYER, "10000000"]));
    rpc(&universe.said("chain"), "anvil_setBalance", &json!([BUYER, "0x8ac7230489e80000"]));
    let (api, facilitator, chain) =
        (universe.said("api"), universe.said("facilitator"), universe.said("chain"));
    let mut matrix = Matrix { universe, rows: Vec::new() };

    for script in CLIENTS {
        for request in ["GET /weather", "POST /order"] {
            matrix.official_buyer(script, &ours(), &ours(), &api, request);
        }
    }
    // One route that speaks every dialect.
    for script in CLIENTS.into_iter().chain(OTHERS) {
        matrix.official_buyer(script, &ours(), &ours(), &api, "GET /forecast");
    }
    for dialect in ["x402-v2", "x402-v1", "token", "agentxpay", "want-pay", "mpp"] {
        matrix.our_buyer(dialect, &ours(), &ours(), &api, "GET /forecast");
    }
    let mock = Running::start(
        peer("servers/x402-mock.py").envs([("RPC_URL", chain.as_str()), ("SIGNER_KEY", TOKENS_KEY)]),
    );
    matrix.our_buyer("token", &named(&mock), &named(&mock), &url(&mock), "GET /weather");
    let mirror = Running::start(peer("servers/agentxpay-mirror.mjs").envs([
        ("RPC_URL", chain.as_str()),
        ("SERVICE_ID", "1"),
        ("PRICE_WEI", "4000000000000"),
    ]));
    for request in ["GET /weather", "POST /order"] {
        matrix.our_buyer("agentxpay", &named(&mirror), "none", &url(&mirror), request);
    }
    // It speaks x402 as well, and is asked for either.
    let theirs = Running::start(peer("servers/mppx.mjs").envs([
        ("RPC_URL", chain.as_str()),
        ("SIGNER_KEY", TOKENS_KEY),
        ("PAY_TO", MPPX_PAY_TO),
    ]));
    for request in ["GET /weather", "POST /order"] {
        matrix.our_buyer("mpp", &named(&theirs), "none", &url(&theirs), request);
        matrix.official_buyer("clients/mppx.mjs", &named(&theirs), "none", &url(&theirs), request);
    }
    drop(theirs);
    for script in ["servers/express-v2.mjs", "servers/fastapi-v2.py"] {
        let server = Running::start(
            peer(script).envs([("FACILITATOR_URL", facilitator.as_str()), ("PAY_TO", PAY_TO)]),
        );
        for request in ["GET /weather", "POST /order"] {
            matrix.our_buyer(dialect_of(script), &named(&server), &ours(), &url(&server), request);
            matrix.official_buyer(
                "clients/x402-fetch-v2.mjs",
                &named(&server),
                &ours(),
                &url(&server),
                request,
            );
        }
    }
    let theirs = Running::start(
        peer("servers/facilitator-v2.mjs")
            .envs([("RPC_URL", chain.as_str()), ("SIGNER_KEY", FACILITATOR_KEY)]),
    );
    let gate_data = tempfile::tempdir().unwrap();
    let upstream = format!("http://{}", echo());
    let gate = Running::start(groat(gate_data.path()).args([
        "gate",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &upstream,
        "--pay-to",
        PAY_TO,
        "--json",
        "--price",
        "GET /weather=$0.01",
        "--price",
        "POST /order=$0.02",
        "--facilitator",
        &url(&theirs),
    ]));
    let gate_url = gate.said("gate");
    let seller = format!("{} gate", ours());
    for request in ["GET /weather", "POST /order"] {
        matrix.our_buyer("x402-v2", &seller, &named(&theirs), &gate_url, request);
        // To this facilitator, what mppx signs is a payment of x402 version 2.
        for script in CLIENTS.into_iter().chain(["clients/mppx.mjs"]) {
            matrix.official_buyer(script, &seller, &named(&theirs), &gate_url, request);
        }
    }

    println!(
        "{:<22} {:<10} {:<26} {:<26} {:<13} result",
        "buyer", "dialect", "seller", "facilitator", "request"
    );
    for row in &matrix.rows {
        let result =
            row.outcome.as_ref().map_or_else(|error| format!("FAILED {error}"), |hash| format!("ok {hash}"));
        println!(
            "{:<22} {:<10} {:<26} {:<26} {:<13} {result}",
            row.buyer, row.dialect, row.seller, row.facilitator, row.request
        );
    }
    assert!(matrix.rows.iter().all(|row| row.outcome.is_ok()));
}

/// A server that answers everything with 200, in a thread of this process.
fn echo() -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{{}}"
            );
        }
    });
    address
}
