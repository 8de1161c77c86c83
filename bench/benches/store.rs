//! Commits a second that survive a crash: two records each, as when a transaction is stored with its nonce.
//!
//! The limit is the disk: the same bytes appended to a file, with a sync after each, by one writer. Stores pass it
//! where many callers share a sync. The server of PostgreSQL is another process: its CPU time is not in the column.
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::io::Write as _;
use std::sync::Arc;

use groat_bench::{Row, heading, run};
use groat_core::books::Book;
use groat_core::ports::{Expect, Store, Write};
use groat_pg_cluster::Cluster;
use groat_store::{PostgresStore, SqliteStore};

const COUNT: usize = 10_000;
const BODY_BYTES: usize = 700;

#[tokio::main]
async fn main() {
    heading("store: commits of two new records");
    let folder = tempfile::tempdir().unwrap();
    let limit = disk(folder.path()).await.print("limit: append and sync, one writer");
    let cluster = Cluster::start();
    for callers in [1, 64] {
        let sqlite = SqliteStore::open(&folder.path().join(format!("{callers}.db"))).unwrap();
        ratio(committed(Arc::new(sqlite), callers).await.print(&format!("SQLite, {callers} callers")), limit);
        let postgres = PostgresStore::open(&cluster.database()).await.unwrap();
        let row = committed(Arc::new(postgres), callers).await;
        ratio(row.print(&format!("PostgreSQL, {callers} callers")), limit);
    }
    let url = cluster.database();
    let stores = [PostgresStore::open(&url).await.unwrap(), PostgresStore::open(&url).await.unwrap()];
    let [one, two] = stores.map(|store| committed(Arc::new(store), 32));
    let (one, two) = tokio::join!(one, two);
    one.print("PostgreSQL, one of two stores, 32 callers");
    two.print("PostgreSQL, the other at the same time");
}

fn ratio(row: Row, limit: Row) {
    println!("{:<44} {:>9.0}% of the limit", "", row.per_s * 100.0 / limit.per_s);
}

async fn disk(folder: &std::path::Path) -> Row {
    let file = std::fs::File::create(folder.join("limit")).unwrap();
    let bytes = [b'x'; 2 * BODY_BYTES];
    run(1, (0..COUNT / 10).collect(), |_| async {
        (&file).write_all(&bytes).unwrap();
        file.sync_data().unwrap();
    })
    .await
}

async fn committed(store: Arc<dyn Store>, callers: usize) -> Row {
    let count = if callers == 1 { COUNT / 10 } else { COUNT };
    let body = "x".repeat(BODY_BYTES);
    // Two stores of one database must not meet: this measures work and not quarrels.
    let mut run_id = [0; 4];
    getrandom::fill(&mut run_id).unwrap();
    let run_id = u32::from_be_bytes(run_id);
    run(callers, (0..count).collect(), |number| {
        let (store, body) = (&store, &body);
        async move {
            let pair = [Book::Settlements, Book::Nonces].map(|book| Write {
                book,
                key: format!("{run_id:08x}-{number:06}"),
                expect: Expect::Absent,
                state: "submitted",
                is_final: false,
                body: body.clone(),
            });
            assert!(store.commit(pair.to_vec()).await.unwrap());
        }
    })
    .await
}
