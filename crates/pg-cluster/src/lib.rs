//! A PostgreSQL server for one test: made from Debian's binaries in a folder of its own, and gone with the test process.
//!
//! It keeps its promises (fsync is on), listens on a loopback port that was free, and wants passwords. Whatever is missing
//! is a panic that says how to get it: a test that needs a server must not pass without one.

mod keeper;
mod programs;

use std::io::{Read as _, Seek as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keeper::Keeper;
use programs::Programs;

/// A server with one superuser, `groat`. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    password: String,
    _keeper: Keeper,
}

impl Cluster {
    /// Makes and starts a server.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Makes and starts a server with further settings, as `ssl=on`.
    pub fn start_with(settings: &[&str]) -> Self {
        let programs = Programs::find();
        let folder =
            tempfile::Builder::new().prefix("groat-pg-").tempdir().expect("a temporary folder").keep();
        programs.give(&folder);
        let keeper = Keeper::watch(&folder);
        let cluster = Self { programs, folder, port: free_port(), password: secret(), _keeper: keeper };
        cluster.make(settings);
        cluster.resume();
        cluster
    }

    fn make(&self, settings: &[&str]) {
        let secret = self.folder.join("password");
        std::fs::write(&secret, &self.password).expect("the folder can be written");
        self.programs.give(&secret);
        let mut initdb = self.programs.command("initdb");
        initdb.args(["--username=groat", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]);
        // Only the making is not synced; the server itself syncs.
        initdb.args(["--no-sync", "--wal-segsize=1", "--pwfile"]).arg(&secret);
        run(initdb.arg("--pgdata").arg(self.data()));
        let mut text = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = on\n",
            self.port,
            self.folder.display()
        );
        for setting in settings {
            let (name, value) = setting.split_once('=').expect("a setting is name=value");
            text.push_str(&format!("{name} = '{value}'\n"));
        }
        let file = self.data().join("groat.conf");
        std::fs::write(&file, text).expect("the folder can be written");
        self.programs.give(&file);
        let main = self.data().join("postgresql.conf");
        let before = std::fs::read_to_string(&main).expect("initdb wrote it");
        std::fs::write(main, before + "\ninclude 'groat.conf'\n").expect("the folder can be written");
    }

    /// Starts it again after [`Cluster::kill`] or [`Cluster::stop`], on the same port, and waits until it answers.
    pub fn resume(&self) {
        let mut start = self.programs.command("pg_ctl");
        start.args(["start", "--wait", "--timeout=60", "--silent", "--pgdata"]).arg(self.data());
        let log = self.folder.join("log");
        start.arg("--log").arg(&log);
        if let Err(told) = try_run(&mut start) {
            panic!("{told}{}", std::fs::read_to_string(log).unwrap_or_default());
        }
    }

    /// Stops it as an operator does in a hurry: open sessions are cut, what is under way is rolled back.
    pub fn stop(&self) {
        let mut stop = self.programs.command("pg_ctl");
        run(stop.args(["stop", "--wait", "--mode=fast", "--silent", "--pgdata"]).arg(self.data()));
    }

    /// Kills every process of the running server at once and without a warning (SIGKILL).
    pub fn kill(&self) {
        // The first one starts the others; asleep it starts none that we would not see, and nobody notices the first death.
        self.freeze(&self.processes()[..1]);
        let processes = self.processes();
        self.freeze(&processes);
        for process in &processes {
            keeper::signal(*process, rustix::process::Signal::KILL);
        }
        while processes.iter().any(|process| keeper::is_alive(*process)) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // Where nobody collects the dead, as in some containers, its process id looks alive and forbids another start.
        for lock in
            [self.data().join("postmaster.pid"), self.folder.join(format!(".s.PGSQL.{}.lock", self.port))]
        {
            let _ = std::fs::remove_file(lock);
        }
    }

    /// The process ids: the first is the one that starts the others.
    pub fn processes(&self) -> Vec<u32> {
        keeper::processes(&self.data())
    }

    /// Stops processes without ending them (SIGSTOP).
    pub fn freeze(&self, processes: &[u32]) {
        processes.iter().for_each(|process| keeper::signal(*process, rustix::process::Signal::STOP));
    }

    /// Lets them go on (SIGCONT).
    pub fn thaw(&self, processes: &[u32]) {
        processes.iter().for_each(|process| keeper::signal(*process, rustix::process::Signal::CONT));
    }

    /// No file of the running server can grow beyond this; its log of changes has files of 1 MiB.
    pub fn limit_file_size(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let set = |process: u32| {
            let mut prlimit = self.programs.as_server(Path::new("prlimit"));
            let set = try_run(prlimit.arg(format!("--fsize={limit}:")).args(["--pid", &process.to_string()]));
            assert!(set.is_ok() || !keeper::is_alive(process), "{set:?}");
        };
        // The first one hands the limit on to those that it starts.
        self.processes().into_iter().take(1).for_each(set);
        self.processes().into_iter().for_each(set);
    }

    /// Changes a setting of the running server, and waits until new sessions see it.
    pub fn configure(&self, name: &str, value: &str) {
        let file = self.data().join("groat.conf");
        let text = std::fs::read_to_string(&file).expect("it was written at the start");
        std::fs::write(&file, format!("{text}{name} = '{value}'\n")).expect("the folder can be written");
        run(self.programs.command("pg_ctl").args(["reload", "--silent", "--pgdata"]).arg(self.data()));
        while self.sql("postgres", &format!("SHOW {name}")) != value {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Makes it speak TLS with this certificate and key.
    pub fn certify(&self, certificate: &Path, key: &Path) {
        for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = self.data().join(to);
            std::fs::copy(from, &to).expect("the folder can be written");
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
            self.programs.give(&to);
        }
        self.configure("ssl", "on");
    }

    /// Makes an empty database and answers its URL, password included.
    pub fn database(&self) -> String {
        let name = format!("test_{}", &secret()[..16]);
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database, password included.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://groat:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// What the superuser's password is.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket, its log and its data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Runs SQL with `psql` as a person would, and answers what it prints: columns separated by `|`, no headings.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.programs.path("psql"));
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "groat", "-h", "127.0.0.1"]);
        psql.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        let output = psql.env("PGPASSWORD", &self.password).output().expect("psql can be started");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

fn run(command: &mut Command) {
    try_run(command).unwrap_or_else(|told| panic!("{told}"));
}

/// What the program said, when it failed.
fn try_run(command: &mut Command) -> Result<(), String> {
    // A file and no pipe: a server that goes on in the background would hold its end open.
    let mut log = tempfile::tempfile().expect("a temporary file");
    let stream = || log.try_clone().expect("a second handle");
    let status = command.stdin(Stdio::null()).stdout(stream()).stderr(stream()).status();
    if status.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let mut text = String::new();
    let _ = log.rewind().and_then(|()| log.read_to_string(&mut text));
    Err(format!("{command:?} failed: {text}"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn secret() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("randomness");
    hex::encode(bytes)
}
