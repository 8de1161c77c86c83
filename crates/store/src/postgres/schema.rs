//! The tables, and how they change from one version of groat to the next.
//!
//! Everything lies in the schema `groat`, made by whoever connects first. A change is one more entry at the end of
//! [`MIGRATIONS`]; what was released is never edited. While some instances of a service are already new and others
//! still old, both write, so a change takes two releases: the first adds what the new program needs and the old one
//! does not mind, the second drops what only the old one needed and says so in `works_with`.

use std::time::Duration;

use tokio_postgres::{Client, Error, Transaction};

use super::PostgresError;
use super::session::{describe, set_up};
use super::target::{CONNECT_TIMEOUT, Target};

/// One change of the tables.
struct Migration {
    /// The oldest format that a program may know to go on working after it.
    works_with: i64,
    sql: &'static str,
}

/// Every change so far. The format is their count.
const MIGRATIONS: &[Migration] = &[Migration {
    works_with: 1,
    // Keys are compared by their bytes, as in Rust. Room is left in the pages, because records are written over.
    sql: "
        CREATE TABLE groat.records (
            book text COLLATE \"C\" NOT NULL,
            key text COLLATE \"C\" NOT NULL,
            version bigint NOT NULL CHECK (version > 0),
            state text NOT NULL,
            is_final boolean NOT NULL,
            body text NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (book, key)
        ) WITH (fillfactor = 85);
        CREATE INDEX records_open ON groat.records (book, key) WHERE NOT is_final;",
}];

/// Two that start at once take turns; the number means nothing (`groat402` in ASCII).
const TURN: i64 = 0x67_72_6f_61_74_34_30_32;
/// How long to wait for whoever is changing the tables.
const PATIENCE: Duration = Duration::from_secs(60);

enum Found {
    Ours,
    Newer(i64),
}

/// Makes or updates the tables; a database whose tables are too new for us stays as it is.
pub(super) async fn prepare(target: &Target) -> Result<(), PostgresError> {
    let unusable = |why: String| PostgresError::Unusable { place: target.place().to_owned(), why };
    let connecting = async {
        let (client, _task) = target.connect().await?;
        set_up(&client).await?;
        Ok(client)
    };
    let mut client = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| unusable("it does not answer in time".to_owned()))?
        .map_err(|error: Error| unusable(describe(&error)))?;
    let found = tokio::time::timeout(PATIENCE, migrate(&mut client))
        .await
        .map_err(|_| unusable("somebody else has been changing its tables for a minute".to_owned()))?
        .map_err(|error| unusable(describe(&error)))?;
    match found {
        Found::Ours => Ok(()),
        Found::Newer(found) => {
            Err(PostgresError::Newer { place: target.place().to_owned(), found, known: format() })
        }
    }
}

fn format() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

async fn migrate(client: &mut Client) -> Result<Found, Error> {
    let transaction = client.transaction().await?;
    // A large table takes its time.
    transaction.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'").await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&TURN]).await?;
    let (found, works_with) = applied(&transaction).await?;
    if works_with > format() {
        return Ok(Found::Newer(found));
    }
    let missing = MIGRATIONS.iter().zip(1i64..).skip(usize::try_from(found).unwrap_or(usize::MAX));
    for (migration, number) in missing {
        transaction.batch_execute(migration.sql).await?;
        let note = "INSERT INTO groat.migrations (format, works_with) VALUES ($1, $2)";
        transaction.execute(note, &[&number, &migration.works_with]).await?;
    }
    transaction.commit().await?;
    Ok(Found::Ours)
}

/// The format of the tables, and the oldest that a program must know to work with them.
async fn applied(transaction: &Transaction<'_>) -> Result<(i64, i64), Error> {
    let ask = "SELECT to_regnamespace('groat') IS NULL, to_regclass('groat.migrations') IS NULL";
    let missing = transaction.query_one(ask, &[]).await?;
    // Asked first, because making a schema that is there needs a right that an operator may keep for himself.
    if missing.try_get(0)? {
        transaction.batch_execute("CREATE SCHEMA groat").await?;
    }
    if missing.try_get(1)? {
        let table = "CREATE TABLE groat.migrations (
            format bigint PRIMARY KEY, works_with bigint NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
        transaction.batch_execute(table).await?;
    }
    let newest = "SELECT coalesce(max(format), 0), coalesce(max(works_with), 0) FROM groat.migrations";
    let newest = transaction.query_one(newest, &[]).await?;
    Ok((newest.try_get(0)?, newest.try_get(1)?))
}
