//! The two generations of x402 and what they spell differently.

use groat_core::payment::DialectId;
use groat_core::{Network, Reason};

use crate::x402_v1;

/// What version 1 facilitators say for a wrong amount (official TypeScript SDK, `exact/v1/facilitator`).
const AMOUNT_MISMATCH_V1: &str = "invalid_exact_evm_authorization_value";

/// A generation of the x402 messages (`x402Version`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// Networks by plain name, the challenge in the body.
    One,
    /// Networks by CAIP-2 name, the challenge in a header field.
    Two,
}

impl Version {
    /// The version that a payment of this dialect is forwarded in: 1 for x402 version 1, else 2.
    pub fn of(dialect: &DialectId) -> Self {
        if *dialect == x402_v1::ID { Self::One } else { Self::Two }
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The version with this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }

    /// The name of a network; version 1 falls back to CAIP-2 for networks that it has no name for.
    pub fn network(self, network: &Network) -> &str {
        match self {
            Self::One => network.v1_name().unwrap_or(network.as_str()),
            Self::Two => network.as_str(),
        }
    }

    /// The code of a reason.
    pub fn reason(self, reason: &Reason) -> &str {
        match (self, reason) {
            (Self::One, Reason::AmountMismatch) => AMOUNT_MISMATCH_V1,
            _ => reason.code(),
        }
    }

    /// The reason of a code, in the spelling of either version.
    pub fn read_reason(code: &str) -> Reason {
        if code == AMOUNT_MISMATCH_V1 { Reason::AmountMismatch } else { Reason::from_code(code) }
    }
}
