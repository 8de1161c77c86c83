//! Signatures of webhooks as Standard Webhooks has them, made and checked.
//!
//! What is signed is `id.timestamp.body`: a body is good for one message and for a few minutes. A secret is `whsec_` and
//! base64 of 24 to 64 random bytes (HMAC-SHA256, signature `v1`), or `whsk_` of which receivers know only the public
//! key `whpk_` (Ed25519, signature `v1a`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use groat_core::ports::Random;
use groat_core::{Fault, Timestamp};
use http::{HeaderMap, HeaderName};
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// The id of the message, the same however often it is sent.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// When it was sent, in seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Signatures, separated by spaces: two while a secret is being changed.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// The same in the shape of Stripe's, for receivers that check only that.
pub const STRIPE_SIGNATURE: HeaderName = HeaderName::from_static("x402-signature");
/// A message is good for so many seconds before and after its time.
pub const TOLERANCE_S: u64 = 300;

const SHARED: &str = "whsec_";
const PRIVATE: &str = "whsk_";
const PUBLIC: &str = "whpk_";
/// Random bytes of a new secret.
const SECRET_BYTES: usize = 32;
/// Signatures that are looked at in one message.
const SIGNATURES_MAX: usize = 16;

/// How messages to an endpoint are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HMAC-SHA256 with a secret that the receiver has as well.
    V1,
    /// Ed25519, with nothing secret at the receiver.
    V1a,
}

/// Why a text is no secret. It is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret is `whsec_` and base64 of 24 to 64 bytes, or `whpk_` and base64 of a public key of Ed25519"
)]
pub struct SecretError;

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It lacks what it must carry.
    #[error("a webhook carries webhook-id, webhook-timestamp and webhook-signature, each once")]
    Incomplete,
    /// It is old, or from the future: perhaps recorded and sent again.
    #[error("the webhook was not sent within the last five minutes")]
    Stale,
    /// No signature is good.
    #[error("the webhook is signed with no secret that is known here")]
    Forged,
}

/// What signs. Shown nowhere.
pub(crate) enum Key {
    Shared { key: hmac::Key, text: String },
    Private(Box<Ed25519KeyPair>),
}

/// What checks, at the receiver.
pub struct Receiver(Vec<Check>);

enum Check {
    Shared(hmac::Key),
    Public(Vec<u8>),
}

impl Scheme {
    /// A new secret.
    pub(crate) fn secret(self, random: &dyn Random) -> Result<String, Fault> {
        let mut bytes = [0; SECRET_BYTES];
        random.fill(&mut bytes)?;
        let prefix = if self == Self::V1 { SHARED } else { PRIVATE };
        Ok(format!("{prefix}{}", BASE64.encode(bytes)))
    }

    pub(crate) fn of(secret: &str) -> Self {
        if secret.starts_with(PRIVATE) { Self::V1a } else { Self::V1 }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }
}

/// The bytes of a shared secret. Also without its prefix, as some libraries write it.
fn shared(text: &str) -> Result<hmac::Key, SecretError> {
    let bytes = BASE64.decode(text.strip_prefix(SHARED).unwrap_or(text)).map_err(|_| SecretError)?;
    match bytes.len() {
        24..=64 => Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
        _ => Err(SecretError),
    }
}

impl Key {
    pub(crate) fn of(secret: &str) -> Result<Self, SecretError> {
        let Some(seed) = secret.strip_prefix(PRIVATE) else {
            return Ok(Self::Shared { key: shared(secret)?, text: secret.to_owned() });
        };
        let seed = BASE64.decode(seed).map_err(|_| SecretError)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| SecretError)?;
        Ok(Self::Private(Box::new(pair)))
    }

    /// What the receiver needs to know, where that is no secret.
    pub(crate) fn public(&self) -> Option<String> {
        match self {
            Self::Shared { .. } => None,
            Self::Private(pair) => Some(format!("{PUBLIC}{}", BASE64.encode(pair.public_key().as_ref()))),
        }
    }

    fn sign(&self, content: &[u8]) -> String {
        match self {
            Self::Shared { key, .. } => format!("v1,{}", BASE64.encode(hmac::sign(key, content))),
            Self::Private(pair) => format!("v1a,{}", BASE64.encode(pair.sign(content))),
        }
    }
}

