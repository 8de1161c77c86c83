//! A key in this process. It signs what a person could read, and never shows itself.

pub mod keystore;

use alloy_primitives::{Address, address, keccak256};
use async_trait::async_trait;
use groat_core::ports::{SignError, Signer, TypedIntent};
use secp256k1::{Message, SECP256K1, SecretKey};
use zeroize::Zeroizing;

/// Signs with a secret key held in memory. No `Debug`, no `Clone`, no way to read the key back.
pub struct LocalSigner {
    secret: Zeroizing<[u8; 32]>,
    address: Address,
}

/// Why a text or file is not a key. It never repeats what it read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes in hex, or not on the curve.
    #[error("a key is 32 bytes in hex, above zero and below the order of the curve")]
    NotAKey,
    /// Others can read the file (threat row K09).
    #[error("{0} can be read by others: run `chmod 600 {0}`")]
    Readable(std::path::PathBuf),
    /// The password does not open it.
    #[error("{0} cannot be opened with this password")]
    Password(std::path::PathBuf),
    /// There is a key already.
    #[error("{0} is there already: a key is never overwritten")]
    Exists(std::path::PathBuf),
    /// The file system does not help.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        problem: String,
    },
    /// The machine gives no randomness.
    #[error("no randomness")]
    Randomness,
}

impl LocalSigner {
    /// A key that nobody has seen.
    pub fn random() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            getrandom::fill(bytes.as_mut()).map_err(|_| KeyError::Randomness)?;
            if let Ok(signer) = Self::from_bytes(&bytes) {
                return Ok(signer);
            }
        }
    }

    /// The key in hex, with or without `0x`. For development: elsewhere keys come from keystore files.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        let digits = text.trim().trim_start_matches("0x");
        alloy_primitives::hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| KeyError::NotAKey)?;
        Self::from_bytes(&bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let mut secret = SecretKey::from_byte_array(*bytes).map_err(|_| KeyError::NotAKey)?;
        let public = secret.public_key(SECP256K1).serialize_uncompressed();
        secret.non_secure_erase();
        Ok(Self {
            secret: Zeroizing::new(*bytes),
            address: Address::from_slice(&keccak256(&public[1..])[12..]),
        })
    }

    /// Its account.
    pub fn address(&self) -> Address {
        self.address
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl std::fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalSigner({})", self.address)
    }
}

#[async_trait]
impl Signer for LocalSigner {
    fn account(&self) -> String {
        self.address.to_checksum(None)
    }

    async fn sign(&self, intent: &TypedIntent) -> Result<Vec<u8>, SignError> {
        let mut secret = SecretKey::from_byte_array(*self.secret)
            .map_err(|_| SignError::Unavailable("the key is damaged".to_owned()))?;
        // RFC 6979 and low s, both by the library.
        let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(intent.digest), &secret);
        secret.non_secure_erase();
        let (recovery, compact) = signature.serialize_compact();
        let v = 27 + u8::from(i32::from(recovery) & 1 == 1);
        Ok([compact.as_slice(), &[v]].concat())
    }
}

/// Whether everybody has the key of this account: the accounts of the mnemonic that development chains use
/// (threat row K12).
pub fn is_published(account: Address) -> bool {
    const PUBLISHED: [Address; 10] = [
        address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
        address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906"),
        address!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
        address!("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
        address!("0x976EA74026E726554dB657fA54763abd0C3a0aa9"),
        address!("0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
        address!("0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
        address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"),
    ];
    PUBLISHED.contains(&account)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn k08_k12_a_key_never_prints_and_published_ones_are_known() {
        let signer = LocalSigner::from_hex(TEXT).unwrap();
        assert_eq!(format!("{signer:?}"), "LocalSigner(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266)");
        assert!(is_published(signer.address()));
        assert!(!is_published(LocalSigner::random().unwrap().address()));
        let error = LocalSigner::from_hex("0xac0974bec3").unwrap_err().to_string();
        assert!(!error.contains("ac0974"), "{error}");
    }
}
