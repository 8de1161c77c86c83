//! Keystore files: Web3 Secret Storage version 3, as every Ethereum wallet reads and writes it.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::{KeyError, LocalSigner};

/// Writes a key, encrypted with the password, to a file that only its owner can read.
pub fn write(path: &Path, signer: &LocalSigner, password: &str) -> Result<(), KeyError> {
    let failed = |problem: &dyn std::fmt::Display| KeyError::File {
        path: path.to_owned(),
        problem: problem.to_string(),
    };
    if path.exists() {
        return Err(KeyError::Exists(path.to_owned()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(&error))?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| failed(&"the name of a key is text"))?;
    eth_keystore::encrypt_key(folder, &mut rand_core::OsRng, signer.secret(), password, Some(name))
        .map_err(|error| failed(&error))?;
    // What is inside is encrypted already; this keeps guesses at the password away.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|error| failed(&error))
}

/// Reads a key.
pub fn read(path: &Path, password: &str) -> Result<LocalSigner, KeyError> {
    LocalSigner::from_bytes(&*secret(path, password)?)
}

/// Reads the bytes of a key, for signers of another kind. They are wiped when dropped.
pub fn secret(path: &Path, password: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    private(path)?;
    let failed = |problem: String| KeyError::File { path: path.to_owned(), problem };
    let secret = eth_keystore::decrypt_key(path, password).map_err(|error| match error {
        eth_keystore::KeystoreError::MacMismatch => KeyError::Password(path.to_owned()),
        other => failed(other.to_string()),
    })?;
    let secret = Zeroizing::new(secret);
    Ok(Zeroizing::new(secret.as_slice().try_into().map_err(|_| KeyError::NotAKey)?))
}

/// Refuses a file that others can read.
pub fn private(path: &Path) -> Result<(), KeyError> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| KeyError::File { path: path.to_owned(), problem: error.to_string() })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Readable(path.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k09_a_key_comes_back_with_its_password_and_only_from_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/main.json");
        let signer = LocalSigner::random().unwrap();
        write(&path, &signer, "correct horse").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path, "correct horse").unwrap().address(), signer.address());
        assert!(matches!(read(&path, "wrong"), Err(KeyError::Password(_))));
        assert!(matches!(write(&path, &signer, "x"), Err(KeyError::Exists(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path, "correct horse").unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn the_published_vector_of_the_standard_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vector.json");
        // Web3 Secret Storage Definition, test vector "PBKDF2-SHA-256".
        let text = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let expected =
            LocalSigner::from_hex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")
                .unwrap();
        assert_eq!(read(&path, "testpassword").unwrap().address(), expected.address());
    }
}
