//! What a 402 says in every dialect, and what is wrong with it, for whoever has to find out why a client does not pay.
//!
//! The rules are those that real clients have: one entry that a strict parser does not know makes its whole 402 unreadable
//! to it, so they are checked one by one and named.

mod rules;

use groat_core::payment::DialectId;
use groat_core::{Challenge, Timestamp};
use http::HeaderMap;

use crate::Dialects;

/// Everything that was found in one answer.
#[derive(Debug, Clone)]
pub struct Report {
    /// Each dialect that is spoken, the preferred first.
    pub spoken: Vec<Spoken>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// Bytes of all header fields together.
    pub header_bytes: usize,
    /// Bytes of the body.
    pub body_bytes: usize,
}

/// One dialect of a 402.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// Which.
    pub dialect: DialectId,
    /// What it says; what cannot be read is a finding.
    pub challenge: Option<Challenge>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Clients of the dialect cannot pay.
    Error,
    /// Some clients cannot, or somebody could be misled.
    Warning,
}

impl Severity {
    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// In which dialect; `None` where it concerns the whole answer.
    pub dialect: Option<DialectId>,
    /// What, and what to do about it. It repeats nothing of what a stranger wrote.
    pub text: String,
}

/// Reads an answer in every dialect.
pub fn report(dialects: &Dialects, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Report {
    let mut findings = Vec::new();
    let mut spoken = Vec::new();
    for dialect in dialects.iter() {
        match dialect.read_challenge(headers, body) {
            Ok(None) => {}
            Ok(Some(challenge)) => spoken.push(Spoken { dialect: dialect.id(), challenge: Some(challenge) }),
            Err(error) => {
                let text = format!("cannot be read: {error}");
                findings.push(Finding { severity: Severity::Error, dialect: Some(dialect.id()), text });
                spoken.push(Spoken { dialect: dialect.id(), challenge: None });
            }
        }
    }
    findings.extend(rules::check(headers, body, &spoken, now));
    findings.sort_by_key(|finding| finding.severity);
    findings.dedup();
    let header_bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    Report { spoken, findings, header_bytes, body_bytes: body.len() }
}
