//! The file itself: who may read it, and who owns it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a file cannot be the store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Others could read keys of payments and answers.
    #[error("{0} can be read by others: run `chmod 600 {0}`")]
    Readable(PathBuf),
    /// Two writers would not see each other's reservations in memory.
    #[error(
        "{path} is in use by another groat process{}: stop it, or name another folder with --data-dir",
        holder.map(|id| format!(" (process {id})")).unwrap_or_default()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process id of the owner, where it can be read.
        holder: Option<u32>,
    },
    /// A newer groat has written it.
    #[error("{path} has the format {found}, and this groat knows formats up to {known}: use a newer groat")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is a database, and not one of groat's.
    #[error("{0} belongs to another program: name another file")]
    Foreign(PathBuf),
    /// The folder or file cannot be made.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// SQLite does not like it.
    #[error("{path}: {error}")]
    Sqlite {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}

/// Takes `<path>.lock`, which the operating system gives back when the process ends, however it ends.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = path.with_added_extension("lock");
    make_private(&lock_path)?;
    let failed = |error| OpenError::File { path: lock_path.clone(), error };
    let mut file = OpenOptions::new().read(true).write(true).open(&lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            // Only for the message to whoever comes second.
            file.set_len(0).map_err(failed)?;
            write!(file, "{}", std::process::id()).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.take(20).read_to_string(&mut holder);
            Err(OpenError::InUse { path: path.to_owned(), holder: holder.trim().parse().ok() })
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Makes the file with mode 0600 in a folder with mode 0700; refuses one that others can read (threat row K09).
pub(super) fn make_private(path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::File { path: path.to_owned(), error };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        // SQLite makes the file's entry in its folder durable, not the folder's entry in the one above.
        if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
            File::open(above).and_then(|above| above.sync_all()).map_err(failed)?;
        }
    }
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(OpenError::Readable(path.to_owned()));
    }
    Ok(())
}
