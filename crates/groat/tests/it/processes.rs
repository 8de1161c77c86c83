//! Starting the binary and its peers, and ending them with the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use base64::Engine as _;
use serde_json::Value;

/// A process that ends with the test.
pub(crate) struct Running {
    child: Child,
    /// What it said when it was ready.
    pub(crate) ready: Value,
}

impl Running {
    /// Starts a command and waits for its JSON line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{command:?} said {line:?}"));
        Self { child, ready }
    }

    pub(crate) fn said(&self, name: &str) -> String {
        self.ready[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.ready)).to_owned()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name, as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    /// How it ended, when it has.
    #[cfg(feature = "failpoints")]
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends it without a warning, as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The built binary with a data folder of its own.
pub(crate) fn groat(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_groat"));
    command.arg("--data-dir").arg(data);
    // What a developer has set for himself must not matter here.
    for variable in [
        "GROAT_FAILPOINT",
        "GROAT_FACILITATOR_KEY",
        "GROAT_PRIVATE_KEY",
        "GROAT_SIGNER_KEYS",
        "GROAT_PASSWORD_FILE",
        "GROAT_RPC",
        "GROAT_STORE",
        "RUST_LOG",
    ] {
        command.env_remove(variable);
    }
    command
}

/// The sample universe on free ports.
pub(crate) fn dev(data: &Path) -> Running {
    let ports = ["--port", "0", "--facilitator-port", "0", "--chain-port", "0", "--json"];
    Running::start(groat(data).arg("dev").args(ports))
}

/// One JSON-RPC call to a chain.
pub(crate) fn rpc(url: &str, method: &str, params: &Value) -> Value {
    let call = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer: Value = serde_json::from_str(&http(url, &["-X", "POST", "-d", &call.to_string()]).1).unwrap();
    answer.get("result").unwrap_or_else(|| panic!("{method}: {answer}")).clone()
}

/// One HTTP exchange by curl: status and body.
pub(crate) fn http(url: &str, arguments: &[&str]) -> (u16, String) {
    let output =
        Command::new("curl").args(["-s", "-w", "\n%{http_code}", url]).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// The transaction that the receipt of an answer names.
pub(crate) fn transaction(answer: &str) -> String {
    let field = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("payment-response").then_some(value.trim())
    });
    let receipt =
        base64::engine::general_purpose::STANDARD.decode(field.unwrap_or_else(|| panic!("{answer}")));
    let receipt: Value = serde_json::from_slice(&receipt.unwrap()).unwrap();
    assert_eq!(receipt["success"], true, "{receipt}");
    receipt["transaction"].as_str().unwrap().to_owned()
}

pub(crate) fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The folder of the official peers.
pub(crate) fn interop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop").canonicalize().unwrap()
}
