//! Balances by command: topped up on chain, spent by debits, looked at, given back; and what thieves make of them.

use std::net::TcpListener;
use std::process::{Command, Output};

use groat_buyer::LocalSigner;
use groat_chain_ledger::BalancePayer;
use groat_core::ports::{PayRequest, Payer};
use groat_core::{Amount, Offer, Timestamp};
use groat_wire::{Dialects, token};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::processes::{Running, dev, groat, http, rpc, text};
use crate::world::{Upstream, World, gate};

/// Who pays here.
const KEY: &str = "0x7777777777777777777777777777777777777777777777777777777777777777";
/// The key that gives back, and its SHA-256.
const REFUND_KEY: &str = "groat_test";
const REFUND_KEY_SHA256: &str = "1c43d59a9a0ed762e78b11e14bcc335444a729512e1c783937f67e3e01cebd57";

/// An address that nobody listens on: what is told of a gate before it starts.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A seller of `GET /a` for a cent, who keeps balances in a file.
struct Shop {
    world: World,
    upstream: Upstream,
    home: TempDir,
    address: String,
    gate: Option<Running>,
    _facilitator: Option<Running>,
}

impl Shop {
    /// It settles by itself, or by a facilitator in a process of its own.
    fn open(by_facilitator: bool) -> Self {
        let (world, upstream) = (World::new(), Upstream::start());
        let account = LocalSigner::from_hex(KEY).unwrap().address();
        world.ask("dev_mintUsdc", json!([account, "1000000"]));
        let home = tempfile::tempdir().unwrap();
        let facilitator = by_facilitator.then(|| world.facilitator(&home.path().join("facilitator")));
        let address = free_address();
        let mut shop = Self { world, upstream, home, address, gate: None, _facilitator: facilitator };
        let url = shop.url("");
        shop.gate = Some(Running::start(&mut shop.command(&url)));
        shop
    }

    /// The gate as buyers at this URL reach it.
    fn command(&self, public_url: &str) -> Command {
        let config = self.home.path().join("groat.toml");
        let balance =
            format!("[gate.balance]\ntop_up_max = '$0.50'\nrefund_key_sha256 = '{REFUND_KEY_SHA256}'\n");
        let route =
            "[[gate.route]]\nmatch = 'GET /sold'\nprice = '$0.01'\npass = { ttl_s = 300 }\nbalance = true\n";
        std::fs::write(&config, format!("[gate]\npublic_url = '{public_url}'\n{balance}{route}")).unwrap();
        let data = self.home.path().join("gate");
        let mut command = match &self._facilitator {
            Some(facilitator) => {
                let mut command = gate(&data, &self.address, &self.upstream);
                command.args(["--facilitator", &facilitator.said("facilitator")]);
                command
            }
            None => self.world.gate_command(&data, &self.address, &self.upstream),
        };
        command.arg("--config").arg(config);
        command
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn groat(&self, arguments: &[&str]) -> Output {
        let mut command = groat(&self.home.path().join("buyer"));
        command.args(arguments).env("GROAT_PRIVATE_KEY", KEY).output().unwrap()
    }

    /// What a command says as JSON.
    fn says(&self, arguments: &[&str]) -> Value {
        let output = self.groat(arguments);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments:?}: {:?}", text(&output)))
    }

    fn top_up(&self, amount: &str) -> Value {
        self.says(&["balance", "top-up", &self.url(""), amount, "--json"])
    }

    fn statement(&self) -> Value {
        self.says(&["balance", "statement", &self.url("/sold"), "--json"])
    }

    /// What the 402 offers to holders of balances.
    fn offer(&self) -> Offer {
        let (status, body) = http(&self.url("/sold"), &[]);
        assert_eq!(status, 402, "{body}");
        let read = Dialects::standard().read_challenge_in(
            Some(&token::ID),
            &http::HeaderMap::new(),
            body.as_bytes(),
        );
        let (_, challenge) = read.unwrap().unwrap();
        challenge.offers.into_iter().find(|offer| offer.scheme == "balance").unwrap()
    }

    /// Brings a debit to the token endpoint.
    fn bring(&self, order: &Value) -> (u16, Value) {
        let (status, body) = http(&self.url("/token/GET/sold"), &["-d", &order.to_string()]);
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}")))
    }
}

