//! Where things lie: the XDG data directory, or the folder of `--data-dir`.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The folder for keys, journals and stores.
pub(crate) struct DataDir {
    chosen: Option<PathBuf>,
}

impl DataDir {
    pub(crate) fn new(chosen: Option<PathBuf>) -> Self {
        Self { chosen }
    }

    /// The folder, made if missing and readable by its owner only.
    pub(crate) fn folder(&self) -> anyhow::Result<PathBuf> {
        let folder = match &self.chosen {
            Some(folder) => folder.clone(),
            None => default().context("there is no home directory: name a folder with --data-dir")?,
        };
        make_private(&folder)?;
        Ok(folder)
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str) -> anyhow::Result<PathBuf> {
        Ok(self.folder()?.join(name))
    }
}

fn default() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| Some(set("HOME")?.join(".local/share")))
        .map(|folder| folder.join("groat"))
}

/// Makes a folder with mode 0700, parents included.
pub(crate) fn make_private(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Writes a new file with mode 0600; one that is there is left alone.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
