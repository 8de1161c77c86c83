//! TLS to the database: the certificate is checked, and nothing is sent in the clear instead.
//!
//! Which roots are trusted is read from the environment of a process, so children do the work.

use std::path::Path;
use std::process::Command;

use groat_core::books::Book;
use groat_core::ports::{Expect, Store};
use groat_pg_cluster::Cluster;
use groat_store::PostgresStore;

use crate::postgres::database;
use crate::suite::write;

/// Set for the child of the test: the URL of the store.
const CHILD: &str = "GROAT_STORE_TEST_TLS";

/// A root and a certificate for `localhost` that it has signed.
fn certify(folder: &Path) {
    let script =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=root -keyout root.key -out root.pem \
                    -addext basicConstraints=critical,CA:TRUE
                  openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
                  printf 'subjectAltName=DNS:localhost' > names
                  openssl x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 \
                    -extfile names -out server.pem";
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn with_sslmode_require_only_a_trusted_certificate_of_that_host_will_do() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let cluster = Cluster::start();
    let plain = cluster.database();
    let tls = plain.replace("127.0.0.1", "localhost") + "?sslmode=require";
    let other_name = format!("{plain}?sslmode=require");
    let root = folder.path().join("root.pem");
    let empty = folder.path().join("server.key");
    let says = |url: &str, roots: &Path| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "postgres_tls::child_that_connects", "--nocapture", "--ignored"])
            .env(CHILD, url)
            .env("SSL_CERT_FILE", roots)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let answer = says(&tls, &root);
    assert!(answer.contains("refused") && answer.contains("TLS"), "the server has no TLS yet: {answer}");
    cluster.certify(&folder.path().join("server.pem"), &folder.path().join("server.key"));
    let answer = says(&tls, &root);
    assert!(answer.contains("written"), "{answer}");
    let sessions = "SELECT count(*) FROM groat.records";
    assert_eq!(cluster.sql(database(&plain), sessions), "1");
    for (url, roots) in [(&other_name, &root), (&tls, &empty)] {
        let answer = says(url, roots);
        assert!(answer.contains("refused") && !answer.contains("written"), "{answer}");
    }
}

#[tokio::test]
#[ignore = "a child process of another test"]
async fn child_that_connects() {
    let Ok(url) = std::env::var(CHILD) else { return };
    match PostgresStore::open(&url).await {
        Ok(store) => {
            assert!(store.commit(vec![write("k", Expect::Absent, "x")]).await.unwrap());
            assert!(store.get(Book::Sales, "k").await.unwrap().is_some());
            println!("written");
        }
        Err(error) => println!("refused: {error}"),
    }
}
