//! What an operator does around a facilitator: keys for callers, a look at the signers.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use groat_core::books::Book;
use groat_core::ports::{Expect, Store, Write};
use groat_store::SqliteStore;
use groat_wire::facilitator::write_request;
use serde_json::{Value, json};

use crate::processes::{Running, groat, http, text};
use crate::world::{GAS_KEY, PAY_TO, Upstream, World, offer};

/// A new API key: the key, and the text for people.
fn new_key(data: &Path, name: &str) -> (String, String) {
    let output = groat(data).args(["facilitator", "key", "new", name]).output().unwrap();
    assert!(output.status.success(), "{:?}", text(&output));
    let (stdout, _) = text(&output);
    (stdout.lines().next().unwrap().to_owned(), stdout)
}

/// The part of the text that goes into a file.
fn block(printed: &str) -> &str {
    &printed[printed.find("[[facilitator.api_keys]]").unwrap()..]
}

fn logging(command: &mut Command, log: &Path) -> Running {
    Running::start(command.env("RUST_LOG", "trace").stderr(File::create(log).unwrap()))
}

fn facilitator(world: &World, data: &Path, config: &Path, listen: &str) -> Command {
    let mut command = groat(data);
    command.args(["facilitator", "--json", "--rpc", &world.chain.said("chain"), "--listen", listen]);
    command.arg("--config").arg(config).env("GROAT_SIGNER_KEYS", GAS_KEY);
    command
}

#[test]
fn k04_other_machines_are_let_in_with_keys_only() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new();
    let config = data.path().join("groat.toml");
    std::fs::write(&config, "").unwrap();
    let output = facilitator(&world, data.path(), &config, "0.0.0.0:0").output().unwrap();
    assert_eq!(output.status.code(), Some(20));
    assert!(text(&output).1.contains("groat facilitator key new NAME"), "{:?}", text(&output));

    let (key, printed) = new_key(data.path(), "shop");
    std::fs::write(&config, block(&printed)).unwrap();
    assert!(!block(&printed).contains(&key), "the file gets only the digest: {printed}");
    let log = data.path().join("log");
    let running = logging(&mut facilitator(&world, data.path(), &config, "0.0.0.0:0"), &log);
    let url = running.said("facilitator");
    let body = write_request(&world.payment, &offer());
    let settle = |fields: &[&str]| {
        let mut arguments = vec!["-H", "content-type: application/json", "-d", &body];
        arguments.extend(fields);
        http(&format!("{url}/settle"), &arguments)
    };
    let (status, answer) = settle(&[]);
    assert_eq!(status, 401, "{answer}");
    assert_eq!(settle(&["-H", "authorization: Bearer groat_guess"]).0, 401);
    assert_eq!(http(&format!("{url}/supported"), &[]).0, 200);
    let (status, answer) = settle(&["-H", &format!("authorization: Bearer {key}")]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["success"]), (200, &true.into()), "{answer}");
    let log = std::fs::read_to_string(log).unwrap();
    let shown: Vec<_> = log.lines().filter(|line| line.contains(&key)).collect();
    assert!(!log.is_empty() && shown.is_empty(), "{log:.2000} {shown:#?}");
}

