//! AgentXPay: five header fields say what a transaction has to pay, and the hash of one that did buys the answer.
//!
//! ```text
//! 402   X-Payment-Address: 0x<payment manager>   X-Payment-Amount: <wei>   X-Payment-Token: native
//!       X-Payment-ServiceId: 1                   X-Payment-ChainId: 84532
//! GET   X-Payment-TxHash: 0x<32 bytes>           X-Payment-ChainId: 84532
//!       (X-Payment-Payer: 0x…                    X-Payment-Signature: 0x<65 bytes>)
//! ```
//!
//! All five fields or none (its client stops at four). The last two are ours: a hash is seen by everybody, so the payer may
//! sign the request that it is for, by EIP-191 over the lines `x402-axp/1`, method, absolute URL, chain id, hash, and the
//! SHA-256 of the body. Source: the public client and middleware, version 0.3.0.

mod access;
mod directory;

use groat_core::payment::DialectId;
use groat_core::ports::{AccessClaim, NoAccess};
use groat_core::{Amount, Challenge, Network, Offer, Payment, Reason, Receipt, Resource};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::{Asked, ChallengeParts, Dialect, Sold, WireError};

pub use access::access_lines;
pub use directory::PATH as SERVICES_PATH;

/// The name of this dialect.
pub const ID: DialectId = DialectId::new("agentxpay");
/// The scheme of its offers.
pub const SCHEME: &str = "transaction";

const ADDRESS: &str = "x-payment-address";
const AMOUNT: &str = "x-payment-amount";
const TOKEN: &str = "x-payment-token";
const SERVICE: &str = "x-payment-serviceid";
const CHAIN: &str = "x-payment-chainid";
const HASH: &str = "x-payment-txhash";
const PAYER: &str = "x-payment-payer";
const SIGNATURE: &str = "x-payment-signature";
const TIMESTAMP: &str = "x-payment-timestamp";
const SUBSCRIBER: &str = "x-subscription-address";

/// The five fields of a 402.
pub const CHALLENGE_FIELDS: [&str; 5] = [ADDRESS, AMOUNT, TOKEN, SERVICE, CHAIN];

/// The chain that its client means when a 402 names none: Monad's test network.
const CHAIN_DEFAULT: u64 = 10_143;
/// How old a payment may be when it is shown; a 402 of this dialect does not say.
const TIMEOUT_S: u64 = 900;
/// Longest body whose reason is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest value of a field that is read.
const SIZE_BYTES_MAX: usize = 4_096;

/// The dialect.
#[derive(Debug, Clone, Copy, Default)]
pub struct AgentXPay;

impl Dialect for AgentXPay {
    fn id(&self) -> DialectId {
        ID
    }

