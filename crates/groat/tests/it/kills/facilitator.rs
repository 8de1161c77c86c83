//! A facilitator dies with a payment in its hands, and another one with the same book finishes it.

use std::process::Command;
use std::time::{Duration, Instant};

use groat_pg_cluster::Cluster;
use serde_json::{Value, json};

use super::stage::{Books, Doomed, Stage, settle, until};
use crate::processes::{Running, http, text};
use crate::world::World;

/// What the chain is made to do until the death, and what it must have then: transactions in blocks, and waiting.
struct Chain {
    trouble: &'static [(&'static str, Option<u32>)],
    mined: &'static str,
    waiting: &'static str,
}

const UNTOUCHED: Chain = Chain { trouble: &[], mined: "0x0", waiting: "0x0" };
const WAITING: Chain = Chain { trouble: &[("dev_hold", None)], mined: "0x0", waiting: "0x1" };
const UNANSWERED: Chain = Chain { trouble: &[("dev_hold", None), ("dev_loseReply", Some(1))], ..WAITING };
const MINED: Chain = Chain { trouble: &[], mined: "0x1", waiting: "0x0" };
/// Whatever is sent is lost on the way into a block.
const LOST: Chain = Chain { trouble: &[("dev_dropNext", Some(1_000))], ..UNTOUCHED };

pub(super) fn kp3(books: &Books<'_>) -> Duration {
    dies(&Stage::new(books), "KP3", UNTOUCHED, |stage| assert!(stage.slots().is_empty()))
}

pub(super) fn kp5(books: &Books<'_>) -> Duration {
    dies(&Stage::new(books), "KP5", UNTOUCHED, |stage| assert_eq!(stage.slots().len(), 1))
}

pub(super) fn kp6(books: &Books<'_>) -> Duration {
    dies(&Stage::new(books), "KP6", UNANSWERED, |_| ())
}

pub(super) fn kp7(books: &Books<'_>) -> Duration {
    dies(&Stage::new(books), "KP7", WAITING, |_| ())
}

pub(super) fn kp8(books: &Books<'_>) -> Duration {
    dies(&Stage::new(books), "KP8", MINED, |stage| assert!(!stage.slots()[0].attempts[0].raw.is_empty()))
}

pub(super) fn kp13(books: &Books<'_>) -> Duration {
    dies(&Stage::new(books), "KP13", MINED, |stage| assert!(stage.slots()[0].attempts[0].raw.is_empty()))
}

pub(super) fn kp14(books: &Books<'_>) -> Duration {
    dies(&Stage::new(books), "KP14", LOST, |stage| assert_eq!(stage.slots()[0].attempts.len(), 2))
}

/// It dies, another takes up, and the same payment gets the same transaction, twice.
fn dies(stage: &Stage, point: &'static str, chain: Chain, then: impl FnOnce(&Stage)) -> Duration {
    let world = &stage.world;
    let before = stage.doomed(stage.facilitator(), point);
    for (name, count) in chain.trouble {
        world.ask(name, json!(count.iter().collect::<Vec<_>>()));
    }
    let caller = settle(&before.running, &world.payment);
    if point == "KP14" {
        pass_by(world, &caller);
    }
    before.died();
    assert_eq!(caller.join().unwrap().0, 0, "the caller lost its answer");
    assert_eq!(world.mined(), chain.mined, "mined at its death");
    assert_eq!(world.ask("txpool_status", json!([]))["pending"], chain.waiting, "waiting at its death");
    then(stage);
    world.ask("dev_dropNext", json!([0]));
    world.ask("dev_release", json!([]));

    let (after, answer, took) = resend(stage);
    assert_eq!(World::settle(&after.said("facilitator"), &world.payment), answer, "another time");
    drop(after);
    stage.check(&[hash(&answer)]);
    assert_eq!(stage.slots().len(), 1, "nonces that were given out");
    took
}

/// Blocks pass the transaction by until its facilitator dies.
fn pass_by<T>(world: &World, caller: &std::thread::JoinHandle<T>) {
    until("the death of the facilitator", || {
        world.ask("evm_mine", json!([]));
        std::thread::sleep(Duration::from_millis(100));
        caller.is_finished().then_some(())
    });
}

/// A facilitator is started and gets the payment once more.
fn resend(stage: &Stage) -> (Running, Value, Duration) {
    let start = Instant::now();
    let after = Running::start(&mut stage.facilitator());
    let answer = World::settle(&after.said("facilitator"), &stage.world.payment);
    let took = start.elapsed();
    assert_eq!(answer["success"], true, "{answer}");
    (after, answer, took)
}

fn hash(answer: &Value) -> &str {
    answer["transaction"].as_str().unwrap()
}

pub(super) fn kp15(books: &Books<'_>) -> Duration {
    let stage = Stage::new(books);
    let asleep = stage.doomed(stage.facilitator(), "KP15");
    let caller = settle(&asleep.running, &stage.world.payment);
    asleep.sleeps();
    assert!(stage.world.transfers().is_empty());
    let (answer, took) = match books {
        Books::File => alone(&stage, &asleep),
        Books::Database(_) => {
            let (_other, answer, took) = resend(&stage);
            asleep.running.signal("CONT");
            (Some(answer), took)
        }
    };
    let woken = Instant::now();
    let (status, told) = caller.join().unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((status, &told["success"]), (200, &json!(true)), "{told}");
    assert!(answer.is_none_or(|answer| answer["transaction"] == told["transaction"]));
    drop(asleep);
    stage.check(&[hash(&told)]);
    assert_eq!(stage.slots().len(), 1, "nonces that were given out");
    took.max(woken.elapsed())
}

