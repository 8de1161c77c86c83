//! The dialect: a 402 with one request of its own, and a proof of its payment in the `Pay` field.
//!
//! Every 402 is another: its id carries the time and is marked with the seller's key, so nothing has to be kept until
//! somebody has paid ([`RequestKey`]).

use groat_core::offer::Currency;
use groat_core::payment::DialectId;
use groat_core::{Challenge, Offer, Payment, Reason, Receipt, Resource};
use http::header::VARY;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use super::decimal::Decimal;
use super::id::{RequestId, RequestKey, RequestTerms};
use super::negotiation::{Method, WantPay as Wishes};
use super::proof::{Place, Proof, Strictness};
use super::request::{ALTERNATIVES_MAX, LIFETIME_S, More, PaymentRequest, TEXT_CHARS_MAX, is_facilitator};
use super::{Code, PROOF_GRACE_S, chain_name, pay_header};
use crate::{Asked, ChallengeParts, Dialect, Freshness, WireError};

/// The name of this dialect.
pub const ID: DialectId = DialectId::new("want-pay");
/// The scheme of its offers.
pub const SCHEME: &str = "x402-pay";

const WANT_PAY: &str = "want-pay";
const PAY: &str = "pay";
/// What tokens of dollars have where a request does not say; on one chain they have more.
const DECIMALS: u8 = 6;
const WIDE: (u64, u8) = (56, 18);

/// The dialect; without a seller it only reads.
#[derive(Debug, Default)]
pub struct WantPay {
    seller: Option<Seller>,
}

#[derive(Debug)]
struct Seller {
    key: RequestKey,
    facilitator: String,
}

impl WantPay {
    /// For a seller, whose requests are marked with `key` and name this facilitator: an https URL, or http on this machine.
    pub fn selling(key: RequestKey, facilitator: &str) -> Result<Self, WireError> {
        if !is_facilitator(facilitator) {
            return Err(WireError::malformed("facilitator", "is no https URL (http only on this machine)"));
        }
        Ok(Self { seller: Some(Seller { key, facilitator: facilitator.to_owned() }) })
    }
}

impl Seller {
    /// The request for one offer at this moment.
    fn request(
        &self,
        challenge: &Challenge,
        offer: &Offer,
        id: &RequestId,
        description: Option<String>,
    ) -> Option<PaymentRequest> {
        let currency = offer.currency.as_ref()?;
        let moment = challenge.moment.as_ref()?;
        Some(PaymentRequest {
            id: id.to_string(),
            amount: Decimal::from_units(offer.amount, currency.decimals),
            currency: currency.symbol.to_ascii_uppercase(),
            chain: chain_name(&offer.network),
            facilitator: self.facilitator.clone(),
            seller: offer.pay_to.clone(),
            expires: id.expires(),
            description,
            metadata: None,
            nonce: id.nonce(),
            more: More {
                resource: Some(challenge.resource.url.clone()),
                method: Some(moment.method.clone()),
                token: Some(offer.asset.clone()),
                decimals: Some(currency.decimals),
                contract: offer.extra.get("contract").and_then(Value::as_str).map(str::to_owned),
                alternatives: Vec::new(),
                error: None,
            },
        })
    }

    /// One request for each offer; first that for the offer which suits the buyer best. Where the body describes the resource
    /// already, if only by nothing, that is the description, because the hash covers what stands there.
    fn requests(&self, challenge: &Challenge, is_described: bool) -> Vec<PaymentRequest> {
        let Some(moment) = &challenge.moment else { return Vec::new() };
        let told = &challenge.resource.description;
        let description: Option<String> =
            (is_described || !told.is_empty()).then(|| told.chars().take(TEXT_CHARS_MAX).collect());
        let expires = moment.now.plus(LIFETIME_S);
        let request = |(index, offer): (usize, &Offer)| {
            // Each its own number.
            let mut random = moment.random;
            random[15] ^= index as u8;
            let id = self.key.issue(&terms(challenge, offer), expires, random);
            let request = self.request(challenge, offer, &id, description.clone())?;
            request.check().is_ok().then_some((index != moment.preferred, request))
        };
        let mut requests: Vec<_> = own(challenge).enumerate().filter_map(request).collect();
        requests.sort_by_key(|(is_other, _)| *is_other);
        requests.into_iter().map(|(_, request)| request).take(1 + ALTERNATIVES_MAX).collect()
    }
}

fn own(challenge: &Challenge) -> impl Iterator<Item = &Offer> {
    challenge.offers.iter().filter(|offer| offer.scheme == SCHEME)
}

