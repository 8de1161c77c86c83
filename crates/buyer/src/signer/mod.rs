//! A key in this process. It signs what a person could read, and never shows itself.

pub mod keystore;
mod published;

use alloy_primitives::{Address, hex, keccak256};
use async_trait::async_trait;
use groat_core::ports::{SignError, Signer, TypedIntent};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::Value;
use zeroize::Zeroizing;

pub use published::is_published;

/// Signs with a secret key held in memory, which is wiped when this goes. No `Clone`, no `Serialize`; `Debug` shows
/// the account.
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
    /// The file system does not help, or the file is not a keystore.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        problem: String,
    },
    /// The machine gives no randomness.
    #[error("the machine gives no randomness")]
    Randomness,
}

/// The kinds of typed data that this signer knows the consequences of. Whatever else comes this way is not signed
/// (threat row Y19).
const SIGNABLE: [&str; 7] = [
    "TransferWithAuthorization",
    "ReceiveWithAuthorization",
    "Transaction",
    "PaymentProof",
    "RequestProof",
    "BalanceDebit",
    "BalanceStatement",
];

/// Where kinds of permits say how much may be taken.
const PERMITS: [(&str, &str); 2] =
    [("PermitTransferFrom", "/message/permitted/amount"), ("Permit", "/message/value")];

/// Whether it is a permit for a sum and until a time. One for everything or for ever is what thieves ask for (threat row Y18).
fn is_bounded_permit(kind: &str, typed_data: &Value) -> bool {
    let Some((_, sum)) = PERMITS.iter().find(|(name, _)| *name == kind) else { return false };
    let text = |place: &str| typed_data.pointer(place).and_then(Value::as_str);
    let sum = text(sum).and_then(|sum| sum.parse::<u128>().ok());
    // Seconds to the year 2106.
    let deadline = text("/message/deadline").and_then(|deadline| deadline.parse::<u32>().ok());
    sum.is_some_and(|sum| sum < u128::MAX) && deadline.is_some_and(|deadline| deadline < u32::MAX)
}

impl LocalSigner {
    /// A key that nobody has seen.
    pub fn random() -> Result<Self, KeyError> {
        loop {
            let mut bytes = Zeroizing::new([0; 32]);
            getrandom::fill(bytes.as_mut()).map_err(|_| KeyError::Randomness)?;
            if let Ok(signer) = Self::from_bytes(bytes) {
                return Ok(signer);
            }
        }
    }

    /// The key in hex, with or without `0x`. For development: elsewhere keys come from keystore files.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        let text = text.trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| KeyError::NotAKey)?;
        Self::from_bytes(bytes)
    }

    pub(crate) fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let mut secret = SecretKey::from_byte_array(*bytes).map_err(|_| KeyError::NotAKey)?;
        let public = secret.public_key(SECP256K1).serialize_uncompressed();
        secret.non_secure_erase();
        Ok(Self { secret: bytes, address: Address::from_slice(&keccak256(&public[1..])[12..]) })
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
        let kind = intent.typed_data.get("primaryType").and_then(|kind| kind.as_str()).unwrap_or_default();
        if !SIGNABLE.contains(&kind) && !is_bounded_permit(kind, &intent.typed_data) {
            let kinds = SIGNABLE.join(" and ");
            let sentence = format!("this wallet signs {kinds} only, and permits of a sum until a time");
            return Err(SignError::Refused(sentence));
        }
        let mut secret = SecretKey::from_byte_array(*self.secret)
            .map_err(|_| SignError::Unavailable("the key is damaged".to_owned()))?;
        // Deterministic (RFC 6979) and with low s, both by the library.
        let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(intent.digest), &secret);
        secret.non_secure_erase();
        let (recovery, compact) = signature.serialize_compact();
        // Ids 2 and 3 mean an r above the order of the curve, which nobody has ever seen.
        let v = 27 + u8::from(i32::from(recovery) & 1 == 1);
        Ok([compact.as_slice(), &[v]].concat())
    }
}

#[cfg(test)]
mod tests;
