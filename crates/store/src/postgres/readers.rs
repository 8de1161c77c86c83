//! Connections that only read.

use std::sync::Arc;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use groat_core::Fault;
use groat_core::books::Book;
use groat_core::ports::Record;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, Row};

use super::doubts::Doubts;
use super::session::{ANSWER_TIMEOUT, Failure, describe, set_up};
use super::target::{CONNECT_TIMEOUT, Target};
use super::{PostgresError, unavailable};

/// Reads at the same time; more wait for their turn.
const COUNT: usize = 4;
/// A read that met a connection which had died is done again on another; all of the pool may have died together.
const TRIES: usize = COUNT + 1;

/// `book, key` → key, version, body.
const GET: &str = "SELECT key, version, body FROM groat.records WHERE book = $1 AND key = $2";
/// `book, after, from the start?, limit` → the same, in key order. `key >= $2` is the range, the rest drops the bound.
const SCAN: &str = "SELECT key, version, body FROM groat.records
WHERE book = $1 AND key >= $2 AND ($3 OR key > $2) ORDER BY key LIMIT $4";
/// The same without the final ones.
const SCAN_OPEN: &str = "SELECT key, version, body FROM groat.records
WHERE book = $1 AND key >= $2 AND ($3 OR key > $2) AND NOT is_final ORDER BY key LIMIT $4";

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    pool: Pool,
    doubts: Arc<Doubts>,
}

impl Readers {
    pub(super) fn new(target: &Arc<Target>, doubts: &Arc<Doubts>) -> Result<Self, PostgresError> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(target.config().clone(), SetUp(Arc::clone(target)), config);
        let pool = Pool::builder(manager)
            .max_size(COUNT)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(|error| PostgresError::Unusable {
                place: target.place().to_owned(),
                why: error.to_string(),
            })?;
        Ok(Self { pool, doubts: Arc::clone(doubts) })
    }

    pub(super) async fn get(&self, book: Book, key: &str) -> Result<Option<Record>, Fault> {
        // The server's texts hold no zero byte, so no record has such a key.
        if key.contains('\0') {
            return Ok(None);
        }
        let rows = self.rows(GET, &[&book.table(), &key]).await?;
        rows.first().map(record).transpose()
    }

    pub(super) async fn scan(
        &self,
        book: Book,
        after: Option<&str>,
        open_only: bool,
        count_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        let limit = i64::try_from(count_max).unwrap_or(i64::MAX);
        let query = if open_only { SCAN_OPEN } else { SCAN };
        // The empty key is the least of all and may exist, so "from the start" is not "after the empty key".
        let (after, first) = (after.unwrap_or_default(), after.is_none());
        let rows = self.rows(query, &[&book.table(), &after, &first, &limit]).await?;
        rows.iter().map(record).collect()
    }

    async fn rows(&self, query: &str, bounds: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        self.doubts.none().await?;
        let mut why = String::new();
        for _ in 0..TRIES {
            let client = self.pool.get().await.map_err(why_no_connection)?;
            match tokio::time::timeout(ANSWER_TIMEOUT, ask(&client, query, bounds)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => {
                    drop(Object::take(client));
                    match Failure::before_commit(&error) {
                        Failure::Again(text) => why = text,
                        _ => return Err(unavailable(describe(&error))),
                    }
                }
                Err(_) => {
                    // The answer may still come, and must not be taken for that of the next question.
                    drop(Object::take(client));
                    return Err(unavailable("no answer in time"));
                }
            }
        }
        Err(unavailable(why))
    }
}

async fn ask(client: &Object, query: &str, bounds: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
    let statement = client.prepare_cached(query).await?;
    client.query(&statement, bounds).await
}

fn record(row: &Row) -> Result<Record, Fault> {
    let read = || -> Result<Record, Error> {
        let version: i64 = row.try_get(1)?;
        Ok(Record { key: row.try_get(0)?, version: version.cast_unsigned(), body: row.try_get(2)? })
    };
    read().map_err(|error| Fault::garbled("store", describe(&error)))
}

fn why_no_connection(error: deadpool_postgres::PoolError) -> Fault {
    match error {
        deadpool_postgres::PoolError::Backend(error) => unavailable(describe(&error)),
        error => unavailable(error),
    }
}

/// Connections of the pool are set up as all others are.
struct SetUp(Arc<Target>);

type Connected<'a> =
    std::pin::Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for SetUp {
    fn connect(&self, _config: &Config) -> Connected<'_> {
        Box::pin(async {
            let (client, task) = self.0.connect().await?;
            set_up(&client).await?;
            Ok((client, task))
        })
    }
}

#[cfg(test)]
mod tests;
