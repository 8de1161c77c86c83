//! The kill matrix: every kill point of the threat model on both stores, with processes that really die there.
//!
//! `cargo xtask kills` builds the binary with its failpoints and prints the table. What each point means and where it lies
//! in the code is told in `crates/failpoints`.

mod balance;
mod buyer;
mod facilitator;
mod gate;
mod stage;
mod token;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use groat_pg_cluster::Cluster;

use stage::Books;

/// From the restart to the answer. The chain makes a block for each transaction, so there is no block time to add.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

struct Row {
    point: &'static str,
    /// Who dies, after what; what is right then.
    story: &'static str,
    /// How long from the restart to the right answer.
    run: fn(&Books<'_>) -> Duration,
}

const ROWS: [Row; 25] = [
    Row { point: "KP0", story: "gate: payment read; the resend buys", run: gate::kp0 },
    Row { point: "KP1", story: "gate: held; the resend takes the hold up", run: gate::kp1 },
    Row { point: "KP2", story: "gate: verified, nothing held; the resend buys", run: gate::kp2 },
    Row { point: "KP3", story: "facilitator: room taken in memory; settled anew", run: facilitator::kp3 },
    Row { point: "KP4", story: "gate: run begun; a GET runs once more", run: gate::kp4 },
    Row {
        point: "KP5",
        story: "facilitator: written, not sent; those bytes are sent",
        run: facilitator::kp5,
    },
    Row { point: "KP6", story: "facilitator: sent, no answer; found by its hash", run: facilitator::kp6 },
    Row { point: "KP7", story: "facilitator: the node has it; found by its hash", run: facilitator::kp7 },
    Row {
        point: "KP8",
        story: "facilitator: mined, not looked at; its receipt is read",
        run: facilitator::kp8,
    },
    Row { point: "KP9", story: "gate: paid first, not run; the resend runs it", run: gate::kp9 },
    Row { point: "KP10", story: "gate: run, not kept; GET runs again, POST: refund due", run: gate::kp10 },
    Row { point: "KP11", story: "gate: kept, not sent; the kept answer", run: gate::kp11 },
    Row { point: "KP12", story: "gate: kept, half sent; the kept answer", run: gate::kp12 },
    Row {
        point: "KP13",
        story: "facilitator: settled, nobody told; told from the book",
        run: facilitator::kp13,
    },
    Row {
        point: "KP14",
        story: "facilitator: more gas signed, not sent; those bytes are sent",
        run: facilitator::kp14,
    },
    Row {
        point: "KP15",
        story: "facilitator: asleep before it writes; wakes up and writes nothing",
        run: facilitator::kp15,
    },
    Row { point: "KP16", story: "facilitator: book put back; found on the chain", run: facilitator::kp16 },
    Row { point: "KP17", story: "buyer: signed and noted, not sent; the same is sent", run: buyer::kp17 },
    Row { point: "KP18", story: "buyer: sent, nothing noted; the same is sent again", run: buyer::kp18 },
    Row { point: "6C-B", story: "buyer of a token, at each of its points; resumed", run: token::buyer },
    Row { point: "6C-G", story: "gate that sells a token, at each of its points; resumed", run: token::gate },
    Row {
        point: "6C-F",
        story: "facilitator of a token, at each of its points; resumed",
        run: token::facilitator,
    },
    Row {
        point: "6C-D",
        story: "gate that takes a debit, at each of its points; resumed",
        run: balance::debit,
    },
    Row {
        point: "6C-T",
        story: "gate whose payer tops up, at each of its points; resumed",
        run: balance::top_up,
    },
    Row {
        point: "T20",
        story: "facilitator: settled, webhook not sent (KP13); the next one sends it",
        run: facilitator::t20,
    },
];

#[test]
fn whoever_dies_at_a_kill_point_loses_nothing_and_takes_nothing_twice() {
    let only = std::env::var("GROAT_KILLS_ONLY").ok().filter(|point| !point.is_empty());
    let rows: Vec<&Row> =
        ROWS.iter().filter(|row| only.as_deref().is_none_or(|point| row.point == point)).collect();
    assert!(!rows.is_empty(), "there is no row {only:?}: KP0 to KP18, 6C-B, 6C-G, 6C-F, 6C-D, 6C-T, and T20");
    let cluster = Cluster::start();
    let column = |books: Books<'_>| rows.iter().map(|row| outcome(row, &books)).collect::<Vec<_>>();
    let (files, databases) = std::thread::scope(|scope| {
        let files = scope.spawn(|| column(Books::File));
        let databases = scope.spawn(|| column(Books::Database(&cluster)));
        (files.join().unwrap(), databases.join().unwrap())
    });
    println!(
        "\n| Point | Who dies after what; what is right | SQLite | PostgreSQL |\n| --- | --- | --- | --- |"
    );
    for (row, (file, database)) in rows.iter().zip(files.iter().zip(&databases)) {
        let shown = |outcome: &Result<Duration, String>| match outcome {
            Ok(took) => format!("{:.1} s", took.as_secs_f64()),
            Err(_) => "**wrong**".to_owned(),
        };
        println!("| {} | {} | {} | {} |", row.point, row.story, shown(file), shown(database));
    }
    let wrong: Vec<&String> =
        files.iter().chain(&databases).filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), 2 * rows.len());
}

/// How long a row took to recover, or what is wrong with it.
fn outcome(row: &Row, books: &Books<'_>) -> Result<Duration, String> {
    let told = |what: String| format!("{} on {books}: {what}", row.point);
    match catch_unwind(AssertUnwindSafe(|| (row.run)(books))) {
        Ok(took) if took <= RECOVERY_MAX => Ok(took),
        Ok(took) => Err(told(format!("the answer came {:.1} s after the restart", took.as_secs_f64()))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(told(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()))
        }
    }
}
