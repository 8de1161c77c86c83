//! Two facilitators with one signer and two gates on one database, as during a rolling restart, while they are killed and
//! stopped: every payment settles once, and both gates say the same of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use groat_pg_cluster::Cluster;
use serde_json::json;

use crate::processes::{Running, http, transaction};
use crate::world::{Upstream, World, field, gate};

const PAYMENTS: u8 = 50;
/// Payments under way at once.
const BUYERS: usize = 8;
/// A gate that asks a facilitator which sleeps gives up after half a minute, and once more.
const PATIENCE: Duration = Duration::from_secs(150);

struct Shop<'a> {
    world: &'a World,
    upstream: &'a Upstream,
    folder: &'a Path,
    url: String,
}

impl Shop<'_> {
    fn facilitator(&self, name: &str, listen: &str) -> Running {
        self.start(self.world.facilitator_at(listen, &self.folder.join(name)))
    }

    fn gate(&self, name: &str, facilitator: &Running) -> Running {
        let mut command = gate(&self.folder.join(name), "127.0.0.1:0", self.upstream);
        command.args(["--facilitator", &facilitator.said("facilitator")]);
        // Buyers know one shop, whoever answers.
        command.args(["--public-url", "http://shop.example"]);
        self.start(command)
    }

    fn start(&self, mut command: Command) -> Running {
        Running::start(command.env("GROAT_STORE", &self.url).stderr(Stdio::null()))
    }
}

#[test]
#[ignore = "takes half a minute: cargo xtask kills"]
fn two_facilitators_and_two_gates_on_one_postgres_settle_each_of_fifty_payments_once() {
    let pause_s = std::env::var("GROAT_PAUSE_S").map_or(10, |seconds| seconds.parse().unwrap());
    let pause = Duration::from_secs(pause_s);
    let (world, upstream, cluster) = (World::new(), Upstream::start(), Cluster::start());
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop { world: &world, upstream: &upstream, folder: folder.path(), url: cluster.database() };
    let one = shop.facilitator("one", "127.0.0.1:0");
    let other = shop.facilitator("other", "127.0.0.1:0");
    let gates = [shop.gate("left", &one), shop.gate("right", &other)]
        .map(|gate| (format!("{}/a", gate.said("gate")), gate));
    let urls = [gates[0].0.as_str(), gates[1].0.as_str()];

    // The payments come evenly, before, while and after things go wrong.
    let (next, start) = (AtomicU8::new(0), Instant::now());
    let every = (pause + Duration::from_secs(6)) / u32::from(PAYMENTS);
    let buyer = || {
        let mut seen = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= PAYMENTS {
                return seen;
            }
            std::thread::sleep((start + every * u32::from(number)).saturating_duration_since(Instant::now()));
            seen.push(buy(&world, urls, number));
        }
    };
    let seen: Vec<Bought> = std::thread::scope(|scope| {
        let buyers: Vec<_> = (0..BUYERS).map(|_| scope.spawn(buyer)).collect();
        std::thread::sleep(Duration::from_secs(2));
        let address = one.said("facilitator").trim_start_matches("http://").to_owned();
        one.kill();
        let _one = shop.facilitator("one", &address);
        std::thread::sleep(Duration::from_secs(1));
        other.signal("STOP");
        std::thread::sleep(pause);
        other.signal("CONT");
        buyers.into_iter().flat_map(|buyer| buyer.join().unwrap()).collect()
    });

    let carried: BTreeSet<&str> = seen.iter().map(|bought| bought.transaction.as_str()).collect();
    let transfers = world.transfers();
    assert_eq!((seen.len(), transfers.len()), (usize::from(PAYMENTS), usize::from(PAYMENTS)), "settled once");
    assert_eq!(
        carried,
        transfers.iter().map(String::as_str).collect(),
        "what was said, and what the chain has"
    );
    assert_eq!(world.mined(), format!("0x{:x}", carried.len()), "transactions of the signer");
    for hash in &carried {
        assert_eq!(world.ask("eth_getTransactionReceipt", json!([hash]))["status"], "0x1", "{hash}");
    }
    let slots =
        "SELECT count(*), count(*) FILTER (WHERE state = 'lost') FROM groat.records WHERE book = 'nonces'";
    let database = shop.url.rsplit_once('/').unwrap().1;
    assert_eq!(cluster.sql(database, slots), format!("{}|0", carried.len()), "nonces given out, and lost");
    let slowest = seen.iter().map(|bought| bought.took).max().unwrap();
    let told = seen.iter().fold(BTreeMap::new(), |mut told, bought| {
        bought.unknown.iter().for_each(|status| *told.entry(*status).or_insert(0) += 1);
        told
    });
    println!(
        "\n{PAYMENTS} payments at two gates: {PAYMENTS} settled in {} transactions, 0 twice, 0 reverted; one facilitator \
         killed, the other stopped for {pause_s} s; slowest {:.1} s; \"not yet\" by status: {told:?}",
        carried.len(),
        slowest.as_secs_f64()
    );
}

struct Bought {
    transaction: String,
    took: Duration,
    /// Statuses of the answers that said "not yet".
    unknown: Vec<u16>,
}

/// One payment to both gates at once, and again while one says that it does not know yet.
fn buy(world: &World, urls: [&str; 2], number: u8) -> Bought {
    let (start, field) = (Instant::now(), field(&world.pay(number)));
    let [left, right] = std::thread::scope(|scope| {
        urls.map(|url| scope.spawn(|| insist(url, &field))).map(|caller| caller.join().unwrap())
    });
    assert_eq!(left.0, right.0, "two gates name two transactions for payment {number}");
    Bought { transaction: left.0, took: start.elapsed(), unknown: [left.1, right.1].concat() }
}

fn insist(url: &str, field: &str) -> (String, Vec<u16>) {
    let (start, mut unknown) = (Instant::now(), Vec::new());
    loop {
        let (status, text) = http(url, &["-i", "-H", field]);
        if status == 200 {
            return (transaction(&text), unknown);
        }
        let told = text.to_ascii_lowercase();
        assert!(matches!(status, 409 | 503) && told.contains("retry-after:"), "{text}");
        assert!(start.elapsed() < PATIENCE, "still not known: {text}");
        unknown.push(status);
        std::thread::sleep(Duration::from_millis(500));
    }
}
