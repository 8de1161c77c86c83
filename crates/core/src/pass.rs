//! A pass: after a payment, the right to ask again for a while without paying (requirement R0-35).
//!
//! It is a bearer's right and no identity: whoever shows it is let in, and nobody is logged in by it (R0-40).

use serde::{Deserialize, Serialize};

use crate::{Amount, Network, PaymentId, Timestamp};

/// What a route gives to whoever has paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassTerms {
    /// Seconds that it is good for, from the moment the money is known to have moved: 1 to [`PassTerms::TTL_S_MAX`].
    pub ttl_s: u64,
    /// The class of resources it is good for: every route with the same scope takes it. Without one it is good for the
    /// method and the path that were paid for.
    #[serde(default)]
    pub scope: Option<String>,
    /// At most so many requests after the one that was paid for; without it any number.
    #[serde(default)]
    pub uses: Option<u32>,
}

impl PassTerms {
    /// No pass lasts longer: whoever checks it elsewhere by its signature alone does not hear that it was taken back.
    pub const TTL_S_MAX: u64 = 3_600;
    /// The longest name of a scope, in bytes.
    pub const SCOPE_SIZE_BYTES_MAX: usize = 256;

    /// What is wrong with them, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.ttl_s == 0 || self.ttl_s > Self::TTL_S_MAX {
            return Err(format!("a pass is good for 1 to {} seconds", Self::TTL_S_MAX));
        }
        if self.uses == Some(0) {
            return Err("a pass without uses is good for nothing: leave the pass out".to_owned());
        }
        match &self.scope {
            Some(scope) if scope.is_empty() || scope.len() > Self::SCOPE_SIZE_BYTES_MAX => {
                Err(format!("a scope is a name of 1 to {} bytes", Self::SCOPE_SIZE_BYTES_MAX))
            }
            Some(scope) if scope.chars().any(char::is_control) => {
                Err("a scope is a name without control characters".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// The pass that a payment buys: all of it that is known before the money has moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassGrant {
    /// The chain that is paid on.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// What it will be good for.
    pub scope: String,
    /// For so many seconds.
    pub ttl_s: u64,
    /// At most so many requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// A pass that was given. For one payment there is one, however often its answer is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The payment that it was given for.
    pub payment: PaymentId,
    /// Who paid, where that is known.
    pub payer: Option<String>,
    /// The chain that was paid on.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// What was paid, in atomic units.
    pub amount: Amount,
    /// What it is good for.
    pub scope: String,
    /// When the money was known to have moved.
    pub issued_at: Timestamp,
    /// From then on it is good for nothing.
    pub expires_at: Timestamp,
    /// At most so many requests.
    pub uses: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r0_35_terms_that_make_no_sense_are_told() {
        let terms =
            |ttl_s, scope: Option<&str>, uses| PassTerms { ttl_s, scope: scope.map(Into::into), uses };
        assert_eq!(terms(1, None, None).check(), Ok(()));
        assert_eq!(terms(3_600, Some("weather"), Some(1)).check(), Ok(()));
        for bad in [
            terms(0, None, None),
            terms(3_601, None, None),
            terms(60, Some(""), None),
            terms(60, Some("a\nb"), None),
            terms(60, Some(&"a".repeat(257)), None),
            terms(60, None, Some(0)),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
