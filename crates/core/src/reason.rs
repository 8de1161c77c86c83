//! Why something is refused or cannot be done. Three kinds of trouble that are never turned into each other:
//! a [`Refusal`] (the payment is at fault), a [`Fault`] (we cannot tell or cannot act), and a bug (a panic).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the payer can do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Read the challenge again and pay with a new authorization.
    PayAgain,
    /// Send the same payment again later.
    SendAgain,
    /// Nothing that a retry could mend.
    GiveUp,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $advice:ident;)+) => {
        /// Why a payment is refused, in order of precedence: where several hold, the first is told.
        ///
        /// The codes are the spelling of the official TypeScript and Go SDKs; those they lack are ours
        /// (`docs/reference/reasons.md`). Peers treat them as opaque.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
            /// A code that a foreign facilitator gave and we do not know.
            Foreign(Box<str>),
        }

        impl Reason {
            /// All reasons of ours, in order of precedence.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The stable code.
            pub fn code(&self) -> &str {
                match self {
                    $(Self::$name => $code,)+
                    Self::Foreign(code) => code,
                }
            }

            /// What the payer can do.
            pub fn advice(&self) -> Advice {
                match self {
                    $(Self::$name => Advice::$advice,)+
                    Self::Foreign(_) => Advice::GiveUp,
                }
            }

            /// The reason with this code; one that is not ours is kept as text, bounded and printable.
            pub fn from_code(code: &str) -> Self {
                match code {
                    $($code => Self::$name,)+
                    other => Self::Foreign(printable(other, 96).into()),
                }
            }
        }
    };
}

reasons! {
    /// The protocol version is not one we speak.
    InvalidVersion = "invalid_x402_version", GiveUp;
    /// The payload is not shaped as its scheme says.
    InvalidPayload = "invalid_payload", GiveUp;
    /// The requirements are not shaped as the protocol says.
    InvalidRequirements = "invalid_payment_requirements", GiveUp;
    /// Nobody here settles this scheme.
    UnsupportedScheme = "unsupported_scheme", GiveUp;
    /// The payload's scheme is not the offer's.
    InvalidScheme = "invalid_exact_evm_scheme", GiveUp;
    /// Nobody here settles on this network.
    InvalidNetwork = "invalid_network", GiveUp;
    /// The offer says nothing of the token's EIP-712 domain.
    MissingDomain = "invalid_exact_evm_missing_eip712_domain", GiveUp;
    /// The payload's network is not the offer's.
    NetworkMismatch = "invalid_exact_evm_network_mismatch", GiveUp;
    /// The token is not on the operator's list.
    AssetNotAllowed = "asset_not_allowed", GiveUp;
    /// The payee is not on the operator's list, or is nobody's account.
    PayToNotAllowed = "pay_to_not_allowed", GiveUp;
    /// Less than what the operator settles of this token.
    PriceBelowMinimum = "price_below_minimum", GiveUp;
    /// The payer is one of the facilitator's own signers.
    PayerNotAllowed = "payer_not_allowed", GiveUp;
    /// A wallet that does not exist yet, from a factory that is not on the list.
    FactoryNotAllowed = "eip6492_factory_not_allowed", GiveUp;
    /// The signature is not the payer's.
    InvalidSignature = "invalid_exact_evm_signature", PayAgain;
    /// The payment goes to somebody else.
    RecipientMismatch = "invalid_exact_evm_recipient_mismatch", PayAgain;
    /// Too late, or too close to the end to settle.
    Expired = "invalid_exact_evm_payload_authorization_valid_before", PayAgain;
    /// Too early.
    NotYetValid = "invalid_exact_evm_payload_authorization_valid_after", SendAgain;
    /// The authorization could be used for longer than the operator accepts.
    WindowTooLong = "authorization_window_too_long", PayAgain;
    /// Not exactly the price.
    AmountMismatch = "invalid_exact_evm_payload_authorization_value_mismatch", PayAgain;
    /// There is no contract at the token's address.
    AssetNotDeployed = "asset_not_deployed_contract", GiveUp;
    /// The token cannot do EIP-3009.
    Eip3009NotSupported = "invalid_exact_evm_eip3009_not_supported", GiveUp;
    /// The token knows no such permit, or what takes it is not on this chain.
    PermitNotSupported = "permit_not_supported", GiveUp;
    /// The authorization has been used or cancelled on chain.
    NonceAlreadyUsed = "invalid_exact_evm_nonce_already_used", PayAgain;
    /// The token calls itself otherwise.
    TokenNameMismatch = "invalid_exact_evm_token_name_mismatch", GiveUp;
    /// The token has another EIP-712 version.
    TokenVersionMismatch = "invalid_exact_evm_token_version_mismatch", GiveUp;
    /// The payer does not have the money.
    InsufficientBalance = "invalid_exact_evm_insufficient_balance", PayAgain;
    /// The payer has not allowed Permit2 to move so much of the token.
    AllowanceRequired = "permit2_allowance_required", GiveUp;
    /// The chain would refuse it, for an unknown cause.
    SimulationFailed = "invalid_exact_evm_transaction_simulation_failed", PayAgain;
    /// Settling it costs more gas than allowed.
    GasBudgetExceeded = "gas_budget_exceeded", GiveUp;
    /// The payment names another resource than the one asked for.
    ResourceMismatch = "resource_mismatch", PayAgain;
    /// None of the offers is the one that the payment accepts.
    NoMatchingRequirements = "No matching payment requirements", PayAgain;
    /// The payment does not repeat the extensions as advertised.
    ExtensionEchoMismatch = "extension_echo_mismatch", PayAgain;
    /// This authorization has already bought something.
    PaymentAlreadyUsed = "payment_already_used", PayAgain;
    /// The same authorization is being worked on.
    PaymentInProgress = "payment_in_progress", SendAgain;
    /// The transaction was mined and reverted.
    TransactionFailed = "invalid_exact_evm_transaction_failed", PayAgain;
    /// The transaction went through but did not move the money as agreed.
    TransferEventMismatch = "invalid_exact_evm_transfer_event_mismatch", GiveUp;
    /// The hold was given back before anything was sent.
    Released = "payment_released", PayAgain;
    /// Nobody can say yet; the money may be on its way.
    SettlementPending = "settlement_pending", SendAgain;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_code(&std::borrow::Cow::<'de, str>::deserialize(deserializer)?))
    }
}

