use super::*;

/// The key of the vectors.
const VECTOR_KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

/// Web3 Secret Storage Definition, test vector "PBKDF2-SHA-256".
const PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

/// Web3 Secret Storage Definition, test vector "Scrypt". Its N is larger than RFC 7914 (section 6) allows with r = 1;
/// no wallet writes such files, and the scrypt library refuses them.
const SCRYPT: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},"ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt","kdfparams":{"dklen":32,"n":262144,"p":8,"r":1,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

fn file(folder: &tempfile::TempDir, text: &str) -> std::path::PathBuf {
    let path = folder.path().join("key.json");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn the_published_vector_of_the_standard_opens() {
    let folder = tempfile::tempdir().unwrap();
    let expected = LocalSigner::from_hex(VECTOR_KEY).unwrap().address();
    assert_eq!(read(&file(&folder, PBKDF2), "testpassword").unwrap().address(), expected);
    let error = read(&file(&folder, SCRYPT), "testpassword").unwrap_err();
    assert!(error.to_string().contains("scrypt parameters are out of bounds"), "{error}");
    assert!(matches!(read(&file(&folder, PBKDF2), "Testpassword"), Err(KeyError::Password(_))));
}

#[test]
fn k09_a_key_comes_back_with_its_password_and_only_from_a_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/main.json");
    let signer = LocalSigner::random().unwrap();
    write_with(&path, &signer, "correct horse", 8).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(read(&path, "correct horse").unwrap().address(), signer.address());
    assert!(matches!(read(&path, "wrong"), Err(KeyError::Password(_))));
    assert!(matches!(write_with(&path, &signer, "x", 8), Err(KeyError::Exists(_))));
    for open in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(open)).unwrap();
        let error = read(&path, "correct horse").unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
}

#[test]
fn k08_neither_the_key_nor_the_password_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.json");
    write_with(&path, &LocalSigner::from_hex(VECTOR_KEY).unwrap(), "correct horse", 8).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&VECTOR_KEY[..16]) && !text.contains("horse"), "{text}");
}

#[test]
fn a_hostile_file_is_refused_without_work() {
    let folder = tempfile::tempdir().unwrap();
    let changes = [
        ("\"n\":262144", "\"n\":2147483648"),
        ("\"n\":262144", "\"n\":262143"),
        ("\"n\":262144", "\"n\":0"),
        ("\"r\":1", "\"r\":4000000000"),
        ("\"r\":1", "\"r\":0"),
        ("\"p\":8", "\"p\":100000000"),
        ("\"dklen\":32", "\"dklen\":8"),
        ("\"version\":3", "\"version\":1"),
        ("aes-128-ctr", "aes-128-cbc"),
        ("{\"crypto\"", "[\"crypto\""),
    ];
    for (old, new) in changes {
        let path = file(&folder, &SCRYPT.replacen(old, new, 1));
        assert!(matches!(read(&path, "testpassword"), Err(KeyError::File { .. })), "{new}");
    }
    let path = file(&folder, &PBKDF2.replacen("262144", "4294967295", 1));
    assert!(matches!(read(&path, "testpassword"), Err(KeyError::File { .. })));
}
