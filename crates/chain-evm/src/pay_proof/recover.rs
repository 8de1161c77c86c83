//! Accounts from signatures.

use alloy_primitives::{Address, B256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

use crate::gas_key::address_of;

/// The accounts that could have signed: one where the signature says which, else up to four. `None` for bytes that are no
/// signature: another length, `r` or `s` out of range, an unknown recovery value.
///
/// Of four there are two in practice. The other two are points whose x is at least the order of the curve; the library
/// finds none unless `r` is smaller than the little that lies between order and field (SEC 1, section 4.1.6).
pub(super) fn candidates(digest: B256, signature: &[u8], may_be_short: bool) -> Option<Vec<Address>> {
    let (half, values): (&[u8], &[i32]) = match signature {
        [half @ .., v] if signature.len() == 65 => match v {
            0 | 27 => (half, &[0]),
            1 | 28 => (half, &[1]),
            _ => return None,
        },
        _ if may_be_short && signature.len() == 64 => (signature, &[0, 1, 2, 3]),
        _ => return None,
    };
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    if zero(&half[..32]) || zero(&half[32..]) {
        return None;
    }
    let mut accounts = Vec::with_capacity(values.len());
    for value in values {
        let id = RecoveryId::try_from(*value).ok()?;
        let signature = RecoverableSignature::from_compact(half, id).ok()?;
        if let Ok(key) = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature) {
            accounts.push(address_of(&key));
        }
    }
    Some(accounts)
}
