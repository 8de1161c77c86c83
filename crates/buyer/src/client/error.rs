//! Why nothing was bought, in four kinds that ask for four different reactions.

use groat_core::policy::Denial;
use groat_core::ports::SignError;
use groat_core::{Fault, PaymentId, Reason};
use groat_wire::WireError;

/// Why there is no answer that was paid for.
#[derive(Debug, thiserror::Error)]
pub enum BuyError {
    /// The seller refused the payment. It may not be signed again before it is dead.
    #[error("the seller refused the payment: {reason}{}", hint(*.retry_after_s))]
    Refused {
        /// Why.
        reason: Reason,
        /// The payment.
        id: PaymentId,
        /// In so many seconds a new payment may be signed.
        retry_after_s: u64,
    },
    /// The policy said no; nothing was signed.
    #[error("not paid: {}", reasons(.0))]
    Denied(Vec<Denial>),
    /// A person was asked and did not say yes.
    #[error("not paid: {0}, and nobody approved it")]
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
    },
    /// Something does not work.
    #[error("{0}")]
    Fault(String),
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
    pub(crate) fn fault(text: impl Into<String>) -> Self {
        Self::Fault(text.into())
    }
}

impl From<Fault> for BuyError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault.to_string())
    }
}

impl From<WireError> for BuyError {
    fn from(error: WireError) -> Self {
        Self::Fault(format!("the seller's answer cannot be read: {error}"))
    }
}

impl From<SignError> for BuyError {
    fn from(error: SignError) -> Self {
        Self::Fault(error.to_string())
    }
}