    fn payment_fields(&self) -> &'static [&'static str] {
        &[HASH]
    }

    fn companion_fields(&self) -> &'static [&'static str] {
        &[CHAIN, SERVICE, PAYER, SIGNATURE, TIMESTAMP, SUBSCRIBER]
    }

    fn response_fields(&self) -> &'static [&'static str] {
        &CHALLENGE_FIELDS
    }

    /// Five fields have room for one offer: the first.
    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts) {
        let Some((offer, chain_id)) = payable(challenge) else { return };
        let service = service_id(offer);
        let fields = [
            (ADDRESS, offer.pay_to.clone()),
            (AMOUNT, offer.amount.to_string()),
            (TOKEN, offer.asset.clone()),
            (SERVICE, service.to_owned()),
            (CHAIN, chain_id.to_string()),
        ];
        let fields =
            fields.map(|(name, text)| (HeaderName::from_static(name), HeaderValue::try_from(text).ok()));
        if fields.iter().any(|(_, value)| value.is_none()) {
            return;
        }
        out.headers.extend(fields.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let told = json!({
            "address": offer.pay_to,
            "amount": offer.amount,
            "token": offer.asset,
            "serviceId": service_number(service),
            "chainId": chain_id,
        });
        out.body.insert("payment".to_owned(), told);
        out.body.entry("message".to_owned()).or_insert_with(|| json!(MESSAGE));
    }

    fn read_challenge(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<Challenge>, WireError> {
        let (Some(pay_to), Some(amount), Some(service)) =
            (only(headers, ADDRESS)?, only(headers, AMOUNT)?, only(headers, SERVICE)?)
        else {
            return Ok(None);
        };
        let wrong = |place, problem: &str| WireError::malformed(place, problem);
        let amount = Amount::parse(amount).map_err(|_| wrong(AMOUNT, "is not a whole number"))?;
        Amount::parse(service).map_err(|_| wrong(SERVICE, "is not a whole number"))?;
        let chain_id = match only(headers, CHAIN)? {
            Some(text) => chain_id(text)?,
            None => CHAIN_DEFAULT,
        };
        let offer = Offer {
            scheme: SCHEME.to_owned(),
            network: Network::eip155(chain_id),
            asset: only(headers, TOKEN)?.unwrap_or("native").to_owned(),
            amount,
            pay_to: pay_to.to_owned(),
            timeout_s: TIMEOUT_S,
            extra: [("serviceId".to_owned(), json!(service))].into_iter().collect(),
            price: None,
            dialect: Some(ID),
            currency: None,
            verbatim: None,
        };
        Ok(Some(Challenge {
            resource: Resource::default(),
            offers: vec![offer],
            pass_at: None,
            moment: None,
            error: told(body).unwrap_or_default(),
            extensions: Map::new(),
        }))
    }

    fn accept(&self, payment: Payment, _challenge: &Challenge, _offer: &Offer) -> Payment {
        Payment { dialect: ID, accepted: None, ..payment }
    }

    fn write_payment(&self, payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError> {
        let text = |key: &str| payment.proof.get(key).and_then(Value::as_str);
        let hash = text("hash").ok_or_else(|| WireError::malformed(HASH, "there is no hash to show"))?;
        let chain_id = payment.network.chain_id().map(|id| id.to_string());
        let fields = [
            (HASH, Some(hash)),
            (CHAIN, chain_id.as_deref()),
            (PAYER, text("payer")),
            (SIGNATURE, text("signature")),
        ];
        for (name, text) in fields {
            let Some(text) = text else { continue };
            let value =
                HeaderValue::try_from(text).map_err(|_| WireError::malformed(HASH, "cannot be written"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(())
    }

    fn read_payment(&self, headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        let Some(hash) = only(headers, HASH)? else { return Ok(None) };
        // A hash is public: the answer to it is given again only to the letters that it was bought with.
        let mut proof = json!({ "hash": normal(hash)?, "count": 0, "shown": hash });
        for (key, name) in [("payer", PAYER), ("signature", SIGNATURE)] {
            if let Some(text) = only(headers, name)? {
                proof[key] = json!(text);
            }
        }
        let network = match only(headers, CHAIN)? {
            Some(text) => {
                let chain_id = chain_id(text)?;
                proof["chainId"] = json!(chain_id);
                Network::eip155(chain_id)
            }
            None => Network::eip155(CHAIN_DEFAULT),
        };
        Ok(Some(Payment {
            dialect: ID,
            scheme: SCHEME.to_owned(),
            network,
            proof,
            accepted: None,
            resource: None,
            extensions: Map::new(),
        }))
    }

    /// What is signed for, as we read it: the lines of the request that really came.
    fn bind(&self, mut payment: Payment, asked: &Asked<'_>) -> Payment {
        let lines = lines(&payment, asked);
        if let Some(proof) = payment.proof.as_object_mut()
            && proof.contains_key("signature")
        {
            proof.insert("lines".to_owned(), json!(lines));
        }
        payment
    }

    fn payer_lines(&self, payment: &Payment, asked: &Asked<'_>) -> Option<String> {
        Some(lines(payment, asked))
    }

    fn read_access(&self, headers: &HeaderMap) -> Result<Option<AccessClaim>, WireError> {
        access::read(headers)
    }

    fn bind_access(&self, claim: AccessClaim, asked: &Asked<'_>, network: &Network) -> AccessClaim {
        access::bind(claim, asked, network)
    }

    fn no_access_title(&self, why: &NoAccess) -> &'static str {
        access::title(why)
    }

    fn directory(&self, sold: &[Sold<'_>]) -> Option<(&'static str, Value)> {
        directory::write(sold)
    }

    /// The one offer that the five fields said. Another chain is no other payment but a mistake (threat row B17).
    fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        let (offer, _) = payable(challenge).ok_or(Reason::NoMatchingRequirements)?;
        let is_said = payment.proof.get("chainId").is_some();
        if is_said && payment.network != offer.network { Err(Reason::InvalidPayload) } else { Ok(offer) }
    }

    fn write_receipt(&self, _receipt: &Receipt, _headers: &mut HeaderMap) {}

    fn read_receipt(&self, _headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        Ok(None)
    }
}

const MESSAGE: &str = "Payment is required: pay as the X-Payment header fields say, and send the request again with \
    X-Payment-TxHash.";

/// Why a payment was refused. The fields make the challenge, so a body that cannot be read just does not say.
fn told(body: &[u8]) -> Option<String> {
    let body = crate::json::parse(body, "body", BODY_BYTES_MAX).ok()?;
    body.get("error")?.as_str().map(str::to_owned)
}

/// What a payer signs for a request (section "payer binding" of `docs/spec/agentxpay.md`).
pub fn lines(payment: &Payment, asked: &Asked<'_>) -> String {
    let text = |key: &str| payment.proof.get(key).and_then(Value::as_str).unwrap_or_default();
    let chain_id = payment.network.chain_id().unwrap_or_default();
    lines_of(asked, chain_id, &text("hash").to_ascii_lowercase())
}

fn lines_of(asked: &Asked<'_>, chain_id: u64, subject: &str) -> String {
    let body = data_encoding::HEXLOWER.encode(digest(&SHA256, asked.body).as_ref());
    let Asked { method, url, .. } = asked;
    format!("x402-axp/1\n{method}\n{url}\n{chain_id}\n{subject}\n{body}")
}

/// A number where JSON can hold it.
fn service_number(service: &str) -> Value {
    service.parse::<u64>().map_or_else(|_| json!(service), |number| json!(number))
}

fn payable(challenge: &Challenge) -> Option<(&Offer, u64)> {
    let mut fitting = challenge.offers.iter().filter(|offer| offer.scheme == SCHEME);
    fitting.find_map(|offer| Some((offer, offer.network.chain_id()?)))
}

fn service_id(offer: &Offer) -> &str {
    // A payment straight to the payee is for no service, and the client wants a number.
    offer.extra.get("serviceId").and_then(Value::as_str).unwrap_or("0")
}

/// A hash in its one spelling: another spelling is the same payment (threat row R21).
fn normal(text: &str) -> Result<String, WireError> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let is_hash = |digits: &&str| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits =
        digits.filter(is_hash).ok_or_else(|| WireError::malformed(HASH, "is not 0x and 64 hex digits"))?;
    Ok(format!("0x{}", digits.to_ascii_lowercase()))
}

/// The number of a chain, in its one spelling.
fn chain_id(text: &str) -> Result<u64, WireError> {
    let number = Amount::parse(text).ok().and_then(|_| text.parse().ok());
    number.ok_or_else(|| WireError::malformed(CHAIN, "is not the number of a chain"))
}

/// The text of a field that may be there once.
fn only<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, WireError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(WireError::malformed(name, "is there twice"));
    }
    let text = value.to_str().map_err(|_| WireError::malformed(name, "is not text"))?.trim();
    if text.len() > SIZE_BYTES_MAX {
        return Err(WireError::TooLarge { place: name, size_bytes_max: SIZE_BYTES_MAX });
    }
    Ok((!text.is_empty()).then_some(text))
}