/// A signed debit for an offer, as it is brought.
fn debit(offer: &Offer, nonce: u8) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let request =
        PayRequest { dialect: &token::ID, offer, now: Timestamp(now), window_s_max: 300, nonce: [nonce; 32] };
    let signer = LocalSigner::from_hex(KEY).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let payment = runtime.block_on(BalancePayer::default().pay(request, &signer)).unwrap();
    json!({ "version": "Version 0.1", "permit": payment.proof })
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn t21_f082_a_balance_is_topped_up_on_chain_spent_by_a_debit_looked_at_and_given_back() {
    let mut shop = Shop::open(false);
    let added = shop.top_up("0.05");
    assert_eq!((&added["status"], &added["body"]["added"]), (&json!(200), &json!("0.05")), "{added}");
    assert_eq!(shop.world.transfers().len(), 1);
    assert_eq!(added["payment"]["scheme"], "exact");

    // What is there survives the gate.
    shop.gate.take().unwrap().kill();
    let url = shop.url("");
    shop.gate = Some(Running::start(&mut shop.command(&url)));
    let bought = shop.says(&["pay", "--balance", "--json", &shop.url("/sold")]);
    let paid = &bought["payment"];
    assert_eq!(
        (&bought["status"], &bought["body"]),
        (&json!(200), &json!("upstream says hello")),
        "{bought}"
    );
    assert_eq!(
        (&paid["scheme"], &paid["network"], &paid["amount"]),
        (&json!("balance"), &json!("ledger:test"), &json!("10000"))
    );
    let again = shop.says(&["pay", "--balance", "--json", &shop.url("/sold")]);
    assert_eq!((&again["status"], &again["payment"]), (&json!(200), &Value::Null), "the pass opens it");
    assert_eq!(shop.world.transfers().len(), 1, "a debit is no transaction");

    let told = shop.statement();
    assert_eq!((&told["balance"], &told["currency"]), (&json!("0.04"), &json!("USD")));
    let kinds: Vec<_> = told["entries"].as_array().unwrap().iter().map(|line| line["kind"].clone()).collect();
    assert_eq!(kinds, ["top_up", "debit"]);
    let (shown, _) = text(&shop.groat(&["balance", "statement", &shop.url("")]));
    assert!(shown.contains("balance      0.04 USD") && shown.contains("-0.01"), "{shown}");

    let id = paid["paymentId"].as_str().unwrap();
    let refund = shop.url(&format!("/x402/payments/{id}/refund"));
    for stranger in [&["-X", "POST"][..], &["-X", "POST", "-H", "authorization: Bearer guessed"]] {
        assert_eq!(http(&refund, stranger).0, 401);
    }
    // Not with the digest, which stands in a file.
    let digest = format!("authorization: Bearer {REFUND_KEY_SHA256}");
    assert_eq!(http(&refund, &["-X", "POST", "-H", &digest]).0, 401);
    let key = format!("authorization: Bearer {REFUND_KEY}");
    for _ in 0..2 {
        let (status, given) = http(&refund, &["-X", "POST", "-H", &key]);
        assert!(status == 200 && given.contains("\"amount\":\"0.01\""), "{given}");
    }
    assert_eq!(shop.statement()["balance"], "0.05");
    let (_, told) = http(&shop.url(&format!("/x402/payments/{id}")), &[]);
    assert!(told.contains("\"status\":\"refunded\""), "{told}");
}

