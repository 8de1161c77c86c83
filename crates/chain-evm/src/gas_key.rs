//! The key that pays for gas. It signs transactions and nothing else.

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use zeroize::Zeroizing;

/// A facilitator's signing key. It never prints, and the bytes are wiped when dropped.
pub struct GasKey {
    secret: Zeroizing<[u8; 32]>,
    address: Address,
}

/// Why a text is not a key. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key is 32 bytes in hex, above zero and below the order of the curve")]
pub struct GasKeyError;

impl GasKey {
    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, GasKeyError> {
        let bytes = Zeroizing::new(bytes);
        let mut secret = SecretKey::from_byte_array(*bytes).map_err(|_| GasKeyError)?;
        let address = address_of(&secret.public_key(SECP256K1));
        secret.non_secure_erase();
        Ok(Self { secret: bytes, address })
    }

    /// The key in hex, with or without `0x`.
    pub fn from_hex(text: &str) -> Result<Self, GasKeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        let digits = text.trim().trim_start_matches("0x");
        alloy_primitives::hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| GasKeyError)?;
        Self::from_bytes(*bytes)
    }

    /// Its account.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a transaction hash.
    pub(crate) fn sign(&self, hash: B256) -> Result<Signature, GasKeyError> {
        let mut secret = SecretKey::from_byte_array(*self.secret).map_err(|_| GasKeyError)?;
        let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(hash.0), &secret);
        secret.non_secure_erase();
        let (recovery, bytes) = signature.serialize_compact();
        let (r, s) = bytes.split_at(32);
        Ok(Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), i32::from(recovery) & 1 == 1))
    }
}

impl std::fmt::Debug for GasKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GasKey({})", self.address)
    }
}

/// The account of a public key: the last 20 bytes of the Keccak hash of its coordinates.
pub(crate) fn address_of(key: &PublicKey) -> Address {
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k08_a_key_never_prints() {
        let text = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        let key = GasKey::from_hex(text).unwrap();
        assert_eq!(format!("{key:?}"), "GasKey(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266)");
        assert_eq!(GasKey::from_hex("0x00").unwrap_err().to_string(), GasKeyError.to_string());
        assert!(GasKey::from_bytes([0; 32]).is_err());
        assert!(GasKey::from_bytes([0xff; 32]).is_err());
    }
}
