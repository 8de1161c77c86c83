//! A group of commits as one transaction: one flush to the disk for all of them.
//!
//! Why it is right, whoever else writes at the same time:
//!
//! 1. The versions of all records that the group speaks of are read, and every commit is decided on them, one after the
//!    other ([`super::decide`]). A commit that does not fit is left out and disturbs no other.
//! 2. A record that was found is written only `WHERE version =` the one that was found; a record that was not found is
//!    inserted, and the primary key lets only one insertion of a key stand, in whichever process. The server waits where
//!    somebody else's transaction is about to change or insert the same row.
//! 3. The transaction is committed only when every row of the decision was written. So whatever is committed was decided
//!    on versions that held until the commit. Otherwise it is rolled back and decided again on what is there now.
//! 4. "No" is only said of committed records: they are read under lock, or not at all.
//!
//! The locks (`FOR UPDATE`) are there for speed: with them a row that was found cannot change before it is written, so
//! only races for new keys have to try again. They are taken, and rows inserted, in the order of names, by everybody; the
//! only ones who wait with rows inserted wait for an insertion further down that order, so nobody waits in a circle.
//! Should the server see a deadlock all the same, it rolls one group back, and that one tries again.

use std::collections::BTreeMap;
use std::future::Future;

use groat_core::ports::Write;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::decide::{Decision, Row, decide, names};
use super::session::{ANSWER_TIMEOUT, Failure, Session};

/// `books, keys` → which of them are there, with versions. Locks them in the order given.
pub(super) const LOCK: &str = "
SELECT wanted.place, r.version
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (book, key, place)
JOIN groat.records AS r ON r.book = wanted.book AND r.key = wanted.key
ORDER BY wanted.place FOR UPDATE OF r";

/// `books, keys, versions, states, final?, bodies`; a key that somebody else has inserted is left out.
pub(super) const INSERT: &str = "
INSERT INTO groat.records (book, key, version, state, is_final, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::text[])
ON CONFLICT (book, key) DO NOTHING";

/// The same and `versions found`; a record with another version is left out.
pub(super) const UPDATE: &str = "
UPDATE groat.records AS r
SET version = n.version, state = n.state, is_final = n.is_final, body = n.body, updated_at = now()
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::text[], $7::bigint[])
     AS n (book, key, version, state, is_final, body, found)
WHERE r.book = n.book AND r.key = n.key AND r.version = n.found";

/// Writes those commits of the group that fit, and tells which.
///
/// After a failure, lost races aside, the session may be in the middle of a transaction and must not be used again.
pub(super) async fn write(session: &Session, group: &[&[Write]]) -> Result<Vec<bool>, Failure> {
    let decision = look(session, group).await?;
    if decision.rows.is_empty() {
        answered(session.client.batch_execute("ROLLBACK")).await?;
        return Ok(decision.fits);
    }
    let written = put(session, &decision.rows).await?;
    if written != decision.rows.len() as u64 {
        answered(session.client.batch_execute("ROLLBACK")).await?;
        return Err(Failure::Raced);
    }
    match tokio::time::timeout(ANSWER_TIMEOUT, session.client.batch_execute("COMMIT")).await {
        Ok(Ok(())) => Ok(decision.fits),
        Ok(Err(error)) => Err(Failure::of_commit(&error)),
        Err(_) => Err(Failure::Unknown("no answer to COMMIT in time".to_owned())),
    }
}

/// Begins, locks what is there and decides.
async fn look<'a>(session: &Session, group: &[&'a [Write]]) -> Result<Decision<'a>, Failure> {
    let names = names(group);
    let (books, keys): (Vec<&str>, Vec<&str>) = names.iter().copied().unzip();
    // One round trip: the second is sent without waiting for the answer to the first.
    let bounds: [&(dyn ToSql + Sync); 2] = [&books, &keys];
    let client = &session.client;
    let rows = answered(async {
        let begin = client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED");
        let (begun, rows) = tokio::join!(biased; begin, client.query(&session.lock, &bounds));
        begun.and(rows)
    });
    let mut found = BTreeMap::new();
    for row in rows.await? {
        let place: i64 = row.try_get(0).map_err(|error| Failure::before_commit(&error))?;
        let version: i64 = row.try_get(1).map_err(|error| Failure::before_commit(&error))?;
        let index = usize::try_from(place - 1).ok();
        if let Some(name) = index.and_then(|index| names.get(index)) {
            found.insert(*name, version);
        }
    }
    Ok(decide(group, &found))
}

/// Writes the rows and tells how many of them could be.
async fn put(session: &Session, rows: &[Row<'_>]) -> Result<u64, Failure> {
    let (new, known): (Vec<Row<'_>>, Vec<Row<'_>>) = rows.iter().partition(|row| row.found == 0);
    let insert = async {
        let Columns { books, keys, versions, states, finals, bodies, .. } = Columns::of(&new);
        let columns: [&(dyn ToSql + Sync); 6] = [&books, &keys, &versions, &states, &finals, &bodies];
        if new.is_empty() { Ok(0) } else { session.client.execute(&session.insert, &columns).await }
    };
    let update = async {
        let Columns { books, keys, versions, states, finals, bodies, found } = Columns::of(&known);
        let columns: [&(dyn ToSql + Sync); 7] = [&books, &keys, &versions, &states, &finals, &bodies, &found];
        if known.is_empty() { Ok(0) } else { session.client.execute(&session.update, &columns).await }
    };
    answered(async {
        let (inserted, updated) = tokio::join!(biased; insert, update);
        Ok(inserted? + updated?)
    })
    .await
}

/// An answer in time, to something that comes before the commit.
async fn answered<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::before_commit(&error)),
        Err(_) => Err(Failure::Gone("no answer in time".to_owned())),
    }
}

/// Rows as arrays, a column each.
#[derive(Default)]
struct Columns<'a> {
    books: Vec<&'a str>,
    keys: Vec<&'a str>,
    versions: Vec<i64>,
    states: Vec<&'a str>,
    finals: Vec<bool>,
    bodies: Vec<&'a str>,
    found: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(rows: &[Row<'a>]) -> Self {
        let mut columns = Self::default();
        for Row { found, version, write } in rows.iter().copied() {
            columns.books.push(write.book.table());
            columns.keys.push(&write.key);
            columns.versions.push(version);
            columns.states.push(write.state);
            columns.finals.push(write.is_final);
            columns.bodies.push(&write.body);
            columns.found.push(found);
        }
        columns
    }
}
