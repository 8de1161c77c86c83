//! The proof: a compact JWT (RFC 7519) in which the buyer says, signed by the account that paid, which transaction paid
//! which request.
//!
//! Reading and comparing is done here; whether the signature is the account's is the business of a chain, which gets the
//! signing input, the algorithm and the bytes. Nothing in the token chooses a key: the only one is that of `iss`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use groat_core::{Network, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use super::account::is_account;
use super::decimal::Decimal;
use super::request::{PaymentRequest, is_request_id};
use super::{Code, PROOF_GRACE_S, chain, is_currency, pay_header};
use crate::json;
use crate::members::Members;

const PLACE: &str = "pay";
/// Clocks may differ by so much.
const SKEW_S: u64 = 60;
/// A proof is good for no longer.
const LIFETIME_S_MAX: u64 = 3_600;
const TEXT_BYTES_MAX: usize = 2_048;

/// How a proof is signed. Whatever else a token names is refused, `none` and every HMAC among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// secp256k1 over SHA-256 (RFC 8812): 64 bytes, or 65 with a recovery value.
    Es256k,
    /// The same, always with a recovery value, as did-jwt writes it.
    Es256kR,
    /// `personal_sign` of the signing input.
    Eip191,
    /// Typed data `PaymentProof`.
    Eip712,
    /// A contract says whether the signature of the SHA-256 digest is its own.
    Erc1271,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Es256k, Self::Es256kR, Self::Eip191, Self::Eip712, Self::Erc1271];

    /// As `alg` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256k => "ES256K",
            Self::Es256kR => "ES256K-R",
            Self::Eip191 => "EIP191",
            Self::Eip712 => "EIP712",
            Self::Erc1271 => "ERC1271",
        }
    }

    /// Whether a signature can be so long.
    pub const fn takes(self, size_bytes: usize) -> bool {
        match self {
            Self::Es256k => size_bytes == 64 || size_bytes == 65,
            Self::Es256kR | Self::Eip191 | Self::Eip712 => size_bytes == 65,
            Self::Erc1271 => size_bytes > 0,
        }
    }
}

/// Why a proof is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is no token of this profile.
    #[error("the proof cannot be read: {0}")]
    Malformed(String),
    /// It is signed in a way that nobody here takes.
    #[error(
        "the proof is signed by an algorithm that is not taken: use ES256K, ES256K-R, EIP191, EIP712 or ERC1271"
    )]
    Algorithm,
    /// It is about another request.
    #[error("the proof is about another request")]
    UnknownRequest,
    /// Its time, or that of its request, is over.
    #[error("the proof or its request has expired: sign again, or ask for a new request")]
    Expired,
    /// A claim says something else than the request, the place or the clock.
    #[error("the claim `{0}` does not fit the request")]
    ClaimsMismatch(&'static str),
}

impl ProofError {
    /// The code of the profile.
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::Algorithm => Code::InvalidProof,
            Self::UnknownRequest => Code::UnknownRequest,
            Self::Expired => Code::Expired,
            Self::ClaimsMismatch(_) => Code::ClaimsMismatch,
        }
    }
}

fn malformed(problem: impl Into<String>) -> ProofError {
    ProofError::Malformed(problem.into())
}

/// What the buyer says. Texts are kept as they were written, because typed data signs them so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The account that paid: an address, `did:pkh:eip155:…` or CAIP-10.
    pub iss: String,
    /// The id of the request.
    pub sub: String,
    /// As in the request.
    pub amount: String,
    /// As in the request.
    pub currency: String,
    /// As in the request.
    pub chain: String,
    /// The transaction.
    pub tx: String,
    /// When it was signed.
    pub iat: u64,
    /// Until when it may be shown.
    pub exp: u64,
    /// The nonce of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The seller's origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// The method that was paid for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub htm: Option<String>,
    /// The URL that was paid for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub htu: Option<String>,
    /// Names the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

/// For whom a token is: one, or one of several (RFC 7519, section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Audience {
    fn includes(&self, origin: &str) -> bool {
        match self {
            Self::One(one) => one == origin,
            Self::Several(several) => several.iter().any(|one| one == origin),
        }
    }
}

/// Where a proof is shown.
#[derive(Debug, Clone, Copy)]
pub struct Place<'p> {
    /// The seller's origin, such as `https://api.example.com`.
    pub origin: &'p str,
    /// The method of the request that shows it.
    pub method: &'p str,
    /// Its URL.
    pub url: &'p str,
}

/// How much a seller wants to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// What the profile requires.
    #[default]
    Profile,
    /// The nonce of the request too.
    Strict,
}

/// A proof as it was read. Nothing of it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// How it is signed.
    pub algorithm: Algorithm,
    /// What is signed, for all algorithms but EIP712.
    pub signing_input: String,
    /// The signature's bytes. They are no key to anything: an account can sign the same in many ways.
    pub signature: Vec<u8>,
    /// What it says.
    pub claims: Claims,
}

