//! `WWW-Authenticate` (RFC 9110, section 11.6.1): challenges of the scheme `Payment`, among those of others.

use http::HeaderValue;
use serde_json::{Map, Value};

use super::SCHEME;
use crate::WireError;

const PLACE: &str = "www-authenticate";
/// Challenges that are read of a 402.
const CHALLENGES_MAX: usize = 32;
/// Parameters that are read of a challenge.
const PARAMS_MAX: usize = 32;

/// The value of a field for these parameters; `None` if one cannot stand in a field.
pub(super) fn write(params: &[(&str, &str)]) -> Option<HeaderValue> {
    let is_plain =
        |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
    if !params.iter().all(|(_, text)| is_plain(text)) {
        return None;
    }
    let params: Vec<String> = params.iter().map(|(name, text)| format!("{name}=\"{text}\"")).collect();
    HeaderValue::try_from(format!("Payment {}", params.join(", "))).ok()
}

/// The parameters of every challenge of the scheme in a field, by lower-case name.
pub(super) fn read(field: &str) -> Result<Vec<Map<String, Value>>, WireError> {
    let mut challenges = Vec::new();
    let mut rest = Text(field);
    while let Some(scheme) = rest.scheme() {
        let params = rest.params()?;
        if scheme.eq_ignore_ascii_case(SCHEME) {
            if challenges.len() == CHALLENGES_MAX {
                return Err(wrong("has too many challenges"));
            }
            challenges.push(params);
        }
    }
    Ok(challenges)
}

fn wrong(problem: &str) -> WireError {
    WireError::malformed(PLACE, problem)
}

/// What is left to read.
struct Text<'t>(&'t str);

impl<'t> Text<'t> {
    /// The scheme that begins here.
    fn scheme(&mut self) -> Option<&'t str> {
        self.skip(|c| c == ',' || c.is_ascii_whitespace());
        let scheme = self.take(is_token);
        // What is no scheme is no challenge, and ends what can be read.
        (!scheme.is_empty()).then_some(scheme)
    }

    /// The parameters up to the next scheme. One value without a name, as other schemes have it, is passed over.
    fn params(&mut self) -> Result<Map<String, Value>, WireError> {
        let mut params = Map::new();
        loop {
            self.skip(|c| c == ',' || c.is_ascii_whitespace());
            let before = self.0;
            let name = self.take(is_token);
            self.skip(|c| c.is_ascii_whitespace());
            if name.is_empty() || !self.0.starts_with('=') {
                // Either a scheme, or something that nobody can read.
                self.0 = before;
                return Ok(params);
            }
            self.0 = &self.0[1..];
            self.skip(|c| c.is_ascii_whitespace());
            let value = match self.0.strip_prefix('"') {
                Some(quoted) => {
                    self.0 = quoted;
                    self.quoted()?
                }
                None => self.take(|c| c != ',' && !c.is_ascii_whitespace()).to_owned(),
            };
            if params.len() == PARAMS_MAX || params.insert(name.to_ascii_lowercase(), value.into()).is_some()
            {
                return Err(wrong("has a parameter twice, or too many"));
            }
        }
    }

    /// A quoted text, behind its first quote. Beside the escapes of the RFC, `\uXXXX` is what the reference implementation
    /// writes for letters that no field can hold.
    fn quoted(&mut self) -> Result<String, WireError> {
        let mut text = String::new();
        let mut chars = self.0.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(text);
                }
                '\\' => {
                    let (at, escaped) = chars.next().ok_or_else(|| wrong("has a quote without an end"))?;
                    let digits = self.0.get(at + 1..at + 5).filter(|_| escaped == 'u');
                    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                    match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
                        Some(unit) => {
                            // Half of a pair is no letter.
                            text.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
                            chars.by_ref().take(4).for_each(drop);
                        }
                        None => text.push(escaped),
                    }
                }
                c => text.push(c),
            }
        }
        Err(wrong("has a quote without an end"))
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(is_skipped);
    }

    fn take(&mut self, is_taken: impl Fn(char) -> bool) -> &'t str {
        let end = self.0.find(|c| !is_taken(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}