/// Untrusted text made safe to show: at most `chars_max` characters, none of them a control character or one that turns or hides
/// what stands beside it.
pub fn printable(text: &str, chars_max: usize) -> String {
    text.chars().map(|c| if c.is_control() || is_unseen(c) { ' ' } else { c }).take(chars_max).collect()
}

/// Marks of direction (UAX #9), line ends of Unicode, and characters without a width: with them an account can be made to look like
/// another.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The payment is at fault. Nothing has moved and nothing will because of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Who tried to pay, where that could be read.
    pub payer: Option<String>,
    /// A sentence for people, free of secrets.
    pub message: Option<String>,
    /// The transaction that was mined and failed, where there was one.
    pub transaction: Option<String>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, payer: None, message: None, transaction: None }
    }
}

/// We cannot tell or cannot act. The payer keeps its payment and sends the same one again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something that we need does not answer; no money has moved because of this call.
    #[error("{what} is not available: {detail}")]
    Unavailable {
        /// What: `chain`, `store`, `facilitator`, `signer`.
        what: &'static str,
        /// Why, for the log.
        detail: String,
    },
    /// The money may have moved; asking again later tells.
    #[error("the settlement is pending{}", transaction.as_ref().map(|t| format!(" in {t}")).unwrap_or_default())]
    Pending {
        /// The transaction that may carry it.
        transaction: Option<String>,
    },
    /// A peer answered something that its protocol does not know.
    #[error("{what} gave an answer that cannot be used: {detail}")]
    Garbled {
        /// Who.
        what: &'static str,
        /// What was wrong.
        detail: String,
    },
}

impl Fault {
    /// `what` does not answer.
    pub fn unavailable(what: &'static str, detail: impl fmt::Display) -> Self {
        Self::Unavailable { what, detail: printable(&detail.to_string(), 300) }
    }

    /// `what` answered nonsense.
    pub fn garbled(what: &'static str, detail: impl fmt::Display) -> Self {
        Self::Garbled { what, detail: printable(&detail.to_string(), 300) }
    }

    /// When to try again, in seconds (HTTP `Retry-After`).
    pub fn retry_after_s(&self) -> u64 {
        match self {
            Self::Pending { .. } => 2,
            Self::Unavailable { .. } | Self::Garbled { .. } => 5,
        }
    }
}

/// Why an operation on a payment did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The payment is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// We are, or somebody between us and the chain.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason.into())
    }
}

impl Failure {
    /// The same failure, naming the payer.
    #[must_use]
    pub fn by(self, payer: &str) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(Refusal { payer: Some(payer.to_owned()), ..refusal }),
            fault => fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_its_reason() {
        for reason in Reason::ALL {
            assert_eq!(&Reason::from_code(reason.code()), reason);
        }
    }

    #[test]
    fn a_foreign_code_is_bounded_and_printable() {
        let reason = Reason::from_code(&format!("evil\r\n{}", "x".repeat(1000)));
        assert_eq!(reason.code().chars().count(), 96);
        assert!(!reason.code().chars().any(char::is_control));
    }

    #[test]
    fn what_turns_or_hides_text_is_not_shown() {
        // An account written backwards, a line end of Unicode, a name with a hole, and a flag of invisible letters.
        for evil in
            ["\u{202e}A204x0", "a\u{2028}b", "USD\u{200b}C", "\u{2066}x\u{2069}", "\u{e0041}", "\u{1b}[2J"]
        {
            let shown = printable(evil, 100);
            assert!(
                shown.contains(' ') && shown.chars().all(|c| !c.is_control() && !is_unseen(c)),
                "{shown:?}"
            );
            assert_eq!(shown.chars().count(), evil.chars().count());
        }
        assert_eq!(printable("Zürich, 天気, ₿ 🌦", 100), "Zürich, 天気, ₿ 🌦");
    }
}