impl Proof {
    /// Reads a token.
    pub fn read(token: &str) -> Result<Self, ProofError> {
        if token.len() > pay_header::SIZE_BYTES_MAX {
            return Err(malformed("it is larger than 4096 bytes"));
        }
        let (signing_input, signature) =
            token.rsplit_once('.').ok_or_else(|| malformed("it has no three parts"))?;
        let (header, payload) =
            signing_input.split_once('.').ok_or_else(|| malformed("it has no three parts"))?;
        let algorithm = read_header(&object(header)?)?;
        let claims = Claims::read(&object(payload)?)?;
        let signature = bytes(signature)?;
        if !algorithm.takes(signature.len()) {
            return Err(malformed("no signature of this algorithm is so long"));
        }
        if algorithm == Algorithm::Eip712 && claims.typed().is_none() {
            return Err(malformed("typed data has one audience"));
        }
        Ok(Self { algorithm, signing_input: signing_input.to_owned(), signature, claims })
    }

    /// Whether the claims are about this request, shown in this place, at this time.
    pub fn check(
        &self,
        request: &PaymentRequest,
        place: &Place<'_>,
        strictness: Strictness,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        self.claims.check(request, place, strictness, now)
    }
}

/// The text that a buyer signs, or, for EIP712, to which the signature of the typed data is added.
pub fn signing_input(algorithm: Algorithm, claims: &Claims) -> String {
    let header = format!(r#"{{"typ":"JWT","alg":"{}"}}"#, algorithm.as_str());
    // Texts and numbers: JSON can hold all of it.
    let claims = serde_json::to_vec(claims).unwrap_or_default();
    format!("{}.{}", BASE64.encode(header), BASE64.encode(claims))
}

/// The token of claims and their signature. It is read back before it is given out, so it is one that we would take.
pub fn token(algorithm: Algorithm, claims: &Claims, signature: &[u8]) -> Result<String, ProofError> {
    let token = format!("{}.{}", signing_input(algorithm, claims), BASE64.encode(signature));
    let read = Proof::read(&token)?;
    if read.claims == *claims { Ok(token) } else { Err(malformed("a claim does not read back as itself")) }
}

fn bytes(part: &str) -> Result<Vec<u8>, ProofError> {
    BASE64.decode(part).map_err(|_| malformed("a part is not base64url without padding"))
}

fn object(part: &str) -> Result<Map<String, Value>, ProofError> {
    let value = json::parse(&bytes(part)?, PLACE, pay_header::SIZE_BYTES_MAX)
        .map_err(|error| malformed(error.to_string()))?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(malformed("a part is no JSON object")),
    }
}

/// Members that make other readers do something: fetch a key, take one from the token, read the payload otherwise.
const DANGEROUS: [&str; 8] = ["crit", "b64", "zip", "jku", "jwk", "x5u", "x5c", "x5t"];

