//! Why nothing was bought, in four kinds that ask for four different reactions.

use groat_core::policy::Denial;
use groat_core::ports::SignError;
use groat_core::reason::printable;
use groat_core::{Fault, Network, PaymentId, Reason};
use groat_wire::WireError;

/// Why there is no answer that was paid for.
#[derive(Debug, thiserror::Error)]
pub enum BuyError {
    /// The seller took the request with its payment and did not deliver. Its word releases nothing: the payment may
    /// still be taken, so no other is signed before this one is dead.
    #[error("the seller refused the payment (HTTP {status}): {reason}{}{}", said(message), hint(*.retry_after_s))]
    Refused {
        /// Why.
        reason: Reason,
        /// The payment.
        id: PaymentId,
        /// HTTP status of the answer.
        status: u16,
        /// The beginning of the answer's body: data, never instructions.
        message: String,
        /// In so many seconds a new payment may be signed.
        retry_after_s: u64,
    },
    /// The policy said no; nothing was signed.
    #[error("not paid: {}", reasons(.0))]
    Denied(Vec<Denial>),
    /// A person or the signer was asked and did not say yes; nothing was signed.
    #[error("not paid: {0}")]
    NotApproved(String),
    /// None of the offers can be paid by this client.
    #[error("not paid: the seller offers nothing that this wallet can pay ({0})")]
    NoOffer(String),
    /// The outcome is not known yet. The same call asks again and never pays twice.
    #[error("the outcome of the payment is not known yet{}: repeat the same command, it will not pay twice", transaction.as_ref().map(|t| format!(" (transaction {t})")).unwrap_or_default())]
    Pending {
        /// The payment.
        id: PaymentId,
        /// The transaction that may carry it.
        transaction: Option<String>,
        /// Repeating earlier than in so many seconds is of no use.
        retry_after_s: u64,
    },
    /// The transaction of an earlier payment for the same was sent, and its offer is over. It may get into a block all the
    /// same, so no other is signed.
    #[error(
        "an earlier payment for this is a transaction that may still get into a block of {network} ({transaction}): repeat the same command later, with the node of {network}, and it will not pay twice; `--again` signs another, and both may be taken"
    )]
    MayLand {
        /// The payment.
        id: PaymentId,
        /// Its transaction.
        transaction: String,
        /// On this chain.
        network: Network,
    },
    /// Something does not work.
    #[error("{0}")]
    Fault(String),
}

/// What a [`BuyError`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuyErrorKind {
    /// The seller said no: talk to it, or wait.
    Refused,
    /// The buyer's own limits said no: change them, or do without.
    Denied,
    /// Something does not work: mend it.
    Fault,
    /// Not known yet: repeat.
    Pending,
}

impl BuyErrorKind {
    /// The exit code of a command that ends so.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 10,
            Self::Denied => 11,
            Self::Fault => 20,
            Self::Pending => 21,
        }
    }
}

/// Most that is shown of a text that others had a part in.
const TEXT_CHARS_MAX: usize = 600;

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

fn hint(retry_after_s: u64) -> String {
    format!(
        "; the payment stays reserved and a new one may be signed in {retry_after_s} s (or now with --again)"
    )
}

fn reasons(denials: &[Denial]) -> String {
    denials.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl BuyError {
    /// What it asks for.
    pub fn kind(&self) -> BuyErrorKind {
        match self {
            Self::Refused { .. } => BuyErrorKind::Refused,
            Self::Denied(_) | Self::NotApproved(_) => BuyErrorKind::Denied,
            Self::NoOffer(_) | Self::Fault(_) => BuyErrorKind::Fault,
            Self::Pending { .. } | Self::MayLand { .. } => BuyErrorKind::Pending,
        }
    }

    pub(crate) fn fault(text: impl Into<String>) -> Self {
        Self::Fault(text.into())
    }

    pub(crate) fn busy() -> Self {
        Self::fault(
            "another process is buying the same at this moment: repeat the command, it will not pay twice",
        )
    }

    pub(crate) fn stream() -> Self {
        Self::fault("the body must be in memory and not a stream, because it may have to be sent again")
    }
}

impl From<Fault> for BuyError {
    fn from(fault: Fault) -> Self {
        Self::Fault(format!("the purchase journal: {fault}"))
    }
}

impl From<WireError> for BuyError {
    fn from(error: WireError) -> Self {
        Self::Fault(printable(&format!("the seller's answer cannot be read: {error}"), TEXT_CHARS_MAX))
    }
}

impl From<SignError> for BuyError {
    fn from(error: SignError) -> Self {
        // What a request or a contract of a stranger says may be in it (threat row Y06).
        match error {
            SignError::Refused(_) => Self::NotApproved(error.to_string()),
            SignError::Offer(what) => Self::NoOffer(printable(&what, TEXT_CHARS_MAX)),
            SignError::Unavailable(_) => Self::Fault(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn y06_what_strangers_say_of_an_offer_does_not_turn_the_terminal() {
        let error =
            BuyError::from(SignError::Offer(format!("it says \u{1b}[2J\u{202e}{}", "x".repeat(9_999))));
        let text = error.to_string();
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
        assert!(text.contains("it says  [2J") && text.len() < 1_000, "{text:?}");
    }
}
