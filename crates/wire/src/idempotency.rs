//! `Idempotency-Key` (IETF draft, as Stripe has it): the name that a client gives a request, so that it can ask again.

use http::HeaderMap;

/// The field.
pub const HEADER: &str = "idempotency-key";

const CHARS_MAX: usize = 255;

/// Why a field or a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Idempotency-Key is one field of 1 to 255 visible characters, plain or as a quoted string")]
pub struct KeyError;

/// The key of the one field; raw, or a string of RFC 9651. Both are the same key.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, KeyError> {
    let mut fields = headers.get_all(HEADER).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() || field.len() > 2 * CHARS_MAX + 2 {
        return Err(KeyError);
    }
    let text = field.to_str().map_err(|_| KeyError)?.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest).ok_or(KeyError)?,
        None => text.to_owned(),
    };
    check(&key).map(|()| Some(key))
}

/// Whether a text can be a key.
pub fn check(key: &str) -> Result<(), KeyError> {
    let is_visible = key.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if key.is_empty() || key.len() > CHARS_MAX || !is_visible { Err(KeyError) } else { Ok(()) }
}

/// The rest of a quoted string behind its first mark; nothing may stand behind the last.
fn unquoted(rest: &str) -> Option<String> {
    let mut key = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return letters.next().is_none().then_some(key),
            '\\' => match letters.next()? {
                letter @ ('"' | '\\') => key.push(letter),
                _ => return None,
            },
            letter => key.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, KeyError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, value.parse().unwrap());
        }
        key(&headers)
    }

    #[test]
    fn t23_a_key_is_read_raw_or_quoted_and_bounded() {
        let sent = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["pay_1"]), sent("pay_1"));
        assert_eq!(read(&["\"pay_1\""]), sent("pay_1"));
        assert_eq!(read(&[r#""a\"b\\""#]), sent(r#"a"b\"#));
        assert_eq!(read(&[&"x".repeat(255)]), sent(&"x".repeat(255)));
        let long = "x".repeat(256);
        let bad = ["", "\"", "\"\"", "\"a", "\"a\"b", r#""\n""#, long.as_str()];
        for bad in bad {
            assert_eq!(read(&[bad]), Err(KeyError), "{bad}");
        }
        assert_eq!(read(&["a", "a"]), Err(KeyError), "two fields");
        assert_eq!(read(&["a\tb"]), Err(KeyError));
    }
}
