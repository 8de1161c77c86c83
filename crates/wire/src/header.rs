//! JSON in header fields: standard base64, bounded, one field each.
//!
//! Exactly one text stands for one value: the standard alphabet with padding and nothing else, because two
//! decodings of one field would be two payments to two readers (threat row H02). Source: x402 v2 "HTTP transport".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::WireError;

/// The largest payment field, encoded. Node caps all header fields together at this, so larger never interoperates.
pub const PAYMENT_SIZE_BYTES_MAX: usize = 16 * 1024;

/// The largest payment, decoded; follows from [`PAYMENT_SIZE_BYTES_MAX`].
pub const PAYMENT_JSON_SIZE_BYTES_MAX: usize = decoded_size(PAYMENT_SIZE_BYTES_MAX);

/// The largest challenge or receipt field that we read, encoded: extensions make them large.
pub const RESPONSE_SIZE_BYTES_MAX: usize = 64 * 1024;

/// How many bytes `encoded` characters of base64 stand for at most.
pub const fn decoded_size(encoded: usize) -> usize {
    encoded / 4 * 3
}

/// The bytes of a field that holds one payment, `None` when it is absent, an error when it is there twice (H07).
pub fn read_payment(headers: &HeaderMap, name: &'static str) -> Result<Option<Vec<u8>>, WireError> {
    match only(headers, name) {
        Some(Ok(value)) => decode(value.as_bytes(), name, PAYMENT_SIZE_BYTES_MAX).map(Some),
        Some(Err(Twice)) => Err(WireError::Ambiguous),
        None => Ok(None),
    }
}

/// The bytes of a field of a response, `None` when it is absent.
pub fn read_response(headers: &HeaderMap, name: &'static str) -> Result<Option<Vec<u8>>, WireError> {
    match only(headers, name) {
        Some(Ok(value)) => decode(value.as_bytes(), name, RESPONSE_SIZE_BYTES_MAX).map(Some),
        Some(Err(Twice)) => Err(WireError::malformed(name, "sent more than once")),
        None => Ok(None),
    }
}

struct Twice;

fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<Result<&'h HeaderValue, Twice>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_some() { Err(Twice) } else { Ok(first) })
}

/// The bytes that standard base64 with padding stands for.
pub fn decode(text: &[u8], place: &'static str, size_bytes_max: usize) -> Result<Vec<u8>, WireError> {
    if text.len() > size_bytes_max {
        return Err(WireError::TooLarge { place, size_bytes_max });
    }
    // The decoder's own message would repeat a byte of the input.
    STANDARD.decode(text).map_err(|_| WireError::malformed(place, "not standard base64 with padding"))
}

/// The bytes as standard base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Sets a field to the base64 of `json`, in place of whatever it held.
pub(crate) fn write(headers: &mut HeaderMap, name: &'static str, json: &[u8]) {
    if let Ok(value) = HeaderValue::try_from(encode(json)) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