#[test]
fn t21_debits_at_once_never_take_more_than_is_there_also_beside_a_facilitator_elsewhere() {
    let shop = Shop::open(true);
    assert_eq!(shop.top_up("0.02")["status"], 200);
    let offer = shop.offer();
    let orders: Vec<Value> = (1..=5).map(|nonce| debit(&offer, nonce)).collect();
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let callers: Vec<_> = orders.iter().map(|order| scope.spawn(|| shop.bring(order))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let sold = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(sold, 2, "{answers:?}");
    let refused = |(_, told): &&(u16, Value)| told["error"] == "invalid_exact_evm_insufficient_balance";
    assert_eq!(answers.iter().filter(refused).count(), 3, "{answers:?}");
    let told = shop.statement();
    assert_eq!((&told["balance"], told["entries"].as_array().unwrap().len()), (&json!("0"), 3));
    assert_eq!(shop.world.transfers().len(), 1);
    let poor = shop.groat(&["pay", "--balance", &shop.url("/sold")]);
    assert_eq!(code(&poor), Some(10), "{:?}", text(&poor));
    // The debit that was refused is good as soon as there is money for it.
    assert_eq!(shop.top_up("0.01")["status"], 200);
    let bought = shop.says(&["pay", "--balance", "--json", &shop.url("/sold")]);
    assert_eq!((&bought["status"], &bought["payment"]["resent"]), (&json!(200), &json!(true)), "{bought}");
    assert_eq!(shop.statement()["balance"], "0");
}

#[test]
fn r01_r03_one_debit_is_one_payment_and_one_pass_however_often_it_is_brought() {
    let shop = Shop::open(false);
    assert_eq!(shop.top_up("0.10")["status"], 200);
    let offer = shop.offer();
    let order = debit(&offer, 1);
    let mut tokens: Vec<Value> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..10).map(|_| scope.spawn(|| shop.bring(&order))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap().1["access_token"].clone()).collect()
    });
    tokens.push(shop.bring(&order).1["access_token"].clone());
    assert!(tokens[0].is_string() && tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    // The same nonce for something else is no second payment.
    let other = Offer { amount: Amount::from_units(20_000), ..offer.clone() };
    assert_ne!(shop.bring(&debit(&other, 1)).0, 200);
    let mut changed = order.clone();
    changed["permit"]["nonce"] = json!(format!("0x{}", "02".repeat(32)));
    assert_eq!(shop.bring(&changed).0, 400, "somebody else's hand");
    let told = shop.statement();
    assert_eq!((&told["balance"], told["entries"].as_array().unwrap().len()), (&json!("0.09"), 2));
}

#[test]
fn b12_a_debit_is_good_only_at_the_service_that_it_is_made_out_to_and_is_signed_for_no_other() {
    let mut shop = Shop::open(false);
    assert_eq!(shop.top_up("0.05")["status"], 200);
    let mut offer = shop.offer();
    offer.extra.insert("audience".into(), json!("https://other.example/token"));
    let (status, told) = shop.bring(&debit(&offer, 1));
    assert_eq!((status, &told["error"]), (400, &json!("resource_mismatch")), "{told}");

    // A seller who asks for debits of balances that are kept elsewhere gets none.
    shop.gate.take().unwrap().kill();
    let elsewhere = format!("http://{}", free_address());
    shop.gate = Some(Running::start(&mut shop.command(&elsewhere)));
    let refused = shop.groat(&["pay", "--balance", &shop.url("/sold")]);
    assert_eq!(code(&refused), Some(20), "{:?}", text(&refused));
    assert!(text(&refused).1.contains("balance on ledger:test"), "{:?}", text(&refused));
    // Nor does it get a statement of them: that is signed for whom the payer has asked.
    let untold = shop.groat(&["balance", "statement", &shop.url("/sold")]);
    assert!(code(&untold) == Some(20) && text(&untold).1.contains("401 Unauthorized"), "{:?}", text(&untold));
    shop.gate.take().unwrap().kill();
    shop.gate = Some(Running::start(&mut shop.command(&shop.url(""))));
    assert_eq!(shop.statement()["balance"], "0.05");
}

