//! Passes as tokens: a compact JWS (RFC 7515) signed with Ed25519 (RFC 8037), with the claims of an access token
//! (RFC 9068).
//!
//! ```text
//! {"alg":"EdDSA","kid":"<thumbprint>","typ":"at+jwt"}
//! {"iss":…,"aud":…,"sub":"pay_…","jti":"pay_…","iat":…,"nbf":…,"exp":…,"scope":…,"uses":…,
//!  "x402":{"network":…,"asset":…,"amount":…,"payer":…}}
//! ```
//!
//! There is one header for one key, so a token is ours exactly when its first part is ours; `alg` is never read. A
//! signature of Ed25519 follows from key and text, so the token of a payment is the same however often it is made.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use groat_core::{Amount, Network, Pass, PaymentId, Timestamp};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The field in which a pass is given, and may be shown where `Authorization` is taken.
pub const PASS_HEADER: HeaderName = HeaderName::from_static(PASS_HEADER_NAME);
/// Its name as text.
pub const PASS_HEADER_NAME: &str = "x-payment-access-token";

/// No token of ours is longer.
const SIZE_BYTES_MAX: usize = 4_096;

/// Why a token that is ours lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// It was changed, or another has signed it.
    #[error("the signature of the pass is wrong")]
    Forged,
    /// Its time is over, or has not come.
    #[error("the pass has expired")]
    Expired,
    /// It is for another seller.
    #[error("the pass is of another seller")]
    OtherIssuer,
}

/// Why a key is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key for passes is 32 random bytes")]
pub struct PassKeyError;

/// The key that signs passes. It is shown nowhere.
pub struct PassKey {
    pair: Ed25519KeyPair,
    /// The first part of every token of this key.
    header: String,
    id: String,
}

impl std::fmt::Debug for PassKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PassKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Who made a token, in its own words.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: PaymentId,
    jti: PaymentId,
    iat: u64,
    nbf: u64,
    exp: u64,
    scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
    x402: Paid,
}

#[derive(Serialize, Deserialize)]
struct Paid {
    network: Network,
    asset: String,
    amount: Amount,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
}

impl PassKey {
    /// The key with this seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, PassKeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| PassKeyError)?;
        let id = thumbprint(pair.public_key().as_ref());
        let header = BASE64.encode(json!({ "alg": "EdDSA", "kid": id, "typ": "at+jwt" }).to_string());
        Ok(Self { pair, header, id })
    }

    /// A key that nobody has: passes of it end with this process.
    pub fn random() -> Result<Self, PassKeyError> {
        let seed = ring::rand::generate::<[u8; 32]>(&SystemRandom::new()).map_err(|_| PassKeyError)?;
        Self::from_seed(&seed.expose())
    }

    /// The half that everybody may know, as a JSON Web Key (RFC 8037).
    pub fn public_jwk(&self) -> Value {
        let x = BASE64.encode(self.pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x })
    }

    /// The token of a pass.
    pub fn write(&self, pass: &Pass, issuer: &str) -> String {
        let claims = Claims {
            iss: issuer.to_owned(),
            aud: issuer.to_owned(),
            sub: pass.payment,
            jti: pass.payment,
            iat: pass.issued_at.0,
            nbf: pass.issued_at.0,
            exp: pass.expires_at.0,
            scope: pass.scope.clone(),
            uses: pass.uses,
            x402: Paid {
                network: pass.network.clone(),
                asset: pass.asset.clone(),
                amount: pass.amount,
                payer: pass.payer.clone(),
            },
        };
        // Texts and numbers: JSON can hold all of it.
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!("{}.{}", self.header, BASE64.encode(claims));
        let signature = BASE64.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// Whether this key could have made the token: it is then no business of anybody behind us.
    pub fn is_ours(&self, token: &str) -> bool {
        token.strip_prefix(&self.header).is_some_and(|rest| rest.starts_with('.'))
    }

    /// The pass of a token of ours, if it is good at this time.
    pub fn read(&self, token: &str, issuer: &str, now: Timestamp) -> Result<Pass, PassError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(PassError::Forged)?;
        if token.len() > SIZE_BYTES_MAX || !self.is_ours(token) {
            return Err(PassError::Forged);
        }
        let signature = BASE64.decode(signature).map_err(|_| PassError::Forged)?;
        let public = UnparsedPublicKey::new(&ED25519, self.pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).map_err(|_| PassError::Forged)?;
        let claims = BASE64.decode(&signed[self.header.len() + 1..]).map_err(|_| PassError::Forged)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| PassError::Forged)?;
        if claims.iss != issuer || claims.aud != issuer {
            return Err(PassError::OtherIssuer);
        }
        let pass = Pass {
            payment: claims.sub,
            payer: claims.x402.payer,
            network: claims.x402.network,
            asset: claims.x402.asset,
            amount: claims.x402.amount,
            scope: claims.scope,
            issued_at: Timestamp(claims.iat),
            expires_at: Timestamp(claims.exp),
            uses: claims.uses,
        };
        in_time(&pass, now)?;
        Ok(pass)
    }
}

/// Clocks of instances may differ by so much.
const SKEW_S: u64 = 5;