/// A file has one owner, also while that sleeps; it goes on where it was.
fn alone(stage: &Stage, asleep: &Doomed) -> (Option<Value>, Duration) {
    let other = stage.facilitator().output().unwrap();
    let (said, _) = text(&other);
    assert_eq!((other.status.code(), said.as_str()), (Some(20), ""), "another one starts on the same file");
    asleep.running.signal("CONT");
    (None, Duration::ZERO)
}

/// It dies when the settlement is in the book, and with it what a receiver has to hear.
pub(super) fn t20(books: &Books<'_>) -> Duration {
    let stage = Stage::new(books);
    let facilitator = || {
        let mut command = stage.facilitator();
        command.arg("--webhooks-allow-private");
        command
    };
    let before = stage.doomed(facilitator(), "KP13");
    let (endpoints, json) = ("v1/webhook_endpoints", "content-type: application/json");
    let wish = json!({ "url": format!("http://{}/hook", stage.upstream.address) }).to_string();
    let url = format!("{}/{endpoints}", before.running.said("facilitator"));
    let (status, made) = http(&url, &["-H", json, "-d", &wish]);
    assert_eq!(status, 201, "{made}");
    let caller = settle(&before.running, &stage.world.payment);
    before.died();
    assert_eq!(caller.join().unwrap().0, 0, "the caller lost its answer");
    assert!(stage.upstream.heads().is_empty(), "{:?}", stage.upstream.heads());

    let start = Instant::now();
    let after = Running::start(&mut facilitator());
    let heads = until("the webhook", || Some(stage.upstream.heads()).filter(|heads| !heads.is_empty()));
    let took = start.elapsed();
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap();
    let message = format!("webhook-id: msg_{}_1\r\n", id.trim_start_matches("we_"));
    assert!(heads[0].starts_with("POST /hook ") && heads[0].contains(&message), "{}", heads[0]);
    let listed = format!("{}/{endpoints}/{id}/deliveries", after.said("facilitator"));
    until("its end", || http(&listed, &[]).1.contains("\"state\":\"delivered\"").then_some(()));
    let answer = World::settle(&after.said("facilitator"), &stage.world.payment);
    drop(after);
    stage.check(&[hash(&answer)]);
    assert_eq!(stage.upstream.heads().len(), 1, "told once");
    took
}

pub(super) fn kp16(books: &Books<'_>) -> Duration {
    let stage = Stage::new(books);
    let pay = |facilitator: &Running, nonce| {
        let answer = World::settle(&facilitator.said("facilitator"), &stage.world.pay(nonce));
        assert_eq!(answer["success"], true, "{answer}");
        hash(&answer).to_owned()
    };
    let first = Running::start(&mut stage.facilitator());
    let old = pay(&first, 1);
    first.kill();
    let copy = Copy::take(&stage, books);
    let before = stage.doomed(stage.facilitator(), "KP13");
    let caller = settle(&before.running, &stage.world.payment);
    before.died();
    assert_eq!(caller.join().unwrap().0, 0, "the caller lost its answer");
    assert_eq!(stage.slots().len(), 2);
    copy.put_back(&stage);
    assert_eq!(stage.slots().len(), 1, "the book knows nothing of the second payment");

    let (after, answer, took) = resend(&stage);
    // Its nonce is not given out once more.
    let next = pay(&after, 3);
    stage.check(&[&old, hash(&answer), &next]);
    took
}

/// An older copy of a book.
enum Copy<'a> {
    Folder(std::path::PathBuf),
    Database(&'a Cluster, String),
}

impl<'a> Copy<'a> {
    fn take(stage: &Stage, books: &Books<'a>) -> Self {
        match (books, &stage.url) {
            (Books::Database(cluster), Some(url)) => {
                let name = url.rsplit_once('/').unwrap().1.to_owned();
                // The server may not have noticed yet that its client is gone.
                cluster.sql(
                    "postgres",
                    &format!(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                    ),
                );
                cluster.sql("postgres", &format!("CREATE DATABASE {name}_copy TEMPLATE {name}"));
                Self::Database(cluster, name)
            }
            _ => {
                let copy = stage.path("copy");
                files(&stage.path("facilitator"), &copy);
                Self::Folder(copy)
            }
        }
    }

    fn put_back(self, stage: &Stage) {
        match self {
            Self::Folder(copy) => {
                std::fs::remove_dir_all(stage.path("facilitator")).unwrap();
                files(&copy, &stage.path("facilitator"));
            }
            Self::Database(cluster, name) => {
                cluster.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
                cluster.sql("postgres", &format!("ALTER DATABASE {name}_copy RENAME TO {name}"));
            }
        }
    }
}

/// With their modes, as `cp` does: who else may read a book matters.
fn files(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
