//! Whether a holder has signed a text.

use groat_core::Timestamp;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};
use sha3::{Digest, Keccak256};

use crate::Holder;

/// What is signed for a statement: who is asked (an origin, such as `https://api.example.com`), by whom, and when.
pub fn statement_text(service: &str, account: &str, signed_at: Timestamp) -> String {
    format!("x402-balance/1\n{service}\n{account}\n{signed_at}")
}

/// The digest that an Ethereum wallet signs for a text (EIP-191, version `E`).
pub fn message_digest(text: &str) -> [u8; 32] {
    let mut hash = Keccak256::new();
    hash.update(format!("\x19Ethereum Signed Message:\n{}", text.len()));
    hash.update(text);
    hash.finalize().into()
}

/// The bytes of a signature: hex after `0x`, or base64url. One spelling for each kind of holder.
pub(crate) fn read(holder: &Holder, text: &str) -> Option<Vec<u8>> {
    match holder {
        Holder::Evm(_) => {
            let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 130)?;
            data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()
        }
        Holder::Ed25519(_) => {
            data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok().filter(|bytes| bytes.len() == 64)
        }
    }
}

/// Whether the holder has signed this text.
pub(crate) fn is_signed(holder: &Holder, text: &str, signature: &[u8]) -> bool {
    match holder {
        Holder::Evm(address) => signer(text, signature).is_some_and(|signer| signer == *address),
        Holder::Ed25519(key) => {
            let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key);
            key.verify(text.as_bytes(), signature).is_ok()
        }
    }
}

/// Whose address has signed; a signature has one form (low s).
fn signer(text: &str, signature: &[u8]) -> Option<[u8; 20]> {
    let (&v, compact) = signature.split_last().filter(|(_, compact)| compact.len() == 64)?;
    let id = RecoveryId::try_from(i32::from(if v >= 27 { v - 27 } else { v })).ok()?;
    if !matches!(v, 0 | 1 | 27 | 28) {
        return None;
    }
    let signature = RecoverableSignature::from_compact(compact, id).ok()?;
    let plain = signature.to_standard();
    let mut low = plain;
    low.normalize_s();
    if low != plain {
        return None;
    }
    let message = Message::from_digest(message_digest(text));
    let key = SECP256K1.recover_ecdsa(message, &signature).ok()?.serialize_uncompressed();
    Keccak256::digest(&key[1..])[12..].try_into().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use secp256k1::SecretKey;

    use super::*;

    /// The address of a key and its signature of a text.
    pub(crate) fn sign(secret: u8, text: &str) -> (Holder, Vec<u8>) {
        let secret = SecretKey::from_byte_array([secret; 32]).unwrap();
        let public = secret.public_key(SECP256K1).serialize_uncompressed();
        let address = Keccak256::digest(&public[1..])[12..].try_into().unwrap();
        let message = Message::from_digest(message_digest(text));
        let (id, compact) = SECP256K1.sign_ecdsa_recoverable(message, &secret).serialize_compact();
        (Holder::Evm(address), [compact.as_slice(), &[27 + i32::from(id) as u8]].concat())
    }

    #[test]
    fn a_text_is_signed_by_its_holder_and_by_nobody_else() {
        // What ethers and viem sign: the vector is of EIP-191's own hash of `hello`.
        assert_eq!(
            data_encoding::HEXLOWER.encode(&message_digest("hello")),
            "50b2c43fd39106bafbba0da34fc430e1f91e3c96ea2acee2bc34119f92b37750"
        );
        let (holder, signature) = sign(1, "hello");
        assert!(is_signed(&holder, "hello", &signature));
        assert!(!is_signed(&holder, "hello!", &signature));
        assert!(!is_signed(&sign(2, "").0, "hello", &signature));
        for length in 0..65 {
            assert!(!is_signed(&holder, "hello", &signature[..length]));
        }
        let text = format!("0x{}", data_encoding::HEXLOWER.encode(&signature));
        assert_eq!(read(&holder, &text), Some(signature));
        assert_eq!(read(&holder, &text[..131]), None);
    }

    #[test]
    fn r06_a_signature_turned_over_is_none() {
        let (holder, mut signature) = sign(1, "hello");
        // n - s, and the other v: the same key comes out of it.
        let order = secp256k1::constants::CURVE_ORDER;
        let mut borrow = 0i16;
        for at in (0..32).rev() {
            let digit = i16::from(order[at]) - i16::from(signature[32 + at]) - borrow;
            borrow = i16::from(digit < 0);
            signature[32 + at] = digit.rem_euclid(256) as u8;
        }
        signature[64] ^= 27 ^ 28;
        assert!(!is_signed(&holder, "hello", &signature));
    }

    #[test]
    fn an_ed25519_key_signs_the_text_itself() {
        use ring::signature::{Ed25519KeyPair, KeyPair};
        let pair = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap();
        let holder = Holder::Ed25519(pair.public_key().as_ref().try_into().unwrap());
        let signature = pair.sign(b"hello").as_ref().to_vec();
        assert!(is_signed(&holder, "hello", &signature));
        assert!(!is_signed(&holder, "hullo", &signature));
        assert!(!is_signed(&Holder::Ed25519([1; 32]), "hello", &signature));
        let text = data_encoding::BASE64URL_NOPAD.encode(&signature);
        assert_eq!(read(&holder, &text), Some(signature));
    }
}
