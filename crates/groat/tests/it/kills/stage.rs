//! A chain, an API, books on one of the stores, and processes of which one is told to die.

use std::fmt;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use groat_core::Payment;
use groat_core::books::Slot;
use groat_core::ports::Store;
use groat_pg_cluster::Cluster;
use groat_store::{Journal, PostgresStore, SqliteStore};
use serde_json::json;
use tempfile::TempDir;

use crate::processes::{Running, groat};
use crate::world::{self, Upstream, World};

/// Where facilitator and gate keep their books.
#[derive(Clone, Copy)]
pub(super) enum Books<'a> {
    File,
    Database(&'a Cluster),
}

impl fmt::Display for Books<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if matches!(self, Self::File) { "SQLite" } else { "PostgreSQL" })
    }
}

/// One row's world.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) upstream: Upstream,
    folder: TempDir,
    /// Of the database, where the books lie in one.
    pub(super) url: Option<String>,
}

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

impl Stage {
    pub(super) fn new(books: &Books<'_>) -> Self {
        let url = match books {
            Books::File => None,
            Books::Database(cluster) => Some(cluster.database()),
        };
        let upstream = Upstream::hesitating(Duration::from_millis(100));
        Self { world: World::new(), upstream, folder: tempfile::tempdir().unwrap(), url }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn facilitator(&self) -> Command {
        self.on_books(self.world.facilitator_command(&self.path("facilitator")))
    }

    /// The same facilitator, where it was before.
    pub(super) fn facilitator_at(&self, listen: &str) -> Command {
        self.on_books(self.world.facilitator_at(listen, &self.path("facilitator")))
    }

    pub(super) fn gate(&self, listen: &str, facilitator: &Running) -> Command {
        let mut command = world::gate(&self.path("gate"), listen, &self.upstream);
        command.args(["--facilitator", &facilitator.said("facilitator")]);
        self.on_books(command)
    }

    /// A buyer with money; its journal is a file, whatever the others use.
    pub(super) fn buyer(&self, key: &str, url: &str) -> Command {
        let mut command = groat(&self.path("buyer"));
        command.args(["pay", "--json", url]).env("GROAT_PRIVATE_KEY", key);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    pub(super) fn on_books(&self, mut command: Command) -> Command {
        command.envs(self.url.as_ref().map(|url| ("GROAT_STORE", url))).stderr(Stdio::null());
        command
    }

    /// Starts a process that ends, or falls asleep, at a kill point.
    pub(super) fn doomed(&self, mut command: Command, point: &'static str) -> Doomed {
        let words = self.path("last-words");
        command.env("GROAT_FAILPOINT", point).stderr(File::create(&words).unwrap());
        Doomed { running: Running::start(&mut command), words, point }
    }

    /// The one transaction of each payment that was settled: no signer nonce twice, nothing reverted, nothing else.
    pub(super) fn check(&self, wanted: &[&str]) {
        assert_eq!(self.world.transfers(), wanted, "what the chain has, and what was said");
        let nonce = self.world.mined();
        assert_eq!(nonce, format!("0x{:x}", wanted.len()), "transactions of the signer");
        for hash in wanted {
            let receipt = self.world.ask("eth_getTransactionReceipt", json!([hash]));
            assert_eq!(receipt["status"], "0x1", "{receipt}");
        }
    }

    /// What the facilitator's book says of nonces; nobody may have it open when it is a file.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let slots = async {
            let store: Arc<dyn Store> = match &self.url {
                Some(url) => Arc::new(PostgresStore::open(url).await.unwrap()),
                None => Arc::new(SqliteStore::open(&self.path("facilitator/facilitator.db")).unwrap()),
            };
            Journal::<Slot>::new(store).scan_all(None, 100).await.unwrap()
        };
        runtime.block_on(slots).into_iter().map(|entry| entry.record).collect()
    }
}

/// A process that was told where to die.
pub(super) struct Doomed {
    pub(super) running: Running,
    words: PathBuf,
    point: &'static str,
}

impl Doomed {
    /// It died by SIGKILL, at its point and nowhere else.
    pub(super) fn died(mut self) {
        let status = until("the end of the process", || self.running.ended());
        let words = self.last_words("killed");
        assert!(
            words.is_some(),
            "it did not die at its point: {}",
            std::fs::read_to_string(&self.words).unwrap()
        );
        assert_eq!(status.signal(), Some(9), "{status}");
    }

    /// It sleeps at its point.
    pub(super) fn sleeps(&self) {
        until("its sleep", || self.last_words("stopped"));
        let stat = format!("/proc/{}/stat", self.running.id());
        until("its sleep", || std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(()));
    }

    fn last_words(&self, how: &str) -> Option<()> {
        let words = std::fs::read_to_string(&self.words).unwrap();
        words.contains(&format!("failpoint {}: {how}", self.point)).then_some(())
    }
}

/// Waits for something that must come.
pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not come in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A call of a facilitator that may lose its answer.
pub(super) fn settle(facilitator: &Running, payment: &Payment) -> std::thread::JoinHandle<(u16, String)> {
    let (url, payment) = (facilitator.said("facilitator"), payment.clone());
    std::thread::spawn(move || World::try_settle(&url, &payment))
}