/// The value of `webhook-signature`, with one signature for each key.
pub(crate) fn signatures(keys: &[Key], id: &str, at: Timestamp, body: &str) -> String {
    let content = format!("{id}.{at}.{body}");
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(content.as_bytes())).collect();
    signatures.join(" ")
}

/// The value of `X402-Signature`. Stripe's libraries use the secret as it is written, prefix and all.
pub(crate) fn stripe(keys: &[Key], at: Timestamp, body: &str) -> String {
    let mut value = format!("t={at}");
    for key in keys {
        if let Key::Shared { text, .. } = key {
            let key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
            let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
            value.push_str(",v1=");
            value.extend(tag.as_ref().iter().map(|byte| format!("{byte:02x}")));
        }
    }
    value
}

impl Receiver {
    /// Believes what is signed with one of these: `whsec_…` or `whpk_…`, two while a secret is being changed.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, SecretError> {
        let check = |secret: &str| {
            let Some(key) = secret.strip_prefix(PUBLIC) else { return shared(secret).map(Check::Shared) };
            let key = BASE64.decode(key).map_err(|_| SecretError)?;
            if key.len() == 32 { Ok(Check::Public(key)) } else { Err(SecretError) }
        };
        secrets.into_iter().map(check).collect::<Result<_, _>>().map(Self)
    }

    /// The id of a good message. One that comes twice is the same message: do what it asks for once. The body is
    /// to be the bytes as they came, and read only after this.
    pub fn verify<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<&'a str, VerifyError> {
        let id = field(headers, &ID)?;
        let sent = field(headers, &TIMESTAMP)?;
        let at = sent.parse().map(Timestamp).map_err(|_| VerifyError::Incomplete)?;
        if now.since(at).max(at.since(now)) > TOLERANCE_S {
            return Err(VerifyError::Stale);
        }
        let mut content = format!("{id}.{sent}.").into_bytes();
        content.extend_from_slice(body);
        let signatures = field(headers, &SIGNATURE)?;
        let is_good =
            signatures.split(' ').take(SIGNATURES_MAX).any(|signature| self.knows(signature, &content));
        is_good.then_some(id).ok_or(VerifyError::Forged)
    }

    fn knows(&self, signature: &str, content: &[u8]) -> bool {
        let Some((version, tag)) = signature.split_once(',') else { return false };
        let Ok(tag) = BASE64.decode(tag) else { return false };
        // Each compares in constant time.
        self.0.iter().any(|check| match check {
            Check::Shared(key) => version == "v1" && hmac::verify(key, content, &tag).is_ok(),
            Check::Public(key) => {
                version == "v1a" && UnparsedPublicKey::new(&ED25519, key).verify(content, &tag).is_ok()
            }
        })
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Receiver").field(&self.0.len()).finish()
    }
}

