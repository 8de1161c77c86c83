//! The JSON of a keystore file and the cryptography in it.

use aes::Aes128;
use alloy_primitives::{hex, keccak256};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::Hmac;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::super::{KeyError, LocalSigner};

/// A keystore file.
#[derive(Serialize, Deserialize)]
pub(super) struct Keystore {
    version: u8,
    id: String,
    /// Without `0x`, as geth writes it; not needed for reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
}

#[derive(Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: Hex,
    #[serde(flatten)]
    derivation: Derivation,
    mac: Hex,
}

#[derive(Serialize, Deserialize)]
struct CipherParams {
    iv: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
enum Derivation {
    Scrypt { dklen: usize, n: u32, p: u32, r: u32, salt: Hex },
    Pbkdf2 { dklen: usize, c: u32, prf: String, salt: Hex },
}

/// Bytes written as hex.
struct Hex(Vec<u8>);

/// Why a keystore does not open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    Password,
    NotAKey,
    Format(&'static str),
}

/// Length of the derived key: half encrypts, half authenticates.
const DERIVED_BYTES: usize = 32;
/// Most memory that a file may make us use.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Most PBKDF2 rounds that a file may make us run.
const ROUNDS_MAX: u32 = 10_000_000;

impl Keystore {
    /// Encrypts a key.
    pub(super) fn close(signer: &LocalSigner, password: &str, log_n: u8) -> Result<Self, KeyError> {
        let derivation = Derivation::Scrypt {
            dklen: DERIVED_BYTES,
            n: 1 << log_n,
            p: 1,
            r: 8,
            salt: Hex(random::<32>()?.to_vec()),
        };
        let derived = derivation.derive(password).map_err(|_| KeyError::NotAKey)?;
        let iv = random::<16>()?;
        let mut ciphertext = Zeroizing::new(signer.secret().to_vec());
        crypt(&derived, &iv, &mut ciphertext)?;
        Ok(Self {
            version: 3,
            id: uuid(random()?),
            address: Some(hex::encode(signer.address())),
            crypto: Crypto {
                cipher: "aes-128-ctr".to_owned(),
                cipherparams: CipherParams { iv: Hex(iv.to_vec()) },
                mac: Hex(mac(&derived, &ciphertext)),
                ciphertext: Hex(ciphertext.to_vec()),
                derivation,
            },
        })
    }

    /// Reads the JSON.
    pub(super) fn parse(text: &str) -> Result<Self, OpenError> {
        let keystore: Self =
            serde_json::from_str(text).map_err(|_| OpenError::Format("not a keystore file of version 3"))?;
        match keystore.version {
            3 => Ok(keystore),
            _ => Err(OpenError::Format("only keystore files of version 3 are read")),
        }
    }

    /// The JSON.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Decrypts the key.
    pub(super) fn open(&self, password: &str) -> Result<Zeroizing<[u8; 32]>, OpenError> {
        let crypto = &self.crypto;
        if crypto.cipher != "aes-128-ctr" {
            return Err(OpenError::Format("only aes-128-ctr is known"));
        }
        let derived = crypto.derivation.derive(password)?;
        // The comparison guards nothing that a clock could tell: whoever times it has the file.
        if mac(&derived, &crypto.ciphertext.0) != crypto.mac.0 {
            return Err(OpenError::Password);
        }
        let mut secret: Zeroizing<[u8; 32]> =
            Zeroizing::new(crypto.ciphertext.0.as_slice().try_into().map_err(|_| OpenError::NotAKey)?);
        crypt(&derived, &crypto.cipherparams.iv.0, secret.as_mut())
            .map_err(|_| OpenError::Format("the iv has 16 bytes"))?;
        Ok(secret)
    }
}

impl Derivation {
    fn derive(&self, password: &str) -> Result<Zeroizing<[u8; DERIVED_BYTES]>, OpenError> {
        let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
        match self {
            Self::Scrypt { dklen: DERIVED_BYTES, n, p, r, salt } => {
                let memory =
                    (u64::from(*n) + u64::from(*p)).saturating_mul(128).saturating_mul(u64::from(*r));
                if !n.is_power_of_two() || *n < 2 || memory > MEMORY_BYTES_MAX || *p > 16 {
                    return Err(OpenError::Format("its scrypt parameters are out of bounds"));
                }
                // The length in the parameters is for password hashes; what counts is that of the output.
                let log_n = n.trailing_zeros() as u8;
                scrypt::Params::new(log_n, *r, *p, DERIVED_BYTES)
                    .map_err(|_| ())
                    .and_then(|params| {
                        scrypt::scrypt(password.as_bytes(), &salt.0, &params, derived.as_mut())
                            .map_err(|_| ())
                    })
                    .map_err(|()| OpenError::Format("its scrypt parameters are out of bounds"))?;
            }
            Self::Pbkdf2 { dklen: DERIVED_BYTES, c, prf, salt } => {
                if prf != "hmac-sha256" || *c == 0 || *c > ROUNDS_MAX {
                    return Err(OpenError::Format("its PBKDF2 parameters are out of bounds"));
                }
                pbkdf2::pbkdf2::<Hmac<Sha256>>(password.as_bytes(), &salt.0, *c, derived.as_mut())
                    .map_err(|_| OpenError::Format("its PBKDF2 parameters are out of bounds"))?;
            }
            _ => return Err(OpenError::Format("only derived keys of 32 bytes are known")),
        }
        Ok(derived)
    }
}

/// AES-128-CTR under the first half of the derived key; encrypts and decrypts.
fn crypt(derived: &[u8; DERIVED_BYTES], iv: &[u8], bytes: &mut [u8]) -> Result<(), KeyError> {
    let mut cipher =
        Ctr128BE::<Aes128>::new_from_slices(&derived[..16], iv).map_err(|_| KeyError::NotAKey)?;
    cipher.apply_keystream(bytes);
    Ok(())
}

/// Keccak-256 over the second half of the derived key and the ciphertext.
fn mac(derived: &[u8; DERIVED_BYTES], ciphertext: &[u8]) -> Vec<u8> {
    let input = Zeroizing::new([&derived[16..], ciphertext].concat());
    keccak256(input.as_slice()).to_vec()
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeyError::Randomness)?;
    Ok(bytes)
}

/// A random UUID (version 4), which the format wants for a name.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        hex::decode(text.as_ref()).map(Self).map_err(serde::de::Error::custom)
    }
}
