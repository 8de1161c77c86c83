//! The last, pure third of verification: what was checked and seen becomes a verdict.

use groat_core::{Reason, Refusal};

use super::PermitKind;
use super::check::Checked;
use super::look::{Nonce, Seen};
use crate::account;

/// The verdict, with a sentence where the code alone says too little.
pub(super) fn judge(checked: &Checked, seen: &Seen) -> Result<(), Refusal> {
    let permit = &checked.permit;
    let because = |reason: Reason, message: String| Err(Refusal { message: Some(message), ..reason.into() });
    // The chain's clock may be ahead of ours (threat rows E06, C14), and it is the one that counts.
    if seen.facts.time > permit.deadline {
        return Err(Reason::Expired.into());
    }
    let Some(balance) = seen.balance else { return Err(Reason::AssetNotDeployed.into()) };
    if seen.payee != Some(checked.payee) {
        let till = account::text(checked.till);
        return because(
            Reason::PermitNotSupported,
            format!("the till {till} of {} is not on this chain yet", account::text(checked.payee)),
        );
    }
    if seen.paid != Some(false) {
        return Err(Reason::NonceAlreadyUsed.into());
    }
    if checked.separator.is_some() && seen.separator.is_some() && checked.separator != seen.separator {
        return because(
            Reason::TokenNameMismatch,
            "the token signs with another name or version (EIP-712)".to_owned(),
        );
    }
    let is_allowed = seen.allowance.is_some_and(|allowed| allowed >= permit.amount);
    match (permit.kind, seen.nonce) {
        (PermitKind::Permit2, Nonce::Unknown) => {
            return because(Reason::PermitNotSupported, "there is no Permit2 on this chain".to_owned());
        }
        (PermitKind::Eip2612, Nonce::Unknown) => {
            return because(Reason::PermitNotSupported, "the token knows no permits (EIP-2612)".to_owned());
        }
        (PermitKind::Eip2612, _) if seen.separator.is_none() => {
            return because(
                Reason::PermitNotSupported,
                "the token does not tell its domain (EIP-2612)".to_owned(),
            );
        }
        (PermitKind::Permit2, Nonce::Spent) => return Err(Reason::NonceAlreadyUsed.into()),
        // Somebody has shown it to the token already: what it allows is still there, or it is gone (threat row E28).
        (PermitKind::Eip2612, Nonce::Spent) if !is_allowed => return Err(Reason::NonceAlreadyUsed.into()),
        (_, Nonce::TooEarly) => {
            return because(
                Reason::NotYetValid,
                "the token wants permits with lower nonces of this owner first".to_owned(),
            );
        }
        _ => {}
    }
    if balance < permit.amount {
        return Err(Reason::InsufficientBalance.into());
    }
    if permit.kind == PermitKind::Permit2 && !is_allowed {
        let owner = account::text(permit.owner);
        return because(
            Reason::AllowanceRequired,
            format!("{owner} has not allowed Permit2 to move so much of the token: approve it first"),
        );
    }
    Ok(())
}
