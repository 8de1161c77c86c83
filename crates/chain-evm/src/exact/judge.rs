//! The last, pure third of verification: what was checked and seen becomes a verdict.

use groat_core::Reason;

use super::check::Checked;
use super::look::Seen;
use super::proof::Signature;

/// The verdict, in the order of precedence of the official SDK (protocol page 05, section 5.3).
pub(super) fn judge(checked: &Checked, seen: &Seen) -> Result<(), Reason> {
    signature_good(checked, seen)?;
    checked.terms.clone()?;
    // The chain's clock may be ahead of ours (threat rows E06, C14), and it is the one that counts.
    if seen.block_time.is_some_and(|time| time >= checked.proof.authorization.valid_before) {
        return Err(Reason::Expired);
    }
    if !seen.asset_has_code {
        return Err(Reason::AssetNotDeployed);
    }
    let Some(used) = seen.used else { return Err(Reason::Eip3009NotSupported) };
    if used {
        return Err(Reason::NonceAlreadyUsed);
    }
    if seen.name.as_ref().is_some_and(|name| *name != checked.domain.name) {
        return Err(Reason::TokenNameMismatch);
    }
    if seen.version.as_ref().is_some_and(|version| *version != checked.domain.version) {
        return Err(Reason::TokenVersionMismatch);
    }
    if seen.balance.is_none_or(|balance| balance < checked.amount) {
        return Err(Reason::InsufficientBalance);
    }
    match &seen.simulated {
        Some(Err(_)) => Err(Reason::SimulationFailed),
        _ => Ok(()),
    }
}

/// Strict: who has code is asked by ERC-1271 only, because that is what the token will do; who has none must have
/// signed 65 bytes himself. A wrapper around a plain account's signature is refused (threat row E18).
fn signature_good(checked: &Checked, seen: &Seen) -> Result<(), Reason> {
    let good = match (&checked.proof.signature, seen.payer_has_code) {
        (_, true) => seen.contract_accepts == Some(true),
        (Signature::Ecdsa(_), false) => checked.ecdsa_fits,
        (Signature::Contract(_), false) => false,
        // The wallet does not exist yet: the simulation of deployment and transfer speaks for it.
        (Signature::Counterfactual { .. }, false) => seen.simulated == Some(Ok(())),
    };
    if good { Ok(()) } else { Err(Reason::InvalidSignature) }
}
