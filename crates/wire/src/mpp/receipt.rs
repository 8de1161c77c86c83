//! The receipt. There is none but for success.

use data_encoding::BASE64URL_NOPAD;
use groat_core::payment::ReceiptOutcome;
use groat_core::{Network, Receipt};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{METHOD, RECEIPT_HEADER, expires};
use crate::header::{RESPONSE_SIZE_BYTES_MAX, decoded_size};
use crate::members::Members;
use crate::{WireError, json};

/// Adds the receipt of a payment that is known to have moved the money, and when.
pub(super) fn write(receipt: &Receipt, headers: &mut HeaderMap) {
    let Receipt { network, transaction: Some(transaction), settled_at: Some(at), .. } = receipt else {
        return;
    };
    if !receipt.is_settled() {
        return;
    }
    let mut told = json!({
        "method": METHOD,
        "reference": transaction,
        "status": "success",
        "timestamp": at.rfc3339(),
    });
    if let Some(chain_id) = network.chain_id() {
        told["chainId"] = chain_id.into();
    }
    if let Ok(value) = HeaderValue::try_from(BASE64URL_NOPAD.encode(told.to_string().as_bytes())) {
        headers.insert(HeaderName::from_static(RECEIPT_HEADER), value);
    }
}

/// Reads a receipt. The draft lets one say nothing of the chain; then it is none that we can keep.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
    let place = RECEIPT_HEADER;
    let mut values = headers.get_all(RECEIPT_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(WireError::malformed(place, "sent more than once"));
    }
    let size_bytes_max = RESPONSE_SIZE_BYTES_MAX;
    if value.len() > size_bytes_max {
        return Err(WireError::TooLarge { place, size_bytes_max });
    }
    let bytes = BASE64URL_NOPAD.decode(value.as_bytes());
    let bytes = bytes.map_err(|_| WireError::malformed(place, "not base64url without padding"))?;
    let told = json::parse(&bytes, place, decoded_size(size_bytes_max))?;
    let members = Members::of(&told, place)?;
    if members.text("status")? != "success" {
        return Err(members.wrong("status", "is not `success`"));
    }
    let Some(chain_id) = members.value("chainId").and_then(Value::as_u64) else { return Ok(None) };
    Ok(Some(Receipt {
        outcome: ReceiptOutcome::Settled,
        network: Network::eip155(chain_id),
        transaction: Some(members.word("reference")?.to_owned()),
        payer: None,
        amount: None,
        settled_at: expires::read(members.text("timestamp")?),
    }))
}
