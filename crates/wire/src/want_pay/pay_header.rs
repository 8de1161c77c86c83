//! The field `Pay` of a paid request: exactly one proof.
//!
//! ```text
//! Pay = "proof=" ( jwt / DQUOTE jwt DQUOTE ) *( OWS ( "," / ";" ) OWS member )
//! ```
//!
//! The proof comes first, because a member behind `;` is a parameter of what stands before it to a reader of RFC 9651:
//! no proof is one to us and none to another. Other members are passed over.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::WireError;

/// The field.
pub const PAY: HeaderName = HeaderName::from_static(PLACE);
const PLACE: &str = "pay";

/// The largest field.
pub const SIZE_BYTES_MAX: usize = 4_096;

/// The token of the field, `None` when the field is absent. It is three parts of base64url; nothing else is said of it.
pub fn read(headers: &HeaderMap) -> Result<Option<&str>, WireError> {
    let mut values = headers.get_all(PAY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong("stands there twice"));
    }
    if value.len() > SIZE_BYTES_MAX {
        return Err(too_large());
    }
    parse(value.to_str().map_err(|_| wrong("not ASCII"))?).map(Some)
}

/// The token of a field's value.
pub fn parse(value: &str) -> Result<&str, WireError> {
    if value.len() > SIZE_BYTES_MAX {
        return Err(too_large());
    }
    let (name, token, mut rest) = member(trim(value))?;
    if name != "proof" || !is_token(token) {
        return Err(wrong("begins with proof= and a token of three parts"));
    }
    while !rest.is_empty() {
        let next = rest
            .strip_prefix([',', ';'])
            .ok_or_else(|| wrong("members are parted by a comma or a semicolon"))?;
        let (name, _, after) = member(trim(next))?;
        if name == "proof" {
            return Err(wrong("holds two proofs"));
        }
        rest = after;
    }
    Ok(token)
}

/// Sets the field. A token that cannot stand in it is an error.
pub fn write(token: &str, headers: &mut HeaderMap) -> Result<(), WireError> {
    let value = format!("proof={token}");
    parse(&value)?;
    headers.insert(PAY, HeaderValue::try_from(value).map_err(|_| wrong("not ASCII"))?);
    Ok(())
}

/// Name and value of the first member, and what stands behind it.
fn member(text: &str) -> Result<(&str, &str, &str), WireError> {
    let is_name =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.' | b'*');
    let (name, rest) = split_while(text, is_name);
    if name.is_empty() {
        return Err(wrong("a member has a name in lower case"));
    }
    let Some(rest) = rest.strip_prefix('=') else { return Ok((name, "", trim(rest))) };
    let Some(quoted) = rest.strip_prefix('"') else {
        let is_value = |b: u8| b.is_ascii_graphic() && !matches!(b, b',' | b';' | b'"' | b'\\');
        let (value, rest) = split_while(rest, is_value);
        return Ok((name, value, trim(rest)));
    };
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok((name, &quoted[..at], trim(&quoted[at + 1..]))),
            _ => {}
        }
    }
    Err(wrong("a quotation does not end"))
}

fn split_while(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    // What belongs is ASCII, so the place is between characters.
    text.split_at(text.bytes().position(|b| !belongs(b)).unwrap_or(text.len()))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn is_token(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.split('.').count() == 3 && text.split('.').all(part)
}

/// To this profile that is one more proof that cannot be read.
fn too_large() -> WireError {
    WireError::malformed(PLACE, format!("is larger than {SIZE_BYTES_MAX} bytes"))
}

fn wrong(problem: &str) -> WireError {
    WireError::malformed(PLACE, problem)
}
