//! A gate that keeps balances dies between a debit, or a payment that tops one up, and its answer: one posting each.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use groat_buyer::LocalSigner;
use serde_json::{Value, json};

use super::stage::{Books, Stage, until};
use super::token::{KEY, resumed};
use crate::balances::free_address;
use crate::processes::{Running, groat};
use crate::world::PAY_TO;

/// What the buyer is doing when the gate dies.
#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Debit,
    TopUp,
}

pub(super) fn debit(books: &Books<'_>) -> Duration {
    each(books, Doing::Debit, &["KP0", "KP1", "KP2", "KP4", "KP21", "KP11"])
}

pub(super) fn top_up(books: &Books<'_>) -> Duration {
    each(books, Doing::TopUp, &["KP1", "KP9", "KP22", "KP10", "KP12"])
}

fn each(books: &Books<'_>, doing: Doing, points: &[&'static str]) -> Duration {
    points.iter().map(|point| dies(books, doing, point)).max().unwrap_or_default()
}

fn dies(books: &Books<'_>, doing: Doing, point: &'static str) -> Duration {
    let stage = Stage::new(books);
    let account = LocalSigner::from_hex(KEY).unwrap().address();
    stage.world.ask("dev_mintUsdc", json!([account, "1000000"]));
    let facilitator = Running::start(&mut stage.facilitator());
    let address = free_address();
    let url = format!("http://{address}/a");
    if doing == Doing::Debit {
        let gate = Running::start(&mut keeping(&stage, &address, &facilitator));
        assert_eq!(says(buyer(&stage, &["balance", "top-up", &url, "0.05"]))["status"], 200);
        gate.kill();
    }
    let dying = stage.doomed(keeping(&stage, &address, &facilitator), point);
    let mut command = match doing {
        Doing::Debit => buyer(&stage, &["pay", "--balance", &url]),
        Doing::TopUp => buyer(&stage, &["balance", "top-up", &url, "0.05"]),
    };
    let mut buying = command.spawn().unwrap();
    dying.died();
    let start = Instant::now();
    let _gate = Running::start(&mut keeping(&stage, &address, &facilitator));
    // It waits for an answer that nobody will give.
    let _ = buying.kill();
    let _ = buying.wait();
    until("the end of what was open", || resumed(&stage));
    let took = start.elapsed();

    let bought = says(buyer(&stage, &["pay", "--balance", &url]));
    assert_eq!(
        (&bought["status"], &bought["body"]),
        (&json!(200), &json!("upstream says hello")),
        "{point}: {bought}"
    );
    let told = says(buyer(&stage, &["balance", "statement", &url]));
    let kinds: Vec<_> = told["entries"].as_array().unwrap().iter().map(|line| line["kind"].clone()).collect();
    assert_eq!((kinds, &told["balance"]), (vec![json!("top_up"), json!("debit")], &json!("0.04")), "{point}");
    let transfers = stage.world.transfers();
    assert_eq!(transfers.len(), 1, "{point}");
    stage.check(&[&transfers[0]]);
    took
}

fn buyer(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = groat(&stage.path("buyer"));
    command.args(arguments).arg("--json").env("GROAT_PRIVATE_KEY", KEY);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn says(mut command: Command) -> Value {
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{command:?}: {output:?}"))
}

/// A gate whose route is paid out of balances.
fn keeping(stage: &Stage, address: &str, facilitator: &Running) -> Command {
    let (config, key) = (stage.path("groat.toml"), stage.path("pass.key"));
    if !key.exists() {
        std::fs::write(&key, "11".repeat(32)).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let route = "[[gate.route]]\nmatch = 'GET /a'\nprice = '$0.01'\npass = { ttl_s = 300 }\nbalance = true\n";
    let head = format!("[gate]\npass_key = 'pass.key'\npublic_url = 'http://{address}'\n[gate.balance]\n");
    std::fs::write(&config, head + route).unwrap();
    let mut command = groat(&stage.path("gate"));
    command.args(["gate", "--json", "--listen", address, "--pay-to", PAY_TO]);
    command.args(["--facilitator", &facilitator.said("facilitator")]);
    command.args(["--upstream", &format!("http://{}", stage.upstream.address)]);
    command.args(["--config", config.to_str().unwrap()]);
    stage.on_books(command)
}
