//! Whether metadata looks as if it held a secret: a 402 is read by everybody (threat row T15).
//!
//! This is a seller's own check before it says anything. It guesses, and rather too often than too seldom.

use serde_json::{Map, Value};

use super::account::is_account;

/// Metadata that should not be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` looks like a secret: everybody reads the metadata of a payment request, so leave it out")]
pub struct SecretLooking {
    /// Where it stands, such as `metadata/service/api_key`.
    pub path: String,
}

/// What a secret is called at the end of its name, without separators.
const NAMES: [&str; 18] = [
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "signingkey",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "mnemonic",
    "seedphrase",
    "accesstoken",
    "authtoken",
    "refreshtoken",
    "bearertoken",
    "authorization",
    "credentials",
    "cookie",
];

/// How well-known secrets begin.
const BEGINNINGS: [&str; 17] = [
    "sk_",
    "rk_",
    "sk-",
    "whsec_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "ASIA",
    "AIza",
    "-----BEGIN",
    "Bearer ",
    "Basic ",
];

/// The first thing in the metadata that looks like a secret.
pub fn check_metadata(metadata: &Map<String, Value>) -> Result<(), SecretLooking> {
    members(metadata, "metadata")
}

fn members(members: &Map<String, Value>, path: &str) -> Result<(), SecretLooking> {
    for (name, value) in members {
        let path = format!("{path}/{name}");
        if is_secret_name(name) && !value.is_null() {
            return Err(SecretLooking { path });
        }
        check(value, path)?;
    }
    Ok(())
}

fn check(value: &Value, path: String) -> Result<(), SecretLooking> {
    match value {
        Value::Object(inner) => members(inner, &path),
        Value::Array(items) => {
            let mut places = items.iter().enumerate();
            places.try_for_each(|(index, item)| check(item, format!("{path}/{index}")))
        }
        Value::String(text) if is_secret_text(text.trim()) => Err(SecretLooking { path }),
        _ => Ok(()),
    }
}

fn is_secret_name(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let letters = letters.to_ascii_lowercase();
    NAMES.iter().any(|known| letters.ends_with(known))
}

fn is_secret_text(text: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
        || is_web_token(text)
        || is_key_in_hex(text)
        || is_word_list(text)
        || is_random(text)
}

/// A JWT: `{"` in base64 is `eyJ`.
fn is_web_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() >= 3
}

/// 32 bytes: a private key, or something that could as well be written otherwise.
fn is_key_in_hex(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The words of a wallet (BIP-39).
fn is_word_list(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_word = |word: &&str| (3..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase());
    [12, 15, 18, 21, 24].contains(&words.len()) && words.iter().all(is_word)
}

/// Long, in one piece, and of all kinds of characters.
fn is_random(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'_' | b'-');
    let has = |kind: fn(&u8) -> bool| text.bytes().any(|b| kind(&b));
    text.len() >= 32
        && !is_account(text)
        && text.bytes().all(is_part)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && text.bytes().filter(u8::is_ascii_digit).count() >= 3
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(metadata: Value) -> Option<String> {
        check_metadata(metadata.as_object().unwrap()).err().map(|found| found.path)
    }

    #[test]
    fn t15_what_looks_like_a_secret_is_found_wherever_it_stands() {
        assert_eq!(path(json!({"api_key": "x"})), Some("metadata/api_key".into()));
        assert_eq!(
            path(json!({"a": {"b": [1, {"Client-Secret": 7}]}})),
            Some("metadata/a/b/1/Client-Secret".into())
        );
        let hex = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
        for text in [
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "AKIAIOSFODNN7EXAMPLE",
            "Bearer abc",
            "-----BEGIN PRIVATE KEY-----",
            "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.x",
            "test test test test test test test test test test test junk",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY42",
            hex,
            &format!("0x{hex}"),
        ] {
            assert_eq!(path(json!({"note": [text]})), Some("metadata/note/0".into()), "{text}");
        }
    }

    #[test]
    fn ordinary_metadata_may_be_said() {
        let ordinary = json!({
            "order_id": "550e8400-e29b-41d4-a716-446655440000",
            "token": "USDC",
            "customer": "Ada Lovelace",
            "count": 3,
            "url": "https://shop.example/orders/17?lang=en",
            "text": "twelve small words make a fine sentence but this has a dot.",
            "ulid": "01J8R4X2Z0000000000000000A",
            "api_key": null,
            "monkey": true,
            "account": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
        });
        assert_eq!(path(ordinary), None);
    }
}
