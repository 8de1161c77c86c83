//! Where PostgreSQL's programs are, and as whom they run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian puts them, a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    /// `initdb` and `postgres` refuse to be root; then they run as this user.
    user: Option<&'static str>,
}

impl Programs {
    /// The newest ones that are installed.
    pub(crate) fn find() -> Self {
        let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let mut found: Vec<(u32, PathBuf)> = versions
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .filter(|(_, folder)| {
                ["initdb", "pg_ctl", "postgres", "psql"].iter().all(|name| folder.join(name).exists())
            })
            .collect();
        found.sort_unstable();
        let Some((_, folder)) = found.pop() else {
            panic!(
                "PostgreSQL's programs are not in {DEBIAN}/*/bin: install Debian's package `postgresql` \
                 (`cargo xtask test` does, without starting a server)"
            )
        };
        let user = rustix::process::geteuid().is_root().then(|| {
            let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            if users.lines().any(|line| line.starts_with("postgres:")) { "postgres" } else { "nobody" }
        });
        Self { folder, user }
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// One of PostgreSQL's programs, as a user that it accepts.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.as_server(&self.path(program))
    }

    /// A program, as the user whom the server runs as.
    pub(crate) fn as_server(&self, path: &Path) -> Command {
        let mut command = match self.user {
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(path);
                command
            }
            None => Command::new(path),
        };
        // It must not stand in a folder that its user cannot enter.
        command.current_dir("/").env("LC_ALL", "C");
        command
    }

    /// Makes a file or folder belong to the user whom the server runs as.
    pub(crate) fn give(&self, path: &Path) {
        if let Some(user) = self.user {
            let given = Command::new("chown").arg(user).arg(path).status();
            assert!(given.is_ok_and(|status| status.success()), "chown {user} {}", path.display());
        }
    }
}