fn read_header(header: &Map<String, Value>) -> Result<Algorithm, ProofError> {
    if DANGEROUS.iter().any(|name| header.contains_key(*name)) {
        return Err(malformed("its header asks for more than this profile has"));
    }
    let is_jwt = |typ: &Value| typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"));
    if !header.get("typ").is_none_or(is_jwt) {
        return Err(malformed("its type is not JWT"));
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or(ProofError::Algorithm)?;
    Algorithm::ALL.into_iter().find(|known| known.as_str() == name).ok_or(ProofError::Algorithm)
}

impl Claims {
    fn read(members: &Map<String, Value>) -> Result<Self, ProofError> {
        let value = Value::Object(members.clone());
        let members = Members::of(&value, PLACE).map_err(|error| malformed(error.to_string()))?;
        let text = |key: &str| match members.text(key) {
            Ok(text) if !text.is_empty() && text.len() <= TEXT_BYTES_MAX => Ok(text.to_owned()),
            _ => Err(malformed(format!("the claim `{key}` is no text"))),
        };
        let optional = |key: &str| members.value(key).map(|_| text(key)).transpose();
        let second = |key: &str| {
            let second = members.value(key).and_then(Value::as_u64);
            second.ok_or_else(|| malformed(format!("the claim `{key}` is no whole second")))
        };
        let claims = Self {
            iss: text("iss")?,
            sub: text("sub")?,
            amount: text("amount")?,
            currency: text("currency")?,
            chain: text("chain")?,
            tx: text("tx")?,
            iat: second("iat")?,
            exp: second("exp")?,
            nonce: optional("nonce")?,
            aud: members.value("aud").map(audience).transpose()?,
            htm: optional("htm")?,
            htu: optional("htu")?,
            jti: optional("jti")?,
        };
        claims.check_shape()?;
        Ok(claims)
    }

    fn check_shape(&self) -> Result<(), ProofError> {
        let require = |good: bool, key: &str| {
            if good { Ok(()) } else { Err(malformed(format!("the claim `{key}` is not of its form"))) }
        };
        require(self.payer().is_some(), "iss")?;
        require(is_request_id(&self.sub), "sub")?;
        require(Decimal::parse(&self.amount).is_ok(), "amount")?;
        require(is_currency(&self.currency), "currency")?;
        require(self.network().is_some(), "chain")?;
        require(self.tx_hash().is_some(), "tx")
    }

    /// The account that paid, as text without its wrapping.
    pub fn payer(&self) -> Option<&str> {
        self.issuer().map(|(account, _)| account)
    }

    /// The account, and the chain where `iss` names one.
    fn issuer(&self) -> Option<(&str, Option<Network>)> {
        if is_account(&self.iss) {
            return Some((&self.iss, None));
        }
        let caip10 = self.iss.strip_prefix("did:pkh:").unwrap_or(&self.iss);
        let (network, account) = caip10.rsplit_once(':')?;
        let network = Network::parse(network).ok().filter(|network| network.chain_id().is_some())?;
        is_account(account).then_some((account, Some(network)))
    }

    /// The chain that is meant.
    pub fn network(&self) -> Option<Network> {
        chain(&self.chain)
    }

    /// The transaction, in lower case.
    pub fn tx_hash(&self) -> Option<String> {
        let digits = self.tx.strip_prefix("0x")?;
        let is_hash = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        is_hash.then(|| self.tx.to_ascii_lowercase())
    }

    /// What typed data holds, in its order: eight texts and numbers that are always there, five texts that are empty where
    /// the claim is absent. `None` when there are several audiences.
    pub fn typed(&self) -> Option<TypedClaims<'_>> {
        let aud = match &self.aud {
            None => "",
            Some(Audience::One(one)) => one,
            Some(Audience::Several(_)) => return None,
        };
        Some(TypedClaims {
            texts: [&self.iss, &self.sub, &self.amount, &self.currency, &self.chain, &self.tx],
            iat: self.iat,
            exp: self.exp,
            more: [text(&self.nonce), aud, text(&self.htm), text(&self.htu), text(&self.jti)],
        })
    }

    fn check(
        &self,
        request: &PaymentRequest,
        place: &Place<'_>,
        strictness: Strictness,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        if self.sub != request.id {
            return Err(ProofError::UnknownRequest);
        }
        if self.exp <= now.0 || request.expires.plus(PROOF_GRACE_S) <= now {
            return Err(ProofError::Expired);
        }
        let require = |good: bool, claim: &'static str| {
            if good { Ok(()) } else { Err(ProofError::ClaimsMismatch(claim)) }
        };
        let network = self.network();
        let issued_on = self.issuer().and_then(|(_, network)| network);
        require(Decimal::parse(&self.amount).is_ok_and(|amount| amount.equals(&request.amount)), "amount")?;
        require(self.currency.eq_ignore_ascii_case(&request.currency), "currency")?;
        require(network.is_some() && network == request.network(), "chain")?;
        require(issued_on.is_none() || issued_on == network, "iss")?;
        require(self.iat <= now.plus(SKEW_S).0 && self.iat < self.exp, "iat")?;
        require(self.exp - self.iat <= LIFETIME_S_MAX, "exp")?;
        require(self.exp <= request.expires.plus(PROOF_GRACE_S).0, "exp")?;
        let nonce_fits = match &self.nonce {
            Some(nonce) => *nonce == request.nonce,
            None => strictness == Strictness::Profile,
        };
        require(nonce_fits, "nonce")?;
        require(self.aud.as_ref().is_none_or(|aud| aud.includes(place.origin)), "aud")?;
        require(self.htm.as_deref().is_none_or(|htm| htm == place.method), "htm")?;
        require(self.htu.as_deref().is_none_or(|htu| htu == place.url), "htu")
    }
}

/// The claims as typed data signs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedClaims<'c> {
    /// iss, sub, amount, currency, chain, tx.
    pub texts: [&'c str; 6],
    /// When it was signed.
    pub iat: u64,
    /// Until when it may be shown.
    pub exp: u64,
    /// nonce, aud, htm, htu, jti.
    pub more: [&'c str; 5],
}

/// An absent claim is an empty text; no claim that is there is empty.
fn text(claim: &Option<String>) -> &str {
    claim.as_deref().unwrap_or_default()
}

fn audience(value: &Value) -> Result<Audience, ProofError> {
    let one = |value: &Value| {
        let text = value.as_str().filter(|text| !text.is_empty() && text.len() <= TEXT_BYTES_MAX);
        text.map(str::to_owned).ok_or_else(|| malformed("the claim `aud` is no text"))
    };
    match value {
        Value::Array(several) if !several.is_empty() => {
            several.iter().map(one).collect::<Result<_, _>>().map(Audience::Several)
        }
        other => one(other).map(Audience::One),
    }
}
