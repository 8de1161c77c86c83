//! A gate dies with a paid request in its hands; the buyer sends the same request to the one that is started after it.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::stage::{Books, Stage, until};
use crate::processes::{Running, http, transaction};

/// What the resend must get.
#[derive(Clone, Copy, PartialEq)]
enum Right {
    /// The answer, after so many runs of the handler in all.
    Answer { runs: usize },
    /// Paid, and neither run again nor forgotten.
    RefundDue,
}

const ONCE: Right = Right::Answer { runs: 1 };

pub(super) fn kp0(books: &Books<'_>) -> Duration {
    dies(books, "KP0", "GET", ONCE)
}

pub(super) fn kp1(books: &Books<'_>) -> Duration {
    dies(books, "KP1", "GET", ONCE)
}

pub(super) fn kp2(books: &Books<'_>) -> Duration {
    dies(books, "KP2", "GET", ONCE)
}

pub(super) fn kp4(books: &Books<'_>) -> Duration {
    dies(books, "KP4", "GET", ONCE)
}

pub(super) fn kp9(books: &Books<'_>) -> Duration {
    dies(books, "KP9", "POST", ONCE)
}

pub(super) fn kp10(books: &Books<'_>) -> Duration {
    let safe = dies(books, "KP10", "GET", Right::Answer { runs: 2 });
    safe.max(dies(books, "KP10", "POST", Right::RefundDue))
}

pub(super) fn kp11(books: &Books<'_>) -> Duration {
    dies(books, "KP11", "GET", ONCE)
}

pub(super) fn kp12(books: &Books<'_>) -> Duration {
    dies(books, "KP12", "POST", ONCE)
}

fn dies(books: &Books<'_>, point: &'static str, method: &'static str, right: Right) -> Duration {
    let stage = Stage::new(books);
    let facilitator = Running::start(&mut stage.facilitator());
    let before = stage.doomed(stage.gate("127.0.0.1:0", &facilitator), point);
    let gate = before.running.said("gate");
    let (url, field) = (format!("{gate}/a"), stage.world.field());
    let caller = ask(&url, method, &field);
    before.died();
    let (_, part) = caller.join().unwrap();
    // Of a request that is paid first the answer flows; only its end waits for the book.
    assert_eq!(part.ends_with("upstream "), method == "POST" && point != "KP9", "{part}");
    assert!(!part.contains("says hello"), "{part}");

    let start = Instant::now();
    let _after = Running::start(&mut stage.gate(gate.trim_start_matches("http://"), &facilitator));
    let answer = insist(&url, method, &field);
    let took = start.elapsed();
    match right {
        Right::Answer { runs } => {
            assert!(answer.0 == 200 && answer.1.ends_with("upstream says hello"), "{answer:?}");
            assert_eq!(stage.upstream.heads().len(), runs, "runs of the handler");
        }
        Right::RefundDue => {
            assert!(answer.0 == 409 && answer.1.contains("refund_due"), "{answer:?}");
            assert_eq!(stage.upstream.heads().len(), 1, "runs of the handler");
        }
    }
    let runs = stage.upstream.heads().len();
    let paid = transaction(&answer.1);
    let again = insist(&url, method, &field);
    assert_eq!((again.0, transaction(&again.1)), (answer.0, paid.clone()), "another time");
    assert_eq!(stage.upstream.heads().len(), runs, "runs of the handler");
    stage.check(&[&paid]);
    took
}

fn ask(url: &str, method: &'static str, field: &str) -> JoinHandle<(u16, String)> {
    let (url, field) = (url.to_owned(), field.to_owned());
    std::thread::spawn(move || http(&url, &["-i", "-X", method, "-H", &field]))
}

/// As buyers do: the same again while the gate says that it does not know yet. It must say when to come again.
fn insist(url: &str, method: &'static str, field: &str) -> (u16, String) {
    until("an answer", || {
        let (status, text) = ask(url, method, field).join().unwrap();
        let unknown = status == 503 || text.contains("payment_in_progress");
        assert!(!unknown || text.to_ascii_lowercase().contains("retry-after:"), "{text}");
        (!unknown).then_some((status, text))
    })
}
