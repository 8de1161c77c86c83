//! Tokens as PyPI `x402-mock` makes them: an HMAC with a key that whoever gives them shares with whoever takes them.
//!
//! ```text
//! b64url({"exp":…,"iat":…,"nonce":"…"}) . b64url(HMAC-SHA256(key, ascii of the first part))
//! ```
//!
//! Such a token names no resource, no payer and no payment. Ours bear the id of their payment as nonce, so that the book
//! says the rest; a random one is of somebody else who has the key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use groat_core::{PassTerms, PaymentId, Timestamp};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::pass::PassError;

/// No token of this kind is longer.
const SIZE_BYTES_MAX: usize = 1_024;
/// Clocks of those who share a key may differ by so much.
const SKEW_S: u64 = 5;

/// The key. It is shown nowhere.
#[derive(Clone)]
pub struct SharedKey(hmac::Key);

impl std::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedKey").finish_non_exhaustive()
    }
}

/// Why a key is none (threat row T11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key that is shared has at least {} bytes", SharedKey::BYTES_MIN)]
pub struct SharedKeyError;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedToken {
    /// From then on it is good for nothing.
    #[serde(rename = "exp")]
    pub expires_at: Timestamp,
    /// When it was given.
    #[serde(rename = "iat")]
    pub issued_at: Timestamp,
    /// What makes it unique.
    pub nonce: String,
}

impl SharedToken {
    /// The payment that has bought it, if it is one of ours.
    pub fn payment(&self) -> Option<PaymentId> {
        PaymentId::parse(&self.nonce).ok()
    }
}

impl SharedKey {
    /// The fewest bytes of a key.
    pub const BYTES_MIN: usize = 32;

    /// The key as `x402-mock` has it: a text.
    pub fn new(text: &str) -> Result<Self, SharedKeyError> {
        if text.len() < Self::BYTES_MIN {
            return Err(SharedKeyError);
        }
        Ok(Self::of(text.as_bytes()))
    }