#[test]
fn k08_a_gate_shows_its_key_to_the_facilitator_and_to_nobody_else() {
    let (data, gates) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (world, upstream) = (World::new(), Upstream::start());
    let (key, printed) = new_key(data.path(), "shop");
    let config = data.path().join("groat.toml");
    std::fs::write(&config, block(&printed)).unwrap();
    let running = Running::start(&mut facilitator(&world, data.path(), &config, "127.0.0.1:0"));
    let gate = |variable: &str, key: &str, more: &[&str]| {
        // Books of their own, so that each has to ask.
        let mut command = groat(&gates.path().join(variable));
        command.args(["gate", "--json", "--listen", "127.0.0.1:0", "--price", "GET /a=$0.01"]);
        command.args(["--pay-to", PAY_TO, "--facilitator", &running.said("facilitator")]);
        command.args(["--upstream", &format!("http://{}", upstream.address)]).args(more);
        command.env(variable, key);
        command
    };
    let buy = |gate: &Running| http(&format!("{}/a", gate.said("gate")), &["-i", "-H", &world.field()]);
    // A key that is none: nothing is served, and nothing is taken.
    let wrong = Running::start(&mut gate("GROAT_FACILITATOR_KEY", "groat_guess", &[]));
    let (status, answer) = buy(&wrong);
    assert_eq!(status, 503, "{answer}");
    assert!(upstream.heads().is_empty());
    drop(wrong);
    let log = data.path().join("log");
    let right = logging(&mut gate("GROAT_FACILITATOR_KEY", &key, &[]), &log);
    let (status, answer) = buy(&right);
    assert_eq!(status, 200, "{answer}");
    drop(right);
    let log = std::fs::read_to_string(log).unwrap();
    let shown: Vec<_> = log.lines().filter(|line| line.contains(&key)).collect();
    assert!(!log.is_empty() && shown.is_empty(), "{log:.2000} {shown:#?}");
    assert!(!upstream.heads().concat().contains(&key) && !answer.contains(&key));
    // Another variable, where the file says so; and it has to be there.
    let named = data.path().join("gate.toml");
    std::fs::write(&named, "[gate]\nfacilitator_key_env = \"SHOP_KEY\"\n").unwrap();
    let named = ["--config", named.to_str().unwrap()];
    let output = gate("GROAT_FACILITATOR_KEY", &key, &named).output().unwrap();
    assert_eq!(output.status.code(), Some(20));
    assert!(text(&output).1.contains("gate.toml:2: the environment has no variable"), "{:?}", text(&output));
    let (status, answer) = buy(&Running::start(&mut gate("SHOP_KEY", &key, &named)));
    assert!(status == 402 && answer.contains("nonce_already_used"), "{status} {answer}");
}

#[test]
fn a_halted_signer_is_shown_and_goes_on_by_command_beside_a_running_facilitator() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new();
    let rpc = world.chain.said("chain");
    let command = |arguments: &[&str]| {
        let mut command = groat(data.path());
        command.arg("facilitator").args(arguments).args(["--rpc", &rpc]);
        command.output().unwrap()
    };
    let missing = command(&["lanes"]);
    assert_eq!(missing.status.code(), Some(20));
    assert!(text(&missing).1.contains("there is no book at"), "{:?}", text(&missing));

    let running = world.facilitator(data.path());
    World::settle(&running.said("facilitator"), &world.payment);
    let lanes = || serde_json::from_slice::<Value>(&command(&["lanes", "--json"]).stdout).unwrap();
    let [lane] = lanes().as_array().unwrap().clone().try_into().unwrap();
    assert_eq!(
        (&lane["nextNonce"], &lane["spentNonces"], &lane["halted"]),
        (&1.into(), &1.into(), &false.into())
    );
    let (network, signer) = (lane["network"].as_str().unwrap(), lane["signer"].as_str().unwrap());
    let key = format!("{network}/{signer}");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = SqliteStore::open_shared(&data.path().join("facilitator.db")).unwrap();
        let expect = Expect::Version(store.get(Book::Lanes, &key).await.unwrap().unwrap().version);
        let body = r#"{"next":1,"halted":true}"#.to_owned();
        let halted =
            Write { book: Book::Lanes, key: key.clone(), expect, state: "halted", is_final: false, body };
        assert!(store.commit(vec![halted]).await.unwrap());
    });
    let (table, _) = text(&command(&["lanes"]));
    let row: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(row, [network, signer, "1", "1", "1", "0", "halted"]);
    // Two nonces are spent that nobody here has signed for.
    world.ask("anvil_setNonce", json!([signer, "0x3"]));
    let resumed = command(&["resume", network, signer]);
    assert_eq!(resumed.status.code(), Some(0), "{:?}", text(&resumed));
    let (stdout, _) = text(&resumed);
    assert!(stdout.contains("goes on with nonce 3") && stdout.contains("1 to 2"), "{stdout}");
    assert_eq!((&lanes()[0]["nextNonce"], &lanes()[0]["halted"]), (&3.into(), &false.into()));
    let again = command(&["resume", network, signer]);
    assert_eq!((again.status.code(), text(&again).0.contains("not halted")), (Some(0), true));
    let nobody = command(&["resume", network, PAY_TO]);
    assert_eq!((nobody.status.code(), text(&nobody).1.contains("has no such lane")), (Some(20), true));
}

