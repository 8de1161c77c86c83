//! Which commits of a group happen: decided one after the other, as if each had come alone.

use std::collections::BTreeMap;

use groat_core::books::Book;
use groat_core::ports::{Expect, Write};

/// What names a record. Ordered by bytes, as the table is.
pub(super) type Name<'a> = (&'static str, &'a str);

/// A record as the group leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// The version that was found; 0 when there was none.
    pub(super) found: i64,
    /// The version that it gets.
    pub(super) version: i64,
    /// The last write of it.
    pub(super) write: &'a Write,
}

/// What a group does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decision<'a> {
    /// Whether each commit happens.
    pub(super) fits: Vec<bool>,
    /// What is to be written, once for each record and in order of names.
    pub(super) rows: Vec<Row<'a>>,
}

/// The name of the record of a write.
pub(super) fn name(write: &Write) -> Name<'_> {
    (Book::table(write.book), &write.key)
}

/// Every record that a group speaks of, once and in order.
pub(super) fn names<'a>(group: &[&'a [Write]]) -> Vec<Name<'a>> {
    let mut names: Vec<_> = group.iter().flat_map(|writes| writes.iter()).map(name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Decides, where `found` has the version of every record that is there.
pub(super) fn decide<'a>(group: &[&'a [Write]], found: &BTreeMap<Name<'a>, i64>) -> Decision<'a> {
    let mut rows: BTreeMap<Name<'a>, Row<'a>> = BTreeMap::new();
    let mut fits = Vec::with_capacity(group.len());
    for writes in group {
        let version = |write: &Write| match rows.get(&name(write)) {
            Some(row) => row.version,
            None => found.get(&name(write)).copied().unwrap_or(0),
        };
        let fit = writes.iter().all(|write| match write.expect {
            Expect::Absent => version(write) == 0,
            Expect::Version(expected) => expected > 0 && version(write).cast_unsigned() == expected,
        });
        fits.push(fit);
        for write in writes.iter().filter(|_| fit) {
            let before = found.get(&name(write)).copied().unwrap_or(0);
            let row = rows.entry(name(write)).or_insert(Row { found: before, version: before, write });
            row.version += 1;
            row.write = write;
        }
    }
    Decision { fits, rows: rows.into_values().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: &str, expect: Expect, body: &str) -> Write {
        let (key, body) = (key.to_owned(), body.to_owned());
        Write { book: Book::Sales, key, expect, state: "held", is_final: false, body }
    }

    #[test]
    fn each_commit_sees_those_before_it_and_a_refused_one_leaves_no_trace() {
        let group = [
            vec![write("new", Expect::Absent, "1"), write("old", Expect::Version(7), "8")],
            vec![write("new", Expect::Absent, "again")],
            vec![write("new", Expect::Version(1), "2"), write("other", Expect::Version(1), "never")],
            vec![write("new", Expect::Version(1), "2")],
            vec![write("old", Expect::Version(7), "stale")],
            vec![write("other", Expect::Version(0), "never")],
            vec![],
        ];
        let group: Vec<&[Write]> = group.iter().map(Vec::as_slice).collect();
        let found = BTreeMap::from([(("sales", "old"), 7)]);
        let decision = decide(&group, &found);
        assert_eq!(decision.fits, [true, false, false, true, false, false, true]);
        let rows: Vec<_> = decision
            .rows
            .iter()
            .map(|row| (row.write.key.as_str(), row.found, row.version, row.write.body.as_str()))
            .collect();
        assert_eq!(rows, [("new", 0, 2, "2"), ("old", 7, 8, "8")]);
        assert_eq!(names(&group), [("sales", "new"), ("sales", "old"), ("sales", "other")]);
    }
}
