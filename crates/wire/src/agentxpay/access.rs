//! Subscribers: a claim in header fields instead of a payment.
//!
//! ```text
//! GET   X-Subscription-Address: 0x…      X-Payment-ServiceId: 1
//!       X-Payment-Signature: 0x<65 bytes>   X-Payment-Timestamp: <seconds since 1970>
//! ```

use groat_core::ports::{AccessClaim, AccessProof, NoAccess};
use groat_core::{Amount, Network, Timestamp};
use http::HeaderMap;

use super::{ID, SERVICE, SIGNATURE, SUBSCRIBER, TIMESTAMP, lines_of, only};
use crate::{Asked, WireError};

pub(super) fn read(headers: &HeaderMap) -> Result<Option<AccessClaim>, WireError> {
    let Some(account) = only(headers, SUBSCRIBER)? else { return Ok(None) };
    let digits = account.strip_prefix("0x").unwrap_or_default();
    if digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(WireError::malformed(SUBSCRIBER, "is not 0x and 40 hex digits"));
    }
    let service = only(headers, SERVICE)?;
    if let Some(service) = service {
        Amount::parse(service).map_err(|_| WireError::malformed(SERVICE, "is not a whole number"))?;
    }
    let at = match only(headers, TIMESTAMP)? {
        Some(text) => {
            let seconds = text.parse();
            Some(seconds.map_err(|_| WireError::malformed(TIMESTAMP, "is not a number of seconds"))?)
        }
        None => None,
    };
    let proof = only(headers, SIGNATURE)?.zip(at).map(|(signature, at)| AccessProof {
        signature: signature.to_owned(),
        at: Timestamp(at),
        lines: String::new(),
    });
    Ok(Some(AccessClaim {
        dialect: ID,
        account: account.to_owned(),
        service: service.map(str::to_owned),
        proof,
    }))
}

/// What a subscriber signs for a request: the lines of a payer, with a word for the hash, and when (threat row B19).
pub fn access_lines(network: &Network, asked: &Asked<'_>, at: Timestamp) -> String {
    let chain_id = network.chain_id().unwrap_or_default();
    format!("{}\n{}", lines_of(asked, chain_id, "subscription"), at.0)
}

pub(super) fn bind(mut claim: AccessClaim, asked: &Asked<'_>, network: &Network) -> AccessClaim {
    if let Some(proof) = &mut claim.proof {
        proof.lines = access_lines(network, asked, proof.at);
    }
    claim
}

/// The words of the public middleware, where it has any.
pub(super) fn title(why: &NoAccess) -> &'static str {
    match why {
        NoAccess::NotSold => "Subscription Not Configured",
        NoAccess::Inactive => "Subscription Inactive",
        NoAccess::Elsewhere => "Subscription For Another Service",
        NoAccess::Unproved(_) => "Subscription Not Proved",
        NoAccess::Unknown(_) => "Subscription Unknown",
    }
}
