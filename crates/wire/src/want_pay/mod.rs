//! Want-Pay and Pay-proof (profile `x402-pay/1`, `docs/spec/x402-pay-1.md`): the buyer pays a request on chain by
//! itself and shows a signed proof that names the transaction.
//!
//! The pieces are pure and stand alone: what both sides can work with ([`negotiation`]), what is asked for
//! ([`request`]), an id that needs no storage ([`id`]), the field of the paid request ([`pay_header`]), and the proof in
//! it ([`proof`]). Signatures and events are the business of a chain.

mod account;
mod canonical;
pub mod decimal;
mod dialect;
pub mod id;
pub mod lint;
pub mod negotiation;
pub mod pay_header;
pub mod proof;
pub mod request;

#[cfg(test)]
mod tests;

use groat_core::Network;

pub use dialect::{ID, SCHEME, WantPay};

/// The name of the profile.
pub const PROFILE: &str = "x402-pay/1";

/// A request can be paid until it expires; the proof may come so much later.
pub const PROOF_GRACE_S: u64 = 300;

/// What a seller says is wrong. The codes are those of the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The field or the token is not what the profile says.
    InvalidProof,
    /// Nothing that the buyer can pay with is taken here.
    NoCompatibleMethod,
    /// The proof or its request is too old.
    Expired,
    /// The request was not made here, or not for this.
    UnknownRequest,
    /// A claim says something else than the request.
    ClaimsMismatch,
    /// The proof is not signed by the account that it names.
    BadSignature,
    /// The transaction settles nothing of this request.
    NotSettled,
    /// The transaction pays somebody else.
    WrongSeller,
    /// The transaction pays another amount.
    AmountMismatch,
    /// The request has been paid and used.
    AlreadyUsed,
}

impl Code {
    /// As it stands in the member `error` of a 402.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidProof => "invalid_proof",
            Self::NoCompatibleMethod => "no_compatible_method",
            Self::Expired => "expired",
            Self::UnknownRequest => "unknown_request",
            Self::ClaimsMismatch => "claims_mismatch",
            Self::BadSignature => "bad_signature",
            Self::NotSettled => "not_settled",
            Self::WrongSeller => "wrong_seller",
            Self::AmountMismatch => "amount_mismatch",
            Self::AlreadyUsed => "already_used",
        }
    }

    /// The HTTP status that carries it: 400 for what cannot be read, 402 for the rest.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidProof => 400,
            _ => 402,
        }
    }
}

/// Names of chains that are in use here and that version 1 of x402 does not have.
const ALIASES: [(&str, u64); 2] = [("bsc", 56), ("bnb", 56)];

/// The chain of a name, in any case, or of a CAIP-2 name.
pub fn chain(text: &str) -> Option<Network> {
    if text.contains(':') {
        return Network::parse(text).ok();
    }
    let name = text.to_ascii_lowercase();
    let ours = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, id)| Network::eip155(*id));
    ours.or_else(|| Network::parse(&name).ok())
}

/// How a chain is written: by its short name where it has one.
pub fn chain_name(network: &Network) -> String {
    let ours = ALIASES.iter().find(|(_, id)| network.chain_id() == Some(*id)).map(|(alias, _)| *alias);
    network.v1_name().or(ours).unwrap_or(network.as_str()).to_owned()
}

/// Whether this can name a currency: 1 to 16 letters, digits and dots.
fn is_currency(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
}
