//! Ids of payment requests that prove themselves, so that a 402 that nobody pays leaves nothing behind.
//!
//! ```text
//! pay_  TTTTTTTTTT  RRRRRRRRRRRRRRRRRRRRRRRRRR  MMMMMMMMMMMMMMMMMMMMMMMM      64 characters, Crockford's base32
//!       expires, ms  128 random bits             120 bits of HMAC-SHA256
//! ```
//!
//! The first 26 characters behind `pay_` have the shape of a ULID, and sort by time as one. The mark covers time,
//! randomness and everything that the request is about: whoever has the key and knows what is sold needs no table to tell
//! whether, and for what, an id was given out. The request's nonce follows from the random bits.

use groat_core::{Amount, Network, Timestamp};
use ring::hmac;
use subtle::ConstantTimeEq;

use super::{Code, PROOF_GRACE_S};

/// What a request is about. An id is good for exactly this.
#[derive(Debug, Clone, Copy)]
pub struct RequestTerms<'t> {
    /// The URL of what is sold.
    pub resource: &'t str,
    /// The HTTP method.
    pub method: &'t str,
    /// Atomic units.
    pub amount: Amount,
    /// The token, in the one spelling that the seller uses.
    pub asset: &'t str,
    /// The chain.
    pub network: &'t Network,
    /// Who is paid, in the one spelling that the seller uses.
    pub seller: &'t str,
}

/// An id and what it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    expires: Timestamp,
    random: u128,
    mark: u128,
}

/// Why an id is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestIdError {
    /// It is not of the shape that we give out.
    #[error("this is not the id of a request of this seller")]
    Malformed,
    /// We did not give it out, or for something else.
    #[error("this request was not made here, or not for this resource and price")]
    NotOurs,
    /// It was ours, and its time is over.
    #[error("the request has expired: ask for a new one")]
    Expired,
}

impl RequestIdError {
    /// The code of the profile.
    pub const fn code(self) -> Code {
        match self {
            Self::Malformed | Self::NotOurs => Code::UnknownRequest,
            Self::Expired => Code::Expired,
        }
    }
}

/// Why a key is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key for request ids is at least 32 random bytes")]
pub struct RequestKeyError;

const PREFIX: &str = "pay_";
const TIME_DIGITS: usize = 10;
const RANDOM_DIGITS: usize = 26;
const MARK_DIGITS: usize = 24;
const MARK_BYTES: usize = 15;

impl RequestId {
    /// Reads an id in its one printed form. That says nothing about who gave it out.
    pub fn parse(text: &str) -> Result<Self, RequestIdError> {
        let digits = text.strip_prefix(PREFIX).ok_or(RequestIdError::Malformed)?;
        if digits.len() != TIME_DIGITS + RANDOM_DIGITS + MARK_DIGITS || !digits.is_ascii() {
            return Err(RequestIdError::Malformed);
        }
        let (time, digits) = digits.split_at(TIME_DIGITS);
        let (random, mark) = digits.split_at(RANDOM_DIGITS);
        let (Some(time), Some(random), Some(mark)) = (number(time), number(random), number(mark)) else {
            return Err(RequestIdError::Malformed);
        };
        let ms = u64::try_from(time).map_err(|_| RequestIdError::Malformed)?;
        // Whole seconds, and no more than a ULID holds: one id has one spelling.
        if ms % 1000 != 0 || ms >= 1 << 48 {
            return Err(RequestIdError::Malformed);
        }
        Ok(Self { expires: Timestamp(ms / 1000), random, mark })
    }

    /// Until when the request can be paid.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The nonce of the request: the random bits as 32 hex digits.
    pub fn nonce(&self) -> String {
        format!("{:032x}", self.random)
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = u128::from(self.expires.0) * 1000;
        let (time, random) = (digits(time, TIME_DIGITS), digits(self.random, RANDOM_DIGITS));
        write!(f, "{PREFIX}{time}{random}{}", digits(self.mark, MARK_DIGITS))
    }
}

/// The key that marks ids. It is shown nowhere.
pub struct RequestKey(hmac::Key);

impl std::fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestKey")
    }
}

impl RequestKey {
    /// The key of these bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, RequestKeyError> {
        if bytes.len() < 32 {
            return Err(RequestKeyError);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The key for requests among those that are made of one secret of a seller.
    pub fn derived(secret: &[u8]) -> Result<Self, RequestKeyError> {
        if secret.len() < 32 {
            return Err(RequestKeyError);
        }
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self::new(hmac::sign(&secret, b"groat/want-pay/requests").as_ref())
    }

    /// The id of a request for this, good until `expires`. `random` must be 16 bytes that nobody can guess.
    pub fn issue(&self, terms: &RequestTerms<'_>, expires: Timestamp, random: [u8; 16]) -> RequestId {
        // What a ULID's time can hold: the year 10889.
        let expires = Timestamp(expires.0.min(((1 << 48) - 1) / 1000));
        let random = u128::from_be_bytes(random);
        RequestId { expires, random, mark: self.mark(terms, expires, random) }
    }

    /// The id, if this key gave it out for exactly this, and the proof of its payment may still come.
    pub fn check(
        &self,
        id: &str,
        terms: &RequestTerms<'_>,
        now: Timestamp,
    ) -> Result<RequestId, RequestIdError> {
        let id = RequestId::parse(id)?;
        let ours = self.mark(terms, id.expires, id.random);
        if !bool::from(ours.to_be_bytes().ct_eq(&id.mark.to_be_bytes())) {
            return Err(RequestIdError::NotOurs);
        }
        if now >= id.expires.plus(PROOF_GRACE_S) {
            return Err(RequestIdError::Expired);
        }
        Ok(id)
    }

    fn mark(&self, terms: &RequestTerms<'_>, expires: Timestamp, random: u128) -> u128 {
        let mut context = hmac::Context::with_key(&self.0);
        // Each field with its length, so that no two terms are the same bytes.
        let mut field = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        field(b"groat/request-id/1");
        field(&expires.0.to_be_bytes());
        field(&random.to_be_bytes());
        field(terms.resource.as_bytes());
        field(terms.method.as_bytes());
        field(terms.amount.to_string().as_bytes());
        field(terms.asset.as_bytes());
        field(terms.network.as_str().as_bytes());
        field(terms.seller.as_bytes());
        let tag = context.sign();
        tag.as_ref().iter().take(MARK_BYTES).fold(0, |mark, byte| (mark << 8) | u128::from(*byte))
    }
}

/// Crockford's alphabet: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn digits(number: u128, count: usize) -> String {
    let digit = |place: usize| char::from(ALPHABET[(number >> (5 * place)) as usize & 31]);
    (0..count).rev().map(digit).collect()
}

/// Upper case only, and nothing that does not fit.
fn number(text: &str) -> Option<u128> {
    text.bytes().try_fold(0u128, |number, letter| {
        let digit = ALPHABET.iter().position(|known| *known == letter)?;
        (number >> 123 == 0).then_some((number << 5) | digit as u128)
    })
}
