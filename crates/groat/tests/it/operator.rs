//! What an operator does around a facilitator: keys for callers.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use groat_wire::facilitator::write_request;
use serde_json::Value;

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
    let body = write_request(&world.payment, &offer()).to_string();
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
