//! Nothing outlives the test process: a shell waits for its end, however it ends, then kills the server and removes the folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// It reads from a pipe that only this process can write to, so the end of the pipe is the end of the process.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
[ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
  [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
rm -rf "$1"
"#;

#[derive(Debug)]
pub(crate) struct Keeper(Child);

impl Keeper {
    pub(crate) fn watch(folder: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "keeper"]).arg(folder).current_dir("/");
        // Not the test's own streams: whoever reads those would wait for the shell.
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().expect("sh can be started"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The server on this data folder and its children; empty when it does not run.
pub(crate) fn processes(data: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let Some(first) = text.lines().next().and_then(|line| line.trim().parse().ok()) else {
        return Vec::new();
    };
    let children =
        std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap_or_default();
    std::iter::once(first).chain(children.split_whitespace().filter_map(|id| id.parse().ok())).collect()
}

fn pid(process: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(process).ok()?)
}

pub(crate) fn signal(process: u32, signal: Signal) {
    // One that has ended by itself is as good.
    let _ = pid(process).map(|pid| kill_process(pid, signal));
}

pub(crate) fn is_alive(process: u32) -> bool {
    let zombie = || {
        let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    };
    pid(process).is_some_and(|pid| test_kill_process(pid).is_ok()) && !zombie()
}