/// Whether a pass is good at this time.
pub fn in_time(pass: &Pass, now: Timestamp) -> Result<(), PassError> {
    let is_good = now < pass.expires_at && now.plus(SKEW_S) >= pass.issued_at;
    if is_good { Ok(()) } else { Err(PassError::Expired) }
}

/// RFC 7638.
fn thumbprint(public: &[u8]) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64.encode(public));
    BASE64.encode(digest(&SHA256, members.as_bytes()))
}

/// The tokens that a request shows: in `X-Payment-Access-Token`, or as `Authorization: Bearer` (RFC 6750).
pub fn shown(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, &str)> {
    let own = headers.get_all(PASS_HEADER).iter().filter_map(|value| value.to_str().ok());
    let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    own.map(|token| (PASS_HEADER, token.trim())).chain(bearer.map(|token| (AUTHORIZATION, token)))
}

/// What an unverified token says of itself, for whoever it was given to: when it ends, and what it is good for.
pub fn peek(token: &str) -> Option<(Timestamp, String)> {
    #[derive(Deserialize)]
    struct Told {
        exp: u64,
        #[serde(default)]
        scope: String,
    }
    if token.len() > SIZE_BYTES_MAX {
        return None;
    }
    // Of three parts the second says it; of two, as `x402-mock` has them, the first.
    let (first, rest) = token.split_once('.')?;
    let claims = BASE64.decode(rest.split_once('.').map_or(first, |(second, _)| second)).ok()?;
    let told: Told = serde_json::from_slice(&claims).ok()?;
    Some((Timestamp(told.exp), told.scope))
}

#[cfg(test)]
mod tests {
    use groat_core::key::{KeyKind, PaymentKey};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const SHOP: &str = "https://shop.example";

    fn key(seed: u8) -> PassKey {
        PassKey::from_seed(&[seed; 32]).unwrap()
    }

    fn pass() -> Pass {
        let network = Network::eip155(84532);
        Pass {
            payment: PaymentKey::new(KeyKind::Eip3009, &network, &[&[1; 20]]).id(),
            payer: Some("0x70997970C51812dc3A010C7d01b50e0d17dc79C8".into()),
            network,
            asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
            amount: Amount::from_units(10_000),
            scope: "GET /weather".into(),
            issued_at: NOW,
            expires_at: NOW.plus(300),
            uses: Some(3),
        }
    }

    #[test]
    fn r0_35_a_pass_reads_back_as_itself_and_is_the_same_each_time() {
        let token = key(1).write(&pass(), SHOP);
        assert_eq!(key(1).read(&token, SHOP, NOW), Ok(pass()));
        assert_eq!(token, key(1).write(&pass(), SHOP));
        assert!(key(1).is_ours(&token) && !key(2).is_ours(&token));
        assert_eq!(peek(&token), Some((NOW.plus(300), "GET /weather".into())));
    }

    #[test]
    fn t01_t02_t09_nothing_of_a_pass_can_be_changed() {
        let token = key(1).write(&pass(), SHOP);
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(key(1).read(&forged, SHOP, NOW), Err(PassError::Forged), "{at}");
        }
        for forged in ["", ".", "..", "a.b.c", &token[..token.len() - 1], &format!("{token}A")] {
            assert_eq!(key(1).read(forged, SHOP, NOW), Err(PassError::Forged), "{forged}");
        }
        // Another key, and the confusions of JWT: no signature, and the public key as a secret.
        let (_, rest) =
            key(2).write(&pass(), SHOP).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(key(1).read(&format!("{}.{rest}", key(1).header), SHOP, NOW), Err(PassError::Forged));
        let none = BASE64.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
        let claims = token.split('.').nth(1).unwrap();
        assert_eq!(key(1).read(&format!("{none}.{claims}."), SHOP, NOW), Err(PassError::Forged));
    }

    #[test]
    fn t05_t06_a_pass_is_good_in_its_time_and_at_its_seller() {
        let token = key(1).write(&pass(), SHOP);
        let read = |issuer, now| key(1).read(&token, issuer, now).err();
        assert_eq!(read(SHOP, NOW.plus(299)), None);
        assert_eq!(read(SHOP, NOW.plus(300)), Some(PassError::Expired));
        assert_eq!(read(SHOP, Timestamp(NOW.0 - 5)), None);
        assert_eq!(read(SHOP, Timestamp(NOW.0 - 6)), Some(PassError::Expired));
        assert_eq!(read("https://other.example", NOW), Some(PassError::OtherIssuer));
    }

    #[test]
    fn the_public_key_is_that_of_the_standard() {
        // RFC 8037, appendix A.
        let seed = BASE64.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let jwk = PassKey::from_seed(&seed.try_into().unwrap()).unwrap().public_jwk();
        assert_eq!(jwk["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(jwk["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_pass_is_found_in_either_field() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "Basic YTpi".parse().unwrap());
        headers.append(AUTHORIZATION, "bearer  one".parse().unwrap());
        headers.append(PASS_HEADER, "two".parse().unwrap());
        let shown: Vec<_> = shown(&headers).map(|(_, token)| token).collect();
        assert_eq!(shown, ["two", "one"]);
    }
}
