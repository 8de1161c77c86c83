//! Whose an account is: an Ethereum address or an Ed25519 key. Nobody registers; whoever can sign has it.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use sha3::{Digest, Keccak256};

/// The prefix of an Ed25519 key as an account.
const ED25519: &str = "ed25519:";

/// The holder of an account, by bytes: two spellings are one holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// An Ethereum address; signs with EIP-191.
    Evm([u8; 20]),
    /// A public key of Ed25519; signs the text itself.
    Ed25519([u8; 32]),
}

/// The text names no holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an account is an Ethereum address (with the right checksum, or in one case) or `ed25519:` and a public key in base64url"
)]
pub struct NotAnAccount;

impl Holder {
    /// Reads an account. Nobody is nobody's: the zero address holds nothing.
    pub fn parse(text: &str) -> Result<Self, NotAnAccount> {
        if let Some(key) = text.strip_prefix(ED25519) {
            let bytes = BASE64URL_NOPAD.decode(key.as_bytes()).map_err(|_| NotAnAccount)?;
            return bytes.try_into().map(Self::Ed25519).map_err(|_| NotAnAccount);
        }
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40).ok_or(NotAnAccount)?;
        let lower = digits.to_ascii_lowercase();
        let bytes = data_encoding::HEXLOWER.decode(lower.as_bytes()).map_err(|_| NotAnAccount)?;
        let bytes: [u8; 20] = bytes.try_into().map_err(|_| NotAnAccount)?;
        let one_case = digits == lower || digits == digits.to_ascii_uppercase();
        let fits = one_case || digits == checksummed(&lower);
        (fits && bytes != [0; 20]).then_some(Self::Evm(bytes)).ok_or(NotAnAccount)
    }
}

impl fmt::Display for Holder {
    /// The one spelling: EIP-55, or base64url without padding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(bytes) => write!(f, "0x{}", checksummed(&data_encoding::HEXLOWER.encode(bytes))),
            Self::Ed25519(key) => write!(f, "{ED25519}{}", BASE64URL_NOPAD.encode(key)),
        }
    }
}

fn checksummed(lower: &str) -> String {
    let hash = Keccak256::digest(lower.as_bytes());
    let digit = |(at, letter): (usize, char)| {
        let nibble = if at % 2 == 0 { hash[at / 2] >> 4 } else { hash[at / 2] & 15 };
        if nibble > 7 { letter.to_ascii_uppercase() } else { letter }
    };
    lower.chars().enumerate().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m07_every_spelling_of_an_account_is_one_holder_and_nothing_else_is_one() {
        let good = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        assert_eq!(Holder::parse(good), Holder::parse(&good.to_lowercase()));
        assert_eq!(Holder::parse(&good.to_lowercase()).unwrap().to_string(), good);
        let key = Holder::Ed25519([7; 32]);
        assert_eq!(Holder::parse(&key.to_string()), Ok(key));
        let zero = format!("0x{}", "0".repeat(40));
        for bad in [
            "",
            "cash",
            "refunds",
            "0x",
            &good[2..],
            &zero,
            "ed25519:",
            "ed25519:AAAA",
            "vitalik.eth",
            "0x70997970c51812dc3A010C7d01b50e0d17dc79C8",
            &format!("{key}="),
            "0x70997970C51812dc3A010C7d01b50e0d17dc79C8/x",
        ] {
            assert_eq!(Holder::parse(bad), Err(NotAnAccount), "{bad}");
        }
    }
}
