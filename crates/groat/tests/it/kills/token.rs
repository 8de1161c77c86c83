//! The crash scenario of the token endpoint: a permit buys a token, somebody dies on the way, and `groat pay --resume`
//! finds out what became of it. At most one debit, whoever dies and where.

use std::process::Command;
use std::time::{Duration, Instant};

use groat_buyer::LocalSigner;
use serde_json::{Value, json};

use super::stage::{Books, Doomed, Stage, until};
use crate::processes::{Running, groat, http};
use crate::world::PAY_TO;

pub(super) const KEY: &str = "0x7777777777777777777777777777777777777777777777777777777777777777";

/// Who dies.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Buyer,
    Gate,
    Facilitator,
}

pub(super) fn buyer(books: &Books<'_>) -> Duration {
    each(books, Who::Buyer, &["KP17", "KP18", "KP19", "KP20"])
}

pub(super) fn gate(books: &Books<'_>) -> Duration {
    each(books, Who::Gate, &["KP0", "KP1", "KP2", "KP4", "KP10", "KP11"])
}

pub(super) fn facilitator(books: &Books<'_>) -> Duration {
    each(books, Who::Facilitator, &["KP3", "KP5", "KP6", "KP7", "KP8", "KP13"])
}

fn each(books: &Books<'_>, who: Who, points: &[&'static str]) -> Duration {
    points.iter().map(|point| dies(books, who, point)).max().unwrap_or_default()
}

fn dies(books: &Books<'_>, who: Who, point: &'static str) -> Duration {
    let stage = Stage::new(books);
    let account = LocalSigner::from_hex(KEY).unwrap().address();
    stage.world.ask("dev_mintUsdc", json!([account, "1000000"]));
    let doomed = |is_it, command: Command| -> (Option<Doomed>, Option<Running>) {
        let mut command = command;
        match is_it {
            true => (Some(stage.doomed(command, point)), None),
            false => (None, Some(Running::start(&mut command))),
        }
    };
    let (dying, mut living) = doomed(who == Who::Facilitator, stage.facilitator());
    let settles = dying.as_ref().map_or_else(|| living.as_ref().unwrap(), |doomed| &doomed.running);
    let (settles, settles_at) = (settles.said("facilitator"), settles.said("facilitator"));
    let (dying_gate, living_gate) = doomed(who == Who::Gate, selling(&stage, "127.0.0.1:0", &settles));
    let gate = dying_gate.as_ref().map_or_else(|| living_gate.as_ref().unwrap(), |doomed| &doomed.running);
    let url = format!("{}/a", gate.said("gate"));

    // Where the chain must hesitate for the point to be reached.
    if matches!(point, "KP6" | "KP7") {
        stage.world.ask("dev_hold", json!([]));
    }
    if point == "KP6" {
        stage.world.ask("dev_loseReply", json!([1]));
    }
    // The buyer that is there when somebody dies; if it survives, it may have learned all there is.
    let mut command = token_buyer(&stage, &url);
    if who == Who::Buyer {
        command.env("GROAT_FAILPOINT", point);
    }
    let mut buying = command.spawn().unwrap();
    let start;
    let mut gate_again = None;
    match (dying, dying_gate) {
        (Some(facilitator), _) => {
            facilitator.died();
            stage.world.ask("dev_release", json!([]));
            start = Instant::now();
            let address = settles_at.trim_start_matches("http://").to_owned();
            living = Some(Running::start(&mut stage.facilitator_at(&address)));
        }
        (_, Some(dead)) => {
            let address = dead.running.said("gate").trim_start_matches("http://").to_owned();
            dead.died();
            start = Instant::now();
            gate_again = Some(Running::start(&mut selling(&stage, &address, &settles)));
        }
        (None, None) => {
            buying.wait().unwrap();
            start = Instant::now();
        }
    }
    if who != Who::Buyer {
        // It waits for an answer that nobody will give.
        let _ = buying.kill();
        let _ = buying.wait();
    }
    until("the end of what was open", || resumed(&stage));
    let took = start.elapsed();

    // The token is here, it opens the resource, and nothing more is paid.
    let bought = token_buyer(&stage, &url).output().unwrap();
    let answer: Value = serde_json::from_slice(&bought.stdout).unwrap();
    assert_eq!(
        (&answer["status"], &answer["body"]),
        (&json!(200), &json!("upstream says hello")),
        "{point}: {answer}"
    );
    let transfers = stage.world.transfers();
    assert_eq!(transfers.len(), 1, "{point}: debits");
    stage.check(&[&transfers[0]]);
    // Whoever kept only the id learns the same.
    let id = payment_id(&stage);
    let (status, told) = http(&url.replace("/a", &format!("/x402/payments/{id}")), &[]);
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
    assert_eq!(
        (status, &told["status"], &told["money_taken"]),
        (200, &json!("settled"), &json!("yes")),
        "{told}"
    );
    assert_eq!(told["tx"], json!(transfers[0]));
    drop((living, living_gate, gate_again));
    took
}

/// Says `Some` when nothing is open any more.
pub(super) fn resumed(stage: &Stage) -> Option<()> {
    let mut command = groat(&stage.path("buyer"));
    let output = command.args(["pay", "--resume", "--json"]).env("GROAT_PRIVATE_KEY", KEY).output().unwrap();
    let lines: Value = serde_json::from_slice(&output.stdout).unwrap();
    let open = |line: &Value| line["outcome"] == "pending" || line["outcome"] == "fault";
    let lines = lines.as_array().unwrap();
    assert!(lines.iter().all(|line| line["outcome"] != "refused"), "{lines:?}");
    (!lines.iter().any(open)).then_some(())
}

fn payment_id(stage: &Stage) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let purchases = runtime.block_on(async {
        let store = groat_store::SqliteStore::open(&stage.path("buyer/purchases.db")).unwrap();
        let journal = groat_store::Journal::<groat_core::books::Purchase>::new(std::sync::Arc::new(store));
        journal.scan_all(None, 10).await.unwrap()
    });
    let ids = purchases.into_iter().filter_map(|entry| match entry.record.state {
        groat_core::books::PurchaseState::Bought { id, .. } => Some(id.to_string()),
        _ => None,
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids.len(), 1, "purchases that were paid");
    ids.into_iter().next().unwrap()
}

fn token_buyer(stage: &Stage, url: &str) -> Command {
    let mut command = stage.buyer(KEY, url);
    command.args(["--dialect", "token"]);
    command
}

/// A gate whose route sells tokens.
fn selling(stage: &Stage, listen: &str, facilitator: &str) -> Command {
    let config = stage.path("groat.toml");
    let route = "[[gate.route]]\nmatch = 'GET /a'\nprice = '$0.01'\npass = { ttl_s = 300 }\n";
    let key = stage.path("pass.key");
    if !key.exists() {
        std::fs::write(&key, "11".repeat(32)).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    std::fs::write(&config, format!("[gate]\npass_key = 'pass.key'\n{route}")).unwrap();
    let mut command = groat(&stage.path("gate"));
    command.args(["gate", "--json", "--listen", listen, "--pay-to", PAY_TO, "--facilitator", facilitator]);
    command.args(["--upstream", &format!("http://{}", stage.upstream.address)]);
    command.args(["--config", config.to_str().unwrap()]);
    stage.on_books(command)
}
