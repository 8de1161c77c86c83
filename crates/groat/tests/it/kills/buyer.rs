//! A buyer dies with a signed payment, and the same command sends the same payment.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use groat_buyer::LocalSigner;
use serde_json::{Value, json};

use super::stage::{Books, Stage};
use crate::processes::{Running, text};

const KEY: &str = "0x7777777777777777777777777777777777777777777777777777777777777777";

pub(super) fn kp17(books: &Books<'_>) -> Duration {
    dies(books, "KP17", 0)
}

pub(super) fn kp18(books: &Books<'_>) -> Duration {
    dies(books, "KP18", 1)
}

/// `taken` says how many payments the seller has taken when the buyer dies.
fn dies(books: &Books<'_>, point: &'static str, taken: usize) -> Duration {
    let stage = Stage::new(books);
    let account = LocalSigner::from_hex(KEY).unwrap().address();
    stage.world.ask("dev_mintUsdc", json!([account, "1000000"]));
    let facilitator = Running::start(&mut stage.facilitator());
    let gate = Running::start(&mut stage.gate("127.0.0.1:0", &facilitator));
    let url = format!("{}/a", gate.said("gate"));
    let mut command = stage.buyer(KEY, &url);
    let died = command.env("GROAT_FAILPOINT", point).stderr(std::process::Stdio::piped()).output().unwrap();
    let (_, words) = text(&died);
    assert!(words.contains(&format!("failpoint {point}: killed")), "it did not die at its point: {words}");
    assert_eq!(died.status.signal(), Some(9), "{}", died.status);
    assert_eq!((stage.world.transfers().len(), stage.upstream.heads().len()), (taken, taken));

    let start = Instant::now();
    let again = stage.buyer(KEY, &url).output().unwrap();
    let took = start.elapsed();
    let answer: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&answer["status"], &answer["payment"]["resent"]), (&json!(200), &json!(true)), "{answer}");
    assert_eq!(answer["body"], "upstream says hello");
    assert_eq!(stage.upstream.heads().len(), 1, "runs of the handler");
    stage.check(&[answer["payment"]["transaction"].as_str().unwrap()]);
    took
}