fn terms<'c>(challenge: &'c Challenge, offer: &'c Offer) -> RequestTerms<'c> {
    RequestTerms {
        resource: &challenge.resource.url,
        method: challenge.moment.as_ref().map_or("", |moment| &moment.method),
        amount: offer.amount,
        asset: &offer.asset,
        network: &offer.network,
        seller: &offer.pay_to,
    }
}

fn method(offer: &Offer) -> Option<Method> {
    Method::new(&offer.currency.as_ref()?.symbol, offer.network.clone())
}

impl Dialect for WantPay {
    fn id(&self) -> DialectId {
        ID
    }

    fn payment_fields(&self) -> &'static [&'static str] {
        &[PAY]
    }

    fn companion_fields(&self) -> &'static [&'static str] {
        &[WANT_PAY]
    }

    fn response_fields(&self) -> &'static [&'static str] {
        &[WANT_PAY]
    }

    fn freshness(&self, offers: &[Offer]) -> Freshness {
        match self.seller.is_some() && offers.iter().any(|offer| offer.scheme == SCHEME) {
            true => Freshness::Whole,
            false => Freshness::Kept,
        }
    }

    /// What the buyer can pay with is asked for; the list stays as it is. Nothing of it is a promise.
    fn hear(&self, headers: &HeaderMap, challenge: &mut Challenge) {
        let Ok(Some(wishes)) = Wishes::read(headers) else { return };
        let (places, methods): (Vec<usize>, Vec<Method>) =
            own(challenge).enumerate().filter_map(|(place, offer)| Some((place, method(offer)?))).unzip();
        let chosen = wishes.choose(&methods).and_then(|index| places.get(index).copied());
        match (chosen, &mut challenge.moment) {
            (Some(place), Some(moment)) => moment.preferred = place,
            (None, _) if !methods.is_empty() => {
                challenge.error = Code::NoCompatibleMethod.as_str().to_owned();
            }
            _ => {}
        }
    }

    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts) {
        let Some(seller) = &self.seller else { return };
        let mut requests = seller.requests(challenge, out.body.contains_key("description"));
        if requests.is_empty() {
            return;
        }
        Wishes::of(own(challenge).filter_map(method)).write(&mut out.headers);
        let mut first = requests.remove(0);
        first.more.alternatives = requests;
        out.body.extend(first.members());
        out.headers.append(VARY, HeaderValue::from_static("Want-Pay"));
    }

    fn read_challenge(&self, _headers: &HeaderMap, body: &[u8]) -> Result<Option<Challenge>, WireError> {
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Ok(None);
        }
        let value = crate::json::parse_to_depth(body, "body", super::request::SIZE_BYTES_MAX, 32)?;
        if ["id", "facilitator", "seller", "expires"].iter().any(|key| value.get(key).is_none()) {
            return Ok(None);
        }
        let request = PaymentRequest::from_value(&value)?;
        let resource = Resource {
            url: request.more.resource.clone().unwrap_or_default(),
            description: request.shown_description(),
            mime_type: String::new(),
        };
        let error = value.get("error").and_then(Value::as_str).unwrap_or_default().to_owned();
        let all = std::iter::once(&request).chain(&request.more.alternatives);
        let offers = all.filter_map(read_offer).collect();
        Ok(Some(Challenge { resource, offers, pass_at: None, moment: None, error, extensions: Map::new() }))
    }

    fn accept(&self, payment: Payment, _challenge: &Challenge, _offer: &Offer) -> Payment {
        Payment { dialect: ID, accepted: None, ..payment }
    }

    fn write_payment(&self, payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError> {
        let text = |key: &str| payment.proof.get(key).and_then(Value::as_str).unwrap_or_default();
        let digits = text("signature").trim_start_matches("0x");
        let signature = data_encoding::HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .map_err(|_| WireError::malformed(PAY, "there is no signature to show"))?;
        let signature = data_encoding::BASE64URL_NOPAD.encode(&signature);
        pay_header::write(&format!("{}.{signature}", text("signingInput")), headers)
    }

    fn read_payment(&self, headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        let Some(token) = pay_header::read(headers)? else { return Ok(None) };
        let proof = Proof::read(token).map_err(|error| WireError::malformed(PAY, error.to_string()))?;
        let network = proof.claims.network();
        let network = network.ok_or_else(|| WireError::malformed(PAY, "names no chain that we know"))?;
        let claims = serde_json::to_value(&proof.claims).unwrap_or_default();
        Ok(Some(Payment {
            dialect: ID,
            scheme: SCHEME.to_owned(),
            network,
            proof: json!({
                "algorithm": proof.algorithm.as_str(),
                "signingInput": proof.signing_input,
                "signature": format!("0x{}", data_encoding::HEXLOWER.encode(&proof.signature)),
                "claims": claims,
                "token": token,
            }),
            accepted: None,
            resource: None,
            extensions: Map::new(),
        }))
    }

    /// The last second in which the request could be paid, from its id, whatever the buyer says.
    fn bind(&self, mut payment: Payment, _asked: &Asked<'_>) -> Payment {
        let id = payment.proof["claims"]["sub"].as_str().and_then(|id| RequestId::parse(id).ok());
        if let (Some(id), Some(proof)) = (id, payment.proof.as_object_mut()) {
            proof.insert("expires".to_owned(), json!(id.expires().0));
        }
        payment
    }

    /// The offer that the request was made for. It was made here, for this method, URL and price, or for nothing.
    fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        let code = |code: Code| Reason::from_code(code.as_str());
        let seller = self.seller.as_ref().ok_or_else(|| code(Code::UnknownRequest))?;
        let moment = challenge.moment.as_ref().ok_or_else(|| code(Code::UnknownRequest))?;
        let token = payment.proof.get("token").and_then(Value::as_str).unwrap_or_default();
        let proof = Proof::read(token).map_err(|error| code(error.code()))?;
        let mut problem = Code::UnknownRequest;
        for offer in own(challenge) {
            let id = match seller.key.check(&proof.claims.sub, &terms(challenge, offer), moment.now) {
                Ok(id) => id,
                Err(error) => {
                    if error.code() == Code::Expired {
                        problem = Code::Expired;
                    }
                    continue;
                }
            };
            let request = seller.request(challenge, offer, &id, None);
            let request = request.ok_or_else(|| code(Code::UnknownRequest))?;
            let url = &challenge.resource.url;
            let place = Place { origin: origin(url), method: &moment.method, url };
            return match proof.check(&request, &place, Strictness::Profile, moment.now) {
                Ok(()) => Ok(offer),
                Err(error) => Err(code(error.code())),
            };
        }
        Err(code(problem))
    }

    fn reason<'r>(&self, reason: &'r Reason) -> &'r str {
        match reason {
            Reason::PaymentAlreadyUsed | Reason::NonceAlreadyUsed => Code::AlreadyUsed.as_str(),
            reason => reason.code(),
        }
    }

    fn write_receipt(&self, _receipt: &Receipt, _headers: &mut HeaderMap) {}

    fn read_receipt(&self, _headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        Ok(None)
    }
}

