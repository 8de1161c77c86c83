//! Keystore files: Web3 Secret Storage version 3, as every Ethereum wallet reads and writes it.
//!
//! Written with scrypt (2^17 rounds of 1 KiB blocks: 128 MiB and about half a second), read with scrypt or PBKDF2.
//! Source: the Web3 Secret Storage Definition of ethereum.org.

mod format;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::{KeyError, LocalSigner};
use format::{Keystore, OpenError};

/// Binary logarithm of the work that a guess at the password costs.
const SCRYPT_LOG_N: u8 = 17;

/// The largest file that is read as a keystore.
const SIZE_BYTES_MAX: u64 = 64 * 1024;

/// Writes a key, encrypted with the password, to a new file that only its owner can read.
pub fn write(path: &Path, signer: &LocalSigner, password: &str) -> Result<(), KeyError> {
    write_with(path, signer, password, SCRYPT_LOG_N)
}

/// Reads a key.
pub fn read(path: &Path, password: &str) -> Result<LocalSigner, KeyError> {
    LocalSigner::from_bytes(secret(path, password)?)
}

/// The secret in a keystore file, for signers of other kinds.
pub fn secret(path: &Path, password: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let failed = |problem: String| KeyError::File { path: path.to_owned(), problem };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    private_file(path, &file)?;
    let mut text = String::new();
    file.take(SIZE_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    Keystore::parse(&text).and_then(|keystore| keystore.open(password)).map_err(|error| match error {
        OpenError::Password => KeyError::Password(path.to_owned()),
        OpenError::NotAKey => KeyError::NotAKey,
        OpenError::Format(problem) => failed(problem.to_owned()),
    })
}

/// Refuses a file that others can read.
pub fn private(path: &Path) -> Result<(), KeyError> {
    let file = File::open(path)
        .map_err(|error| KeyError::File { path: path.to_owned(), problem: error.to_string() })?;
    private_file(path, &file)
}

fn private_file(path: &Path, file: &File) -> Result<(), KeyError> {
    let metadata = file
        .metadata()
        .map_err(|error| KeyError::File { path: path.to_owned(), problem: error.to_string() })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Readable(path.to_owned()));
    }
    Ok(())
}

fn write_with(path: &Path, signer: &LocalSigner, password: &str, log_n: u8) -> Result<(), KeyError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
        _ => KeyError::File { path: path.to_owned(), problem: error.to_string() },
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    // Private from its first byte, and never over another key.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let text = Keystore::close(signer, password, log_n).map(|keystore| keystore.to_json());
    let written =
        text.and_then(|text| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed));
    if written.is_err() {
        // Half a key must not look like one.
        let _ = std::fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests;