/// The one value of a field; two could be read in two ways.
fn field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, VerifyError> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(VerifyError::Incomplete) };
    value.to_str().ok().filter(|value| !value.is_empty()).ok_or(VerifyError::Incomplete)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The test vector of the Standard Webhooks libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: Timestamp = Timestamp(1_614_265_330);
    const BODY: &str = r#"{"test": 2432232314}"#;
    const GOOD: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn headers(id: &str, at: &str, signature: &str) -> HeaderMap {
        let fields = [(ID, id), (TIMESTAMP, at), (SIGNATURE, signature)];
        fields.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).into_iter().collect()
    }

    fn at() -> String {
        AT.to_string()
    }

    #[test]
    fn the_official_vector_is_signed_and_believed() {
        let keys = [Key::of(SECRET).unwrap()];
        assert_eq!(signatures(&keys, MESSAGE, AT, BODY), GOOD);
        let bare = SECRET.trim_start_matches("whsec_");
        for secret in [SECRET, bare] {
            let receiver = Receiver::new([secret]).unwrap();
            let headers = headers(MESSAGE, &at(), GOOD);
            assert_eq!(receiver.verify(&headers, BODY.as_bytes(), AT), Ok(MESSAGE));
        }
    }

    #[test]
    fn t16_what_is_forged_changed_or_incomplete_is_not_believed() {
        let receiver = Receiver::new([SECRET]).unwrap();
        let verify = |id: &str, at: &str, signature: &str, body: &str| {
            receiver.verify(&headers(id, at, signature), body.as_bytes(), AT).map(str::to_owned)
        };
        let (sent, forged) = (at(), Err(VerifyError::Forged));
        assert_eq!(verify("msg_other", &sent, GOOD, BODY), forged);
        assert_eq!(verify(MESSAGE, "1614265331", GOOD, BODY), forged);
        assert_eq!(verify(MESSAGE, &sent, GOOD, r#"{"test": 2432232315}"#), forged);
        assert_eq!(verify(MESSAGE, &sent, &GOOD.replace("v1,", "v2,"), BODY), forged);
        assert_eq!(verify(MESSAGE, &sent, &GOOD.replace("v1,", "v1a,"), BODY), forged);
        assert_eq!(verify(MESSAGE, &sent, "v1,", BODY), forged);
        assert_eq!(verify(MESSAGE, &sent, "v1,g0hM9SsE", BODY), forged);
        assert_eq!(verify(MESSAGE, &sent, "garbage", BODY), forged);
        assert_eq!(verify(MESSAGE, &sent, &format!("{}{GOOD}", "v1,x ".repeat(16)), BODY), forged);
        assert_eq!(verify(MESSAGE, "soon", GOOD, BODY), Err(VerifyError::Incomplete));
        assert_eq!(verify("", &sent, GOOD, BODY), Err(VerifyError::Incomplete));
        for name in [ID, TIMESTAMP, SIGNATURE] {
            let mut without = headers(MESSAGE, &sent, GOOD);
            let value = without.remove(&name).unwrap();
            assert_eq!(receiver.verify(&without, BODY.as_bytes(), AT), Err(VerifyError::Incomplete));
            let mut twice = headers(MESSAGE, &sent, GOOD);
            twice.append(&name, value);
            assert_eq!(receiver.verify(&twice, BODY.as_bytes(), AT), Err(VerifyError::Incomplete));
        }
        let other = Receiver::new(["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]).unwrap();
        let headers = headers(MESSAGE, &sent, GOOD);
        assert_eq!(other.verify(&headers, BODY.as_bytes(), AT), Err(VerifyError::Forged));
    }

    #[test]
    fn t16_no_change_of_one_byte_is_believed() {
        let receiver = Receiver::new([SECRET]).unwrap();
        let fields = [MESSAGE.to_owned(), at(), GOOD.to_owned(), BODY.to_owned()];
        let mut tried = 0;
        for (field, index) in
            (0..4).flat_map(|field| (0..fields[field].len()).map(move |index| (field, index)))
        {
            for other in *b" .,=0Az/+\x7f" {
                let mut changed = fields.clone().map(String::into_bytes);
                if std::mem::replace(&mut changed[field][index], other) == other {
                    continue;
                }
                let [id, sent, signature, body] = changed;
                let field = |name, value: Vec<u8>| Some((name, HeaderValue::from_bytes(&value).ok()?));
                let headers = [field(ID, id), field(TIMESTAMP, sent), field(SIGNATURE, signature)];
                let headers: HeaderMap = headers.into_iter().flatten().collect();
                assert!(receiver.verify(&headers, &body, AT).is_err(), "{headers:?} {body:?}");
                tried += 1;
            }
        }
        assert!(tried > 700, "{tried}");
    }

    #[test]
    fn t17_a_message_is_good_for_five_minutes() {
        let receiver = Receiver::new([SECRET]).unwrap();
        let headers = headers(MESSAGE, &at(), GOOD);
        let verify = |now: u64| receiver.verify(&headers, BODY.as_bytes(), Timestamp(now)).map(str::to_owned);
        for now in [AT.0 - 300, AT.0, AT.0 + 300] {
            assert_eq!(verify(now), Ok(MESSAGE.to_owned()));
        }
        for now in [0, AT.0 - 301, AT.0 + 301, u64::MAX] {
            assert_eq!(verify(now), Err(VerifyError::Stale));
        }
    }

    #[test]
    fn during_a_change_either_secret_is_enough() {
        let random = |bytes: &mut [u8]| {
            bytes.fill(7);
            Ok(())
        };
        let new = Scheme::V1.secret(&random).unwrap();
        let keys = [Key::of(&new).unwrap(), Key::of(SECRET).unwrap()];
        let both = signatures(&keys, MESSAGE, AT, BODY);
        assert_eq!(both.split(' ').nth(1), Some(GOOD));
        for secret in [SECRET, new.as_str()] {
            let receiver = Receiver::new([secret]).unwrap();
            assert!(receiver.verify(&headers(MESSAGE, &at(), &both), BODY.as_bytes(), AT).is_ok());
        }
    }

    #[test]
    fn with_a_key_pair_the_receiver_has_nothing_secret() {
        let random = |bytes: &mut [u8]| {
            bytes.fill(9);
            Ok(())
        };
        let secret = Scheme::V1a.secret(&random).unwrap();
        assert_eq!((Scheme::of(&secret), Scheme::of(SECRET)), (Scheme::V1a, Scheme::V1));
        let key = Key::of(&secret).unwrap();
        let public = key.public().unwrap();
        let signed = signatures(&[key], MESSAGE, AT, BODY);
        assert!(signed.starts_with("v1a,"));
        let receiver = Receiver::new([public.as_str()]).unwrap();
        let good = headers(MESSAGE, &at(), &signed);
        assert_eq!(receiver.verify(&good, BODY.as_bytes(), AT), Ok(MESSAGE));
        assert_eq!(receiver.verify(&good, b"{}", AT), Err(VerifyError::Forged));
        assert!(Receiver::new([secret.as_str()]).is_err(), "a private key checks nothing");
    }

    #[test]
    fn the_shape_of_stripe_is_what_its_libraries_compute() {
        // python3: hmac.new(SECRET.encode(), b"1614265330." + BODY, "sha256").hexdigest()
        let tag = "2e37df5d4a028c51a7f3133d64ae1e300d2c2c900f1b1d49d4369ad2530f8964";
        let keys = [Key::of(SECRET).unwrap(), Key::of(SECRET).unwrap()];
        assert_eq!(stripe(&keys, AT, BODY), format!("t=1614265330,v1={tag},v1={tag}"));
    }

    #[test]
    fn a_secret_has_24_to_64_bytes_and_is_not_shown() {
        for (bytes, is_good) in [(23, false), (24, true), (64, true), (65, false)] {
            let secret = format!("whsec_{}", BASE64.encode(vec![1; bytes]));
            assert_eq!(Receiver::new([secret.as_str()]).is_ok(), is_good, "{bytes}");
            assert_eq!(Key::of(&secret).is_ok(), is_good, "{bytes}");
        }
        for wrong in ["", "whsec_", "whsec_***", "whpk_AAAA", "whsk_AAAA"] {
            assert_eq!(Receiver::new([wrong]).err(), Some(SecretError));
        }
        assert_eq!(format!("{:?}", Receiver::new([SECRET]).unwrap()), "Receiver(1)");
    }
}