/// A request as an offer: what has to be signed for it stands in `extra`.
fn read_offer(request: &PaymentRequest) -> Option<Offer> {
    let network = request.network()?;
    let by_chain = if network.chain_id() == Some(WIDE.0) { WIDE.1 } else { DECIMALS };
    let decimals = request.more.decimals.unwrap_or(by_chain);
    let hash = format!("0x{}", data_encoding::HEXLOWER.encode(&request.hash()));
    let mut extra = Map::new();
    let texts = [
        ("id", Some(request.id.as_str())),
        ("currency", Some(request.currency.as_str())),
        ("chain", Some(request.chain.as_str())),
        ("nonce", Some(request.nonce.as_str())),
        ("facilitator", Some(request.facilitator.as_str())),
        ("contract", request.more.contract.as_deref()),
        ("requestHash", Some(hash.as_str())),
    ];
    extra.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text?)))));
    extra.insert("expires".to_owned(), json!(request.expires.0));
    Some(Offer {
        scheme: SCHEME.to_owned(),
        asset: request.more.token.clone().unwrap_or_else(|| request.currency.clone()),
        amount: request.amount.to_units(decimals)?,
        pay_to: request.seller.clone(),
        // A proof may be shown until the request has expired, and a while longer.
        timeout_s: LIFETIME_S + PROOF_GRACE_S,
        network,
        extra,
        price: None,
        dialect: Some(ID),
        currency: Some(Currency { symbol: request.currency.clone(), decimals }),
        verbatim: None,
    })
}

/// `https://host` of a URL.
fn origin(url: &str) -> &str {
    let Some(at) = url.find("://") else { return url };
    let end = url[at + 3..].find(['/', '?', '#']).map_or(url.len(), |end| at + 3 + end);
    &url[..end]
}
