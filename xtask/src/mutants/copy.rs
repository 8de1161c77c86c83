//! A copy of the workspace in `target/mutants`, where faults do no harm.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::shell::root;

/// The copy.
pub(super) struct Copy(PathBuf);

/// A file of the copy while it is changed.
pub(super) struct Changed {
    path: PathBuf,
    original: String,
}

impl Copy {
    /// Copies what git knows or would take. What is there already and the same is left alone, so that cargo builds
    /// only what has changed.
    pub(super) fn of_workspace() -> anyhow::Result<Self> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let copy = Self(target.join("mutants/workspace"));
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output()
            .context("git ls-files")?;
        if !listed.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
        }
        let listed = String::from_utf8(listed.stdout).context("a file name is not UTF-8")?;
        let names: Vec<&str> = listed.split('\0').filter(|name| !name.is_empty()).collect();
        for name in &names {
            let from = root().join(name);
            // Deleted, and still in the index.
            let Ok(content) = std::fs::read(&from) else { continue };
            let to = copy.0.join(name);
            if std::fs::read(&to).is_ok_and(|there| there == content) {
                continue;
            }
            std::fs::create_dir_all(to.parent().unwrap_or(&copy.0))?;
            std::fs::write(&to, content).with_context(|| to.display().to_string())?;
        }
        copy.forget_all_but(&names)?;
        Ok(copy)
    }

    /// What has been deleted or renamed since the last run.
    fn forget_all_but(&self, names: &[&str]) -> anyhow::Result<()> {
        let names: BTreeSet<&Path> = names.iter().map(Path::new).collect();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.strip_prefix(&self.0).unwrap_or(&path);
                if path.is_dir() {
                    folders.push(path);
                } else if !names.contains(name) || !root().join(name).exists() {
                    std::fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    /// Replaces a text in a file until it is restored.
    pub(super) fn mutate(&self, file: &Path, search: &str, replace: &str) -> anyhow::Result<Changed> {
        let path = self.0.join(file);
        let original = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        std::fs::write(&path, original.replacen(search, replace, 1))?;
        Ok(Changed { path, original })
    }
}

impl Changed {
    /// Makes it what it was.
    pub(super) fn restore(self) -> anyhow::Result<()> {
        std::fs::write(&self.path, &self.original).with_context(|| self.path.display().to_string())
    }
}
