//! The order of a token, and the answer to it.

use groat_core::Payment;
use serde_json::{Value, json};

use super::{offchain, permit, spender};
use crate::members::Members;
use crate::{WireError, json};

const PLACE: &str = "token request";
/// What the one version of the package calls itself; any `Version 0.…` is taken.
const VERSION: &str = "Version 0.1";
/// The largest order that is read.
const SIZE_BYTES_MAX: usize = 16 * 1024;
/// The largest answer that is read.
const GIVEN_SIZE_BYTES_MAX: usize = 64 * 1024;

/// A token that was given for a payment.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// The token: as good as money.
    pub token: String,
    /// How long it is good, in seconds, where that is told.
    pub expires_in_s: Option<u64>,
    /// The transaction that paid for it, where that is told.
    pub transaction: Option<String>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("expires_in_s", &self.expires_in_s).finish_non_exhaustive()
    }
}

/// The order as JSON text.
pub(super) fn write(payment: &Payment) -> Result<Vec<u8>, WireError> {
    let permit = match (spender::write(payment), offchain::write(payment)) {
        (Some(permit), _) => permit?,
        (None, Some(permit)) => permit,
        (None, None) => permit::write(payment)?,
    };
    let order = json!({ "version": VERSION, "permit": permit });
    serde_json::to_vec(&order).map_err(|_| WireError::malformed(PLACE, "cannot be written as JSON"))
}

/// Reads an order. Members that the protocol does not name are left out.
pub(super) fn read(body: &[u8]) -> Result<Payment, WireError> {
    let value = json::parse(body, PLACE, SIZE_BYTES_MAX)?;
    let members = Members::of(&value, PLACE)?;
    if let Some(version) = members.text_or_none("version")?
        && !version.starts_with("Version 0.")
    {
        return Err(members.wrong("version", "is not `Version 0.1`"));
    }
    let permit = members.required("permit")?;
    match Members::of(permit, "permit")?.word("permit_type")? {
        permit::ERC3009 => permit::read(permit),
        kind if spender::is_kind(kind) => spender::read(kind, permit),
        kind => offchain::read(kind, permit),
    }
}

/// The answer to a paid order. `metadata` says what the payer can ask about later.
pub fn write_given(given: &Given, metadata: Value) -> Value {
    json!({
        "access_token": given.token,
        "token_type": "Bearer",
        "expires_in": given.expires_in_s,
        "metadata": metadata,
    })
}

/// Reads the answer.
pub(super) fn read_given(body: &[u8]) -> Result<Given, WireError> {
    const PLACE: &str = "token answer";
    let value = json::parse(body, PLACE, GIVEN_SIZE_BYTES_MAX)?;
    let members = Members::of(&value, PLACE)?;
    if !members.text("token_type")?.eq_ignore_ascii_case("bearer") {
        return Err(members.wrong("token_type", "is not Bearer"));
    }
    let token = members.word("access_token")?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(members.wrong("access_token", "is not a token"));
    }
    let metadata = members.value("metadata");
    let transaction = metadata.and_then(|metadata| metadata.get("tx")?.as_str());
    Ok(Given {
        token: token.to_owned(),
        expires_in_s: members.value("expires_in").and_then(Value::as_u64),
        transaction: transaction.map(str::to_owned),
    })
}