#[test]
fn a_gate_that_keeps_balances_says_what_it_lacks() {
    let shop = Shop::open(false);
    let config = shop.home.path().join("without.toml");
    let route = "[[gate.route]]\nmatch = '/b'\nprice = '$0.01'\npass = { ttl_s = 300 }\nbalance = true\n";
    for (more, url, why) in [
        ("", "", "without.toml:1: debits are made out to the URL of this gate"),
        ("networks = ['base']\n", "https://api.example.com", "without.toml:6: balances are topped up on"),
    ] {
        std::fs::write(&config, format!("[gate.balance]\n{route}{more}")).unwrap();
        let data = shop.home.path().join("other");
        let mut command = shop.world.gate_command(&data, "127.0.0.1:0", &shop.upstream);
        if !url.is_empty() {
            command.args(["--public-url", url]);
        }
        let output = command.arg("--config").arg(&config).output().unwrap();
        let (_, stderr) = text(&output);
        assert_eq!(code(&output), Some(20), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }

    // More than is allowed, and nothing that is an amount.
    let over = shop.top_up("0.51");
    assert_eq!((&over["status"], &over["payment"]), (&json!(400), &Value::Null), "{over}");
    let nonsense = shop.groat(&["balance", "top-up", &shop.url(""), "5 EUR"]);
    assert!(text(&nonsense).1.contains("not an amount of dollars"), "{:?}", text(&nonsense));
    assert_eq!(shop.world.transfers().len(), 0);
    // The seller gives something, once, beside the gate.
    let account = LocalSigner::from_hex(KEY).unwrap().address().to_string();
    let book = shop.home.path().join("gate/gate.db");
    let grant = |amount: &str, account: &str| {
        shop.groat(&[
            "balance",
            "grant",
            account,
            amount,
            "--id",
            "welcome",
            "--store",
            book.to_str().unwrap(),
        ])
    };
    for _ in 0..2 {
        let given = grant("0.07", &account);
        assert!(text(&given).0.contains("balance      0.07 USD"), "{:?}", text(&given));
    }
    assert_eq!(shop.statement()["balance"], "0.07");
    for (amount, account, why) in [
        ("0.08", account.as_str(), "done before with another amount"),
        ("0.07", "cash", "an account is an Ethereum address"),
    ] {
        let refused = grant(amount, account);
        assert_eq!(code(&refused), Some(20));
        assert!(text(&refused).1.contains(why), "{:?}", text(&refused));
    }
    // Where nobody keeps balances.
    let none = format!("http://{}", shop.upstream.address);
    let nothing = shop.groat(&["balance", "statement", &none]);
    assert_eq!(code(&nothing), Some(20), "{:?}", text(&nothing));
}

#[test]
fn f082_f090_a_newcomer_tries_balances_and_orders_offline() {
    let data = tempfile::tempdir().unwrap();
    let universe = dev(data.path());
    let api = universe.said("api");
    let says = |arguments: &[&str]| -> Value {
        let output = groat(data.path()).args(arguments).args(["--wallet", "dev", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments:?}: {:?}", text(&output)))
    };
    for _ in 0..2 {
        // More than a host may cost a day, because somebody types it each time.
        assert_eq!(says(&["balance", "top-up", &api, "0.80"])["status"], 200);
    }
    let forecast = format!("{api}/forecast");
    let bought = says(&["pay", "--balance", &forecast]);
    assert_eq!(
        (&bought["status"], &bought["payment"]["scheme"]),
        (&json!(200), &json!("balance")),
        "{bought}"
    );
    let id = bought["payment"]["paymentId"].as_str().unwrap();
    let key = format!("authorization: Bearer {}", universe.said("refundKey"));
    let refund = format!("{api}/x402/payments/{id}/refund");
    assert_eq!(http(&refund, &["-X", "POST", "-H", &key]).0, 200);
    assert_eq!(says(&["balance", "statement", &api])["balance"], "1.6");
    assert_eq!(rpc(&universe.said("chain"), "eth_blockNumber", &json!([])), "0x2", "two top-ups");

    let wish = json!({ "resource": forecast }).to_string();
    let (status, order) = http(&format!("{api}/x402/orders"), &["-d", &wish]);
    assert_eq!(status, 201, "{order}");
    let order: Value = serde_json::from_str(&order).unwrap();
    let permit = json!({ "permit_type": "ExternalOrder", "order_id": order["order_id"] });
    let asked = json!({ "permit": permit }).to_string();
    let endpoint = format!("{api}/token/GET/forecast");
    assert_eq!(http(&endpoint, &["-d", &asked]).0, 202);
    // Nobody but whoever takes the money can say that it is paid.
    let forged = json!({ "event": "order.paid", "order_id": order["order_id"] }).to_string();
    let webhook = format!("{api}/x402/webhooks/mock");
    assert_eq!(
        http(&webhook, &["-d", &forged, "-H", &format!("x-mock-signature: {}", "00".repeat(32))]).0,
        401
    );
    assert_eq!(http(&endpoint, &["-d", &asked]).0, 202);
    let page = order["payment_link"].as_str().unwrap();
    assert_eq!(http(page, &["-X", "POST"]).0, 200);
    let (status, given) = http(&endpoint, &["-d", &asked]);
    let given: Value = serde_json::from_str(&given).unwrap();
    assert_eq!(status, 200, "{given}");
    let bearer = format!("authorization: Bearer {}", given["access_token"].as_str().unwrap());
    let (status, weather) = http(&forecast, &["-H", &bearer]);
    assert!(status == 200 && weather.contains("rain"), "{weather}");
}