#[test]
fn a_route_of_the_file_has_terms_of_its_own_and_the_command_line_wins() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("groat.toml");
    let payee = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let file = format!(
        "[gate]\nnetwork = \"base\"\n[[gate.route]]\nmatch = \"/slow\"\nprice = \"$0.02\"\ntimeout_s = 900\n\
         settle = \"before\"\nmime_type = \"text/plain\"\npay_to = \"{payee}\"\nnetworks = [\"base\", \"eip155:84532\"]\n\
         [[gate.route]]\nmatch = \"/\"\nprice = \"$0.01\"\n"
    );
    std::fs::write(&config, file).unwrap();
    let challenge = |flags: &[&str], path: &str| -> Value {
        let mut command = groat(data.path());
        command.args(["gate", "--json", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"]);
        command.args(["--facilitator", "http://127.0.0.1:1", "--pay-to", PAY_TO, "--config"]);
        let gate = Running::start(command.arg(&config).args(flags));
        let (status, body) = http(&format!("{}{path}", gate.said("gate")), &[]);
        assert_eq!(status, 402, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["accepts"].clone()
    };
    let accepts = challenge(&[], "/");
    assert_eq!((&accepts[0]["network"], &accepts[0]["payTo"]), (&"base".into(), &PAY_TO.into()));
    assert_eq!(challenge(&["--network", "base-sepolia"], "/")[0]["network"], "base-sepolia");
    let accepts = challenge(&[], "/slow");
    let networks: Vec<_> = accepts.as_array().unwrap().iter().map(|offer| &offer["network"]).collect();
    assert_eq!(networks, ["base", "base-sepolia"]);
    for offer in accepts.as_array().unwrap() {
        assert_eq!((&offer["payTo"], &offer["maxTimeoutSeconds"]), (&payee.into(), &900.into()));
        assert_eq!(
            (&offer["maxAmountRequired"], &offer["mimeType"]),
            (&"20000".into(), &"text/plain".into())
        );
    }
}

#[test]
fn t11_the_key_for_passes_is_made_once_and_only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("groat.toml");
    let route = "[[gate.route]]\nmatch = \"/a\"\nprice = \"$0.01\"\npass = { ttl_s = 300 }\n";
    let gate = |gate: &str, place: &str| {
        std::fs::write(&config, format!("[gate]\n{gate}{route}")).unwrap();
        let mut command = groat(data.path());
        command.args(["gate", "--json", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"]);
        command.args(["--facilitator", "http://127.0.0.1:1", "--pay-to", PAY_TO, "--store", place]);
        command.arg("--config").arg(&config);
        command
    };
    let key = data.path().join("pass.key");
    drop(Running::start(&mut gate("", ":memory:")));
    let made = std::fs::read_to_string(&key).unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    drop(Running::start(&mut gate("", ":memory:")));
    assert_eq!((made.len(), std::fs::read_to_string(&key).unwrap()), (64, made.clone()));
    let refused = |lines: &str, place: &str, part: &str| {
        let output = gate(lines, place).output().unwrap();
        let (_, told) = text(&output);
        assert!(output.status.code() == Some(20) && told.contains(part), "{told}");
        assert!(!told.contains(&made[..16]), "no message quotes a key");
    };
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused("", ":memory:", "pass.key");
    refused("pass_key = \"pass.key\"\n", ":memory:", "groat.toml:2: ");
    refused("pass_key = \"none\"\n", ":memory:", "groat.toml:2: ");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&key, &made[1..]).unwrap();
    refused("", ":memory:", "64 hexadecimal digits");
}

#[test]
fn t11_the_key_that_is_shared_with_x402_mock_lies_in_a_private_file_and_is_long() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let (key, config) = (data.path().join("token.key"), data.path().join("groat.toml"));
    let route =
        "[[gate.route]]\nmatch = \"/a\"\nprice = \"$0.01\"\npass = { ttl_s = 60 }\nforeign_tokens = true\n";
    let lines = "[gate]\ntoken_format = \"x402-mock\"\ntoken_key = \"token.key\"\n";
    std::fs::write(&config, format!("{lines}{route}")).unwrap();
    let gate = || {
        let mut command = groat(data.path());
        command.args(["gate", "--json", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"]);
        command.args(["--facilitator", "http://127.0.0.1:1", "--pay-to", PAY_TO, "--store", ":memory:"]);
        command.arg("--config").arg(&config);
        command
    };
    let refused = |part: &str| {
        let output = gate().output().unwrap();
        let (_, told) = text(&output);
        assert!(
            output.status.code() == Some(20) && told.contains("groat.toml:3: ") && told.contains(part),
            "{told}"
        );
        assert!(!told.contains("kkk"), "no message quotes a key");
    };
    refused("token.key");
    let write = |text: &str, mode| {
        std::fs::write(&key, text).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write(&"k".repeat(32), 0o644);
    refused("token.key");
    write(&"k".repeat(31), 0o600);
    refused("at least 32 bytes");
    write(&format!("{}\n", "k".repeat(32)), 0o600);
    drop(Running::start(&mut gate()));
}

#[test]
fn a_gate_does_not_wait_for_a_depth_that_its_facilitator_cannot_tell() {
    let data = tempfile::tempdir().unwrap();
    let (world, other) = (World::new(), Upstream::start());
    let gate = |facilitator: &str, depth: &str| {
        let mut command = groat(data.path());
        command.args(["gate", "--json", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"]);
        command.args(["--facilitator", facilitator, "--pay-to", PAY_TO, "--price", "/a=$0.01"]);
        command.args(["--store", ":memory:", "--confirmations", depth]);
        command
    };
    let other = format!("http://{}", other.address);
    let output = gate(&other, "3").output().unwrap();
    assert_eq!(output.status.code(), Some(20));
    assert!(text(&output).1.contains("cannot tell how deep a payment lies"), "{:?}", text(&output));
    assert!(text(&output).1.contains("with `confirmations` above 1"), "{:?}", text(&output));
    drop(Running::start(&mut gate(&other, "1")));
    // Away is not unable; and ours can.
    drop(Running::start(&mut gate("http://127.0.0.1:1", "finalized")));
    let mut ours = groat(&data.path().join("facilitator"));
    ours.args(["facilitator", "--json", "--rpc", &world.chain.said("chain"), "--listen", "127.0.0.1:0"]);
    let ours = Running::start(ours.env("GROAT_SIGNER_KEYS", GAS_KEY));
    drop(Running::start(&mut gate(&ours.said("facilitator"), "3")));
}

#[test]
fn t18_webhooks_go_to_private_addresses_only_when_the_operator_says_so() {
    let data = tempfile::tempdir().unwrap();
    let (world, shop) = (World::new(), Upstream::start());
    let config = data.path().join("groat.toml");
    let json = ["-H", "content-type: application/json"];
    let wish = json!({ "url": format!("http://{}/hook", shop.address) }).to_string();
    let create = |running: &Running| {
        let url = format!("{}/v1/webhook_endpoints", running.said("facilitator"));
        http(&url, &[&json[..], &["-d", &wish]].concat())
    };
    std::fs::write(&config, "").unwrap();
    let running = Running::start(&mut facilitator(&world, data.path(), &config, "127.0.0.1:0"));
    let (status, problem) = create(&running);
    assert_eq!(status, 422, "{problem}");
    assert!(problem.contains("url_not_allowed") && problem.contains("https"), "{problem}");
    drop(running);
    std::fs::write(&config, "[facilitator]\nwebhooks_allow_private = true\n").unwrap();
    let log = data.path().join("log");
    let running = logging(&mut facilitator(&world, data.path(), &config, "127.0.0.1:0"), &log);
    let (status, made) = create(&running);
    assert_eq!(status, 201, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let answer = World::settle(&running.said("facilitator"), &world.payment);
    assert_eq!(answer["success"], true, "{answer}");
    let heard = (0..500).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        shop.heads().into_iter().find(|head| head.starts_with("POST /hook "))
    });
    assert!(heard.unwrap().contains("webhook-signature: v1,"), "{:?}", shop.heads());
    // The operator takes it back: what was written down stays unsent.
    drop(running);
    std::fs::write(&config, "").unwrap();
    let running = logging(&mut facilitator(&world, data.path(), &config, "127.0.0.1:0"), &log);
    World::settle(&running.said("facilitator"), &world.pay(9));
    let path = format!("v1/webhook_endpoints/{}/deliveries", made["id"].as_str().unwrap());
    let url = format!("{}/{path}", running.said("facilitator"));
    let refused = (0..500).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        Some(http(&url, &[]).1).filter(|page| page.contains("the URL is not allowed"))
    });
    assert!(refused.is_some(), "{:?}", http(&url, &[]));
    assert_eq!(shop.heads().len(), 1);
    let secret = made["secret"].as_str().unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains(secret) && !log.contains("whsec_"), "{log:.2000}");
}
