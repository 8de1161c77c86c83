//! The one replay key of a payment, and the id that everybody can compute from it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::Network;

/// What makes a proof of payment single-use. The kind separates key spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// EIP-3009: token (20 bytes), from (20), nonce (32).
    Eip3009,
    /// Permit2 unordered nonces: owner (20), nonce (32).
    Permit2,
    /// EIP-2612: token (20 bytes), owner (20), nonce (32).
    Eip2612,
    /// A transaction that has already paid: hash (32), which of its payments (8).
    Transaction,
    /// No payment but access that was bought before: payee and extra of the offer, and who has it (texts).
    Access,
    /// A request that is paid on chain by itself: seller (20), id of the request (text).
    Request,
    /// A debit of a ledger's account: account (text), nonce (32).
    Balance,
    /// An order that is paid elsewhere: id (text).
    Order,
}

impl KeyKind {
    const fn label(self) -> &'static str {
        match self {
            Self::Eip3009 => "eip3009",
            Self::Permit2 => "permit2",
            Self::Eip2612 => "eip2612",
            Self::Transaction => "transaction",
            Self::Access => "access",
            Self::Request => "request",
            Self::Balance => "balance",
            Self::Order => "order",
        }
    }
}

/// The replay key: a hash over parsed bytes, never over text or a signature (threat rows R05, R06, R21).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentKey([u8; 32]);

impl PaymentKey {
    /// The key of `parts` on `network`. Every field is length-prefixed, so no two inputs share a hash input.
    pub fn new(kind: KeyKind, network: &Network, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        field(b"groat/payment-key/1");
        field(kind.label().as_bytes());
        field(network.as_str().as_bytes());
        for part in parts {
            field(part);
        }
        Self(hash.finalize().into())
    }

    /// The public id of the payment with this key.
    pub fn id(&self) -> PaymentId {
        PaymentId(*self)
    }
}

impl fmt::Debug for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentKey({})", self.id())
    }
}

/// `pay_` and 52 characters of lower-case base32 (RFC 4648, no padding): the key, printable.
///
/// A buyer computes it before it sends anything and can ask about the payment after a crash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId(PaymentKey);

/// Why a text is not a payment id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payment id is `pay_` and 52 characters of lower-case base32")]
pub struct PaymentIdError;

impl PaymentId {
    /// The key behind the id.
    pub fn key(&self) -> PaymentKey {
        self.0
    }

    /// Reads an id in its one printed form.
    pub fn parse(text: &str) -> Result<Self, PaymentIdError> {
        let code = text.strip_prefix("pay_").ok_or(PaymentIdError)?;
        if code.len() != 52 || code.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(PaymentIdError);
        }
        let bytes = data_encoding::BASE32_NOPAD
            .decode(code.to_ascii_uppercase().as_bytes())
            .map_err(|_| PaymentIdError)?;
        Ok(Self(PaymentKey(bytes.try_into().map_err(|_| PaymentIdError)?)))
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut code = [0; 52];
        data_encoding::BASE32_NOPAD.encode_mut(&self.0.0, &mut code);
        code.make_ascii_lowercase();
        f.write_str("pay_")?;
        f.write_str(str::from_utf8(&code).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PaymentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PaymentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself_and_nothing_else_reads() {
        let key = PaymentKey::new(KeyKind::Eip3009, &Network::eip155(84532), &[&[1; 20], &[2; 20], &[3; 32]]);
        let text = key.id().to_string();
        assert_eq!(text.len(), 56);
        assert_eq!(PaymentId::parse(&text), Ok(key.id()));
        for bad in [text.to_uppercase(), text[4..].to_owned(), format!("{text}a"), "pay_".to_owned()] {
            assert_eq!(PaymentId::parse(&bad), Err(PaymentIdError), "{bad}");
        }
    }

    #[test]
    fn r16_a_nonce_of_permit2_is_one_for_all_tokens_and_one_of_a_token_is_its_own() {
        let network = Network::eip155(84532);
        let permit2 = |owner: u8| PaymentKey::new(KeyKind::Permit2, &network, &[&[owner; 20], &[9; 32]]);
        assert_eq!(permit2(1), permit2(1));
        assert_ne!(permit2(1), permit2(2));
        let of_token = |kind, token: u8| PaymentKey::new(kind, &network, &[&[token; 20], &[1; 20], &[9; 32]]);
        assert_ne!(of_token(KeyKind::Eip2612, 3), of_token(KeyKind::Eip2612, 4));
        assert_ne!(of_token(KeyKind::Eip2612, 3), of_token(KeyKind::Eip3009, 3));
    }

    #[test]
    fn r06_the_same_nonce_of_another_payer_or_token_is_another_payment() {
        let network = Network::eip155(84532);
        let key = |token: u8, from: u8| {
            PaymentKey::new(KeyKind::Eip3009, &network, &[&[token; 20], &[from; 20], &[9; 32]])
        };
        assert_ne!(key(1, 2), key(1, 3));
        assert_ne!(key(1, 2), key(4, 2));
        let parts: [&[u8]; 3] = [&[1; 20], &[2; 20], &[8; 32]];
        assert_ne!(key(1, 2), PaymentKey::new(KeyKind::Eip3009, &network, &parts), "another nonce");
        let parts: [&[u8]; 3] = [&[1; 20], &[2; 20], &[9; 32]];
        assert_eq!(key(1, 2), PaymentKey::new(KeyKind::Eip3009, &network, &parts));
        assert_ne!(key(1, 2), PaymentKey::new(KeyKind::Eip3009, &Network::eip155(8453), &parts));
        assert_ne!(key(1, 2), PaymentKey::new(KeyKind::Permit2, &network, &parts));
        assert_ne!(
            PaymentKey::new(KeyKind::Eip3009, &Network::eip155(1), &[b"ab", b"c"]),
            PaymentKey::new(KeyKind::Eip3009, &Network::eip155(1), &[b"a", b"bc"]),
        );
    }
}
