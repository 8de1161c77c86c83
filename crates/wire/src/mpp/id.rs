//! The id of a challenge: 16 random bytes, and 16 of a hash over them and everything that the challenge is about.
//!
//! There is no key. The payer signs `keccak256(id ‖ realm)` as the number of its authorization, so whoever holds a payment
//! cannot put another id into it, and the id fits one challenge only: this method, URL, price, payee and end. A key would
//! show in addition that the challenge was given out here. That guards nothing: a payer who makes up a challenge of its own
//! has to ask for exactly what is sold now (`choose` compares it with the offers), and pays as if it had asked.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use groat_core::payment::Fingerprint;
use sha3::{Digest, Keccak256};
use subtle::ConstantTimeEq;

const LABEL: &[u8] = b"groat mpp 1";
const RANDOM: usize = 16;
const WHOLE: usize = 32;

/// What a challenge is about. An id is good for exactly this.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// The host that sells.
    pub(super) realm: &'a str,
    /// The HTTP method.
    pub(super) method: &'a str,
    /// The URL of what is sold.
    pub(super) url: &'a str,
    /// The terms, as they are told.
    pub(super) request: &'a str,
    /// The end, as it is told.
    pub(super) expires: &'a str,
}

/// The id with these random bytes.
pub(super) fn issue(random: [u8; RANDOM], about: &About<'_>) -> String {
    let mut id = [0; WHOLE];
    id[..RANDOM].copy_from_slice(&random);
    id[RANDOM..].copy_from_slice(&mark(&random, about));
    BASE64URL_NOPAD.encode(&id)
}

/// Whether an id is about this.
pub(super) fn fits(id: &str, about: &About<'_>) -> bool {
    let id = BASE64URL_NOPAD.decode(id.as_bytes()).ok().and_then(|id| <[u8; WHOLE]>::try_from(id).ok());
    id.is_some_and(|id| {
        let (random, told) = id.split_at(RANDOM);
        bool::from(told.ct_eq(&mark(random, about)))
    })
}

fn mark(random: &[u8], about: &About<'_>) -> [u8; WHOLE - RANDOM] {
    let About { realm, method, url, request, expires } = about;
    let texts = [realm, method, url, request, expires].map(|text| text.as_bytes());
    let hash = Fingerprint::of(&[LABEL, random, texts[0], texts[1], texts[2], texts[3], texts[4]]).0;
    let mut mark = [0; WHOLE - RANDOM];
    if let Ok(bytes) = HEXLOWER.decode(hash.as_bytes()) {
        mark.copy_from_slice(&bytes[..WHOLE - RANDOM]);
    }
    mark
}

/// The number of the authorization that pays a challenge.
pub(super) fn nonce(id: &str, realm: &str) -> [u8; 32] {
    Keccak256::new().chain_update(id).chain_update(realm).finalize().into()
}
