//! Books in a PostgreSQL database: chosen by an option, the environment or a file, and never a password in what is said.

use groat_chain_evm::ExactEvm;
use groat_core::ports::Mechanism;
use groat_pg_cluster::Cluster;
use groat_wire::facilitator;
use serde_json::json;

use crate::processes::{Running, groat, http, text};
use crate::world::{Upstream, World, offer};

fn database(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

#[test]
fn kp6_a_facilitator_killed_after_broadcast_finds_its_payment_in_the_database_from_another_folder() {
    let (world, cluster) = (World::new(), Cluster::start());
    let url = cluster.database();
    let start = || {
        let data = tempfile::tempdir().unwrap();
        let mut command = world.facilitator_command(data.path());
        (Running::start(command.env("GROAT_STORE", &url)), data)
    };
    let (before, _folder) = start();
    assert!(!before.ready.to_string().contains(cluster.password()), "{}", before.ready);
    assert!(before.said("book").starts_with("postgres://groat@127.0.0.1:"), "{}", before.ready);
    world.ask("dev_hold", json!([]));
    let (asked, payment) = (before.said("facilitator"), world.payment.clone());
    let caller = std::thread::spawn(move || {
        let body = facilitator::write_request(&payment, &offer());
        http(&format!("{asked}/settle"), &["-H", "content-type: application/json", "-d", &body])
    });
    world.until_broadcast(&caller);
    let id = ExactEvm::offline().key(&world.payment, &offer()).unwrap().0.id();
    let states = format!("SELECT state FROM groat.records WHERE book = 'settlements' AND key = '{id}'");
    assert_eq!(cluster.sql(database(&url), &states), "submitted");
    before.kill();
    assert_eq!(caller.join().unwrap().0, 0, "the caller lost its answer");

    let (after, _folder) = start();
    assert_eq!(after.said("openPayments"), "1");
    world.ask("dev_release", json!([]));
    let answer = World::settle(&after.said("facilitator"), &world.payment);
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(world.mined(), "0x1");
    assert_eq!(cluster.sql(database(&url), &states), "settled");
}

#[test]
fn o08_a_gate_whose_database_is_away_says_503_and_goes_on_when_it_is_back() {
    let (world, cluster, upstream) = (World::new(), Cluster::start(), Upstream::start());
    let data = tempfile::tempdir().unwrap();
    let mut command = world.gate_command(data.path(), "127.0.0.1:0", &upstream);
    let gate = Running::start(command.args(["--store", &cluster.database()]));
    let (url, field) = (format!("{}/a", gate.said("gate")), world.field());
    cluster.stop();
    let (status, body) = http(&url, &["-H", &field]);
    assert_eq!(status, 503, "{body}");
    assert!(!body.contains(cluster.password()) && !body.contains("postgres"), "{body}");
    assert!(upstream.heads().is_empty(), "nothing is served that cannot be written down");
    cluster.resume();
    let (status, body) = http(&url, &["-H", &field]);
    assert_eq!((status, body.as_str()), (200, "upstream says hello"));
    assert_eq!(world.mined(), "0x1");
}

#[test]
fn a_store_that_cannot_be_used_is_one_sentence_without_the_password() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("groat.toml");
    std::fs::write(&config, "[facilitator]\nstore = \"mysql://ann:sesame@localhost/books\"\n").unwrap();
    let config = config.to_str().unwrap();
    let away = "postgres://ann:sesame@127.0.0.1:1/books";
    for (arguments, variable, part) in [
        (vec!["--store", away], None, "postgres://ann@127.0.0.1:1/books cannot be used"),
        (vec![], Some(away), "postgres://ann@127.0.0.1:1/books cannot be used"),
        (vec!["--store", "mysql://ann:sesame@localhost/books"], None, "`mysql://` is no kind of store"),
        (vec!["--store", "postgres://ann:sesame@db.example.com/books"], None, "add ?sslmode=require"),
        (vec!["--config", config], None, "groat.toml:2: `mysql://` is no kind of store"),
    ] {
        let mut command = groat(data.path());
        command.args(["facilitator", "-vv", "--rpc", "http://127.0.0.1:1"]).args(&arguments);
        command.env("GROAT_SIGNER_KEYS", format!("0x{}", "1".repeat(64)));
        let output = command.envs(variable.map(|url| ("GROAT_STORE", url))).output().unwrap();
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(20), "{stderr}");
        assert!(stderr.contains(part) && !stderr.contains("sesame") && stdout.is_empty(), "{stderr}");
    }
    let help = groat(data.path()).args(["gate", "--help"]).env("GROAT_STORE", away).output().unwrap();
    assert!(text(&help).0.contains("GROAT_STORE") && !text(&help).0.contains("sesame"));
}
