//! What can be set, and what is wrong with a setting.

use groat_core::Fault;
use serde::Deserialize;

/// Why a configuration cannot work. Every message is a sentence for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Something is not set.
    #[error("`{0}` is not set")]
    Missing(&'static str),
    /// Something is set to what it cannot be.
    #[error("{what}: {problem}")]
    Wrong {
        /// Which setting.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ConfigError {
    pub(crate) fn wrong(what: impl Into<String>, problem: impl ToString) -> Self {
        Self::Wrong { what: what.into(), problem: problem.to_string() }
    }
}

/// Bounds on everything that a stranger or a slow peer could make large or long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Body of a paid request; above it 413, before anything is held.
    pub request_size_bytes_max: usize,
    /// Part of an answer that is kept for a resend; a larger answer is delivered once.
    pub answer_size_bytes_max: usize,
    /// Body of an answer that is not a success and goes out unpaid (threat row G11).
    pub free_size_bytes_max: usize,
    /// Time for the body of a paid request to arrive.
    pub request_timeout_s: u64,
    /// Time for the handler until its answer begins; also for the rest of it when the client has left.
    pub handler_timeout_s: u64,
    /// Time for the facilitator to verify (threat row G07).
    pub verify_timeout_s: u64,
    /// Time for the facilitator to settle; afterwards the outcome counts as unknown.
    pub settle_timeout_s: u64,
    /// Pause before a pending settlement is asked for once more.
    pub settle_again_after_ms: u64,
    /// Time for a price or payee function.
    pub price_timeout_s: u64,
    /// How long a copy of a request waits for the answer of the first.
    pub wait_timeout_s: u64,
    /// Payments in work at once; above it 503.
    pub in_flight_max: usize,
    /// How long an answer is kept after the payment can no longer be used on chain (invariant I11).
    pub keep_answer_s: u64,
    /// How long another instance on the same store may work on a sale before this one takes it up.
    /// Zero, the default, is for one instance: what lies in the book unfinished is left over from a crash.
    pub lease_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_size_bytes_max: 2 << 20,
            answer_size_bytes_max: 1 << 20,
            free_size_bytes_max: 64 << 10,
            request_timeout_s: 30,
            handler_timeout_s: 60,
            verify_timeout_s: 5,
            settle_timeout_s: 30,
            settle_again_after_ms: 1_000,
            price_timeout_s: 5,
            wait_timeout_s: 90,
            in_flight_max: 4_096,
            keep_answer_s: 86_400,
            lease_s: 0,
        }
    }
}

/// Which web pages may pay (threat row H22). Without it, preflights are answered with no permission.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cors {
    /// Origins such as `https://app.example.com`, or the single entry `*`. Credentials are never allowed.
    pub origins: Vec<String>,
}

impl Cors {
    /// The value of `Access-Control-Allow-Origin` for a page of `origin`.
    pub(crate) fn allows<'o>(&self, origin: &'o str) -> Option<&'o str> {
        if self.origins.iter().any(|allowed| allowed == "*") {
            return Some("*");
        }
        self.origins.iter().any(|allowed| allowed == origin).then_some(origin)
    }
}

/// A fault for the log when a stage ran out of time.
pub(crate) fn late(what: &'static str, seconds: u64) -> Fault {
    Fault::unavailable(what, format_args!("no answer within {seconds} s"))
}

/// What tokens look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenFormat {
    /// Signed with our key, and saying what they are for.
    #[default]
    Jwt,
    /// As PyPI `x402-mock` makes them, with a shared key.
    X402Mock,
}