    fn of(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The token.
    pub fn write(&self, token: &SharedToken) -> String {
        // Numbers and a text: JSON can hold them.
        let payload = BASE64.encode(serde_json::to_vec(token).unwrap_or_default());
        let tag = BASE64.encode(hmac::sign(&self.0, payload.as_bytes()));
        format!("{payload}.{tag}")
    }

    /// Whether somebody who has the key has made the token.
    pub fn has_made(&self, token: &str) -> bool {
        self.payload(token).is_some()
    }

    /// What a token says that somebody who has the key has made, if it is in its time.
    pub fn read(&self, token: &str, now: Timestamp) -> Result<SharedToken, PassError> {
        let payload = self.payload(token).ok_or(PassError::Forged)?;
        let payload = BASE64.decode(payload).map_err(|_| PassError::Forged)?;
        let token: SharedToken = serde_json::from_slice(&payload).map_err(|_| PassError::Forged)?;
        let lasts_s = token.expires_at.since(token.issued_at);
        let is_good = now < token.expires_at && now.plus(SKEW_S) >= token.issued_at;
        // Whoever shares the key is no reason to believe in tokens for ever (threat row T06).
        if !is_good || lasts_s > PassTerms::TTL_S_MAX {
            return Err(PassError::Expired);
        }
        Ok(token)
    }

    /// The first part, when the second is made of it by this key.
    fn payload<'t>(&self, token: &'t str) -> Option<&'t str> {
        let (payload, tag) = token.split_once('.').filter(|_| token.len() <= SIZE_BYTES_MAX)?;
        let tag = BASE64.decode(tag).ok()?;
        hmac::verify(&self.0, payload.as_bytes(), &tag).ok().map(|()| payload)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn recorded() -> Value {
        let path = format!("{}/../../vectors/token/05-access.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn token(nonce: &str) -> SharedToken {
        SharedToken { expires_at: Timestamp(1_300), issued_at: Timestamp(1_000), nonce: nonce.to_owned() }
    }

    #[test]
    fn f085_what_the_package_took_is_taken_and_what_it_did_not_is_not() {
        let recorded = recorded();
        let key = SharedKey::of(recorded["tokenKey"].as_str().unwrap().as_bytes());
        let now = Timestamp(recorded["recordedAt"].as_u64().unwrap());
        let mut taken = 0;
        for case in recorded["cases"].as_array().unwrap() {
            // What is no bearer's token is not read at all.
            let Some(("Bearer" | "bearer", shown)) =
                case["authorization"].as_str().and_then(|text| text.split_once(' '))
            else {
                continue;
            };
            let read = key.read(shown.trim(), now);
            assert_eq!(read.is_ok(), case["response"]["status"] == 200, "{case}");
            let Ok(read) = read else { continue };
            taken += 1;
            // The package's letters are ours, to the last one.
            assert_eq!(key.write(&read), shown.trim());
            assert_eq!((read.expires_at.since(read.issued_at), read.payment()), (3_600, None));
        }
        assert_eq!(taken, 4);
    }

    #[test]
    fn f085_our_token_is_the_one_of_the_package() {
        // `generate_token` of x402-mock 0.3.0, with the time and the nonce of this test.
        let key = SharedKey::new("a key of thirty-two letters, or so").unwrap();
        assert_eq!(key.write(&token("pay_x")), VECTOR);
        assert_eq!(key.read(VECTOR, Timestamp(1_100)), Ok(token("pay_x")));
    }

    const VECTOR: &str =
        "eyJleHAiOjEzMDAsImlhdCI6MTAwMCwibm9uY2UiOiJwYXlfeCJ9.mHj-Co9SToRonHYTkFf0vn0wBMz0dUZqag4jepvuG14";

    #[test]
    fn t01_t03_nothing_of_a_token_can_be_changed() {
        let key = SharedKey::of(&[7; 32]);
        let good = key.write(&token("n"));
        let now = Timestamp(1_100);
        assert!(key.read(&good, now).is_ok() && key.has_made(&good));
        for at in 0..good.len() {
            let mut forged = good.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(key.read(&forged, now), Err(PassError::Forged), "{at}");
        }
        let (payload, tag) = good.split_once('.').unwrap();
        let long = "A".repeat(2_000);
        for forged in [
            "",
            ".",
            "..",
            payload,
            &format!("{payload}."),
            &format!("{payload}.{tag}="),
            &format!("{payload}.{tag}.{tag}"),
            &format!("{payload}.{}", &tag[..tag.len() - 1]),
            &format!(".{tag}"),
            &format!("{long}.{tag}"),
        ] {
            assert_eq!(key.read(forged, now), Err(PassError::Forged), "{forged}");
        }
        assert_eq!(SharedKey::of(&[8; 32]).read(&good, now), Err(PassError::Forged));
    }

    #[test]
    fn t06_t09_times_are_whole_seconds_that_end_and_nothing_is_said_twice() {
        let key = SharedKey::of(&[7; 32]);
        let made = |payload: &str| {
            let payload = BASE64.encode(payload);
            format!("{payload}.{}", BASE64.encode(hmac::sign(&key.0, payload.as_bytes())))
        };
        let read = |payload: &str, now| key.read(&made(payload), Timestamp(now)).err();
        let good = r#"{"exp":1300,"iat":1000,"nonce":"n"}"#;
        for (now, error) in [
            (1_000, None),
            (995, None),
            (994, Some(PassError::Expired)),
            (1_299, None),
            (1_300, Some(PassError::Expired)),
        ] {
            assert_eq!(read(good, now), error, "{now}");
        }
        assert_eq!(read(r#"{"exp":4601,"iat":1000,"nonce":"n"}"#, 1_100), Some(PassError::Expired));
        for bad in [
            r#"{"exp":1300,"nonce":"n"}"#,
            r#"{"exp":1300.5,"iat":1000,"nonce":"n"}"#,
            r#"{"exp":"1300","iat":1000,"nonce":"n"}"#,
            r#"{"exp":1300,"exp":9999,"iat":1000,"nonce":"n"}"#,
            r#"{"exp":1300,"iat":1000,"nonce":"n","admin":true}"#,
            r#"{"exp":1300,"iat":-1,"nonce":"n"}"#,
            r#"{"exp":1300,"iat":1000,"nonce":7}"#,
            "[]",
            "x",
        ] {
            assert_eq!(read(bad, 1_100), Some(PassError::Forged), "{bad}");
        }
    }

    #[test]
    fn t11_a_key_that_can_be_guessed_is_none() {
        assert_eq!(SharedKey::new(&"k".repeat(31)).err(), Some(SharedKeyError));
        assert_eq!(SharedKey::new("").err(), Some(SharedKeyError));
        let key = SharedKey::new(&"k".repeat(32)).unwrap();
        assert!(!format!("{key:?}").contains('k') || !format!("{key:?}").contains("kk"));
    }
}
