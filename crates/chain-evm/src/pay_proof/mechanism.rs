//! The scheme `x402-pay`: a request is paid through a contract that emits `PaymentSettled`, and a signed proof names the
//! transaction.
//!
//! The proof as JSON, made by the dialect of what it read: `{algorithm, signingInput, signature, claims: {…}, expires}`.

use alloy_primitives::Address;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use groat_core::key::KeyKind;
use groat_core::offer::{Ask, Currency};
use groat_core::payment::DialectId;
use groat_core::ports::{Mechanism, Token};
use groat_core::{Amount, Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp};
use serde_json::{Map, Value, json};

use super::PayProof;
use super::digest::Claims;
use crate::{Chain, account, assets};

/// The scheme.
pub(crate) const SCHEME: &str = "x402-pay";
/// A request can be paid until it expires; a proof may come so much later.
pub(super) const PROOF_GRACE_S: u64 = 300;
/// The one dialect that can say it.
const DIALECT: DialectId = DialectId::new("want-pay");

/// Payment of requests by proof on EVM.
#[derive(Debug, Clone, Default)]
pub struct PayProofEvm {
    pub(super) chains: Vec<Chain>,
    pub(super) contracts: Vec<(Network, Address)>,
}

impl PayProofEvm {
    /// For sellers and buyers who know these contracts: one each chain, and no other is believed or paid.
    pub fn knowing(contracts: Vec<(Network, Address)>) -> Self {
        Self { contracts, ..Self::default() }
    }

    /// The same with nodes: for facilitators, who look at them, and buyers, who send transactions there.
    #[must_use]
    pub fn on(mut self, chains: Vec<Chain>) -> Self {
        self.chains = chains;
        self
    }

    pub(super) fn contract(&self, network: &Network) -> Option<Address> {
        self.contracts.iter().find(|(of, _)| of == network).map(|(_, contract)| *contract)
    }

    pub(super) fn chain(&self, network: &Network) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.network() == network)
    }
}

/// A proof as it lies in a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    algorithm: String,
    signing_input: String,
    signature: Vec<u8>,
    claims: Map<String, Value>,
    /// The last second in which a block may hold the payment; the gate knows it from the request.
    pub(super) expires: Option<Timestamp>,
}

impl Shown {
    pub(super) fn read(value: &Value) -> Result<Self, Reason> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).ok_or(Reason::InvalidPayload);
        let digits = text("signature")?.trim_start_matches("0x");
        Ok(Self {
            algorithm: text("algorithm")?.to_owned(),
            signing_input: text("signingInput")?.to_owned(),
            signature: alloy_primitives::hex::decode(digits).map_err(|_| Reason::InvalidPayload)?,
            claims: value.get("claims").and_then(Value::as_object).ok_or(Reason::InvalidPayload)?.clone(),
            expires: value.get("expires").and_then(Value::as_u64).map(Timestamp),
        })
    }

    pub(super) fn claim(&self, key: &str) -> &str {
        self.claims.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether the claims are those of the token that was signed. What a seller has read out of it fits; a payment that came
    /// another way may say anything beside a signature over something else (threat row T07).
    pub(super) fn says_what_was_signed(&self) -> bool {
        let signed = self.signing_input.split('.').nth(1).and_then(|part| BASE64.decode(part).ok());
        let signed = signed.and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes).ok());
        signed.is_some_and(|signed| self.claims.iter().all(|(name, value)| signed.get(name) == Some(value)))
    }

    fn second(&self, key: &str) -> u64 {
        self.claims.get(key).and_then(Value::as_u64).unwrap_or_default()
    }

    /// As it is verified.
    pub(super) fn proof(&self, chain_id: u64) -> PayProof<'_> {
        let claims = Claims {
            iss: self.claim("iss"),
            sub: self.claim("sub"),
            amount: self.claim("amount"),
            currency: self.claim("currency"),
            chain: self.claim("chain"),
            tx: self.claim("tx"),
            iat: self.second("iat"),
            exp: self.second("exp"),
            nonce: self.claim("nonce"),
            aud: self.claim("aud"),
            htm: self.claim("htm"),
            htu: self.claim("htu"),
            jti: self.claim("jti"),
        };
        let (algorithm, signing_input) = (self.algorithm.as_str(), self.signing_input.as_str());
        PayProof { algorithm, signing_input, signature: &self.signature, claims, chain_id }
    }
}

impl Mechanism for PayProofEvm {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        self.contract(network).is_some()
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        if terms.scheme != SCHEME {
            return Ok(None);
        }
        let network = &terms.network;
        let contract = self
            .contract(network)
            .ok_or_else(|| format!("no contract for payments of requests is known on {network}: name one"))?;
        let pay_to = account::parse(&terms.pay_to).filter(|account| !account.is_zero());
        let pay_to =
            pay_to.ok_or_else(|| format!("`{}` is not an account that can be paid", terms.pay_to))?;
        let (known, amount) = match &terms.price {
            Ask::Price(price) => {
                let known = assets::for_price(network, price.ticker())
                    .ok_or_else(|| format!("no dollar token is known on {network}"))?;
                (known, price.to_units(known.decimals).map_err(|error| error.to_string())?)
            }
            Ask::Units { asset, amount, .. } => {
                let known = account::parse(asset).and_then(|asset| assets::find(network, asset));
                (known.ok_or_else(|| format!("`{asset}` is not a token whose symbol is known"))?, *amount)
            }
        };
        if amount.is_zero() {
            return Err("a price of zero sells for nothing: leave the route unpriced instead".to_owned());
        }
        Ok(Some(Offer {
            scheme: SCHEME.to_owned(),
            network: network.clone(),
            asset: account::text(known.asset),
            amount,
            pay_to: account::text(pay_to),
            timeout_s: terms.timeout_s,
            extra: [("contract".to_owned(), json!(account::text(contract)))].into_iter().collect(),
            price: Some(format!("${}", amount.to_decimal(known.decimals))),
            dialect: Some(DIALECT),
            currency: Some(Currency { symbol: known.symbol.clone(), decimals: known.decimals }),
            verbatim: None,
        }))
    }

    /// Seller and request id: a request is paid once, whatever is signed for it.
    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let seller = account::parse(&offer.pay_to).ok_or(Reason::InvalidRequirements)?;
        let shown = Shown::read(&payment.proof)?;
        let id = shown.claim("sub");
        if id.is_empty() {
            return Err(Reason::InvalidPayload);
        }
        let parts: [&[u8]; 2] = [seller.as_slice(), id.as_bytes()];
        // As long as any proof of it may be shown, which can be longer than this one.
        let valid_until = match shown.expires {
            Some(expires) => expires.plus(PROOF_GRACE_S),
            None => Timestamp(shown.second("exp")),
        };
        Ok((PaymentKey::new(KeyKind::Request, &offer.network, &parts), valid_until))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        account::parse(one).is_some_and(|account| Some(account) == account::parse(other))
    }

    fn is_paid_before(&self) -> bool {
        true
    }

    fn token(&self, network: &Network, asset: &str) -> Option<Token> {
        let known = find(network, asset)?;
        Some(Token { symbol: &known.symbol, decimals: known.decimals, unit_usd_micros: Some(Token::DOLLAR) })
    }
}

/// A token by its contract or, where a request names none, by its symbol.
pub(super) fn find(network: &Network, asset: &str) -> Option<&'static assets::Asset> {
    match account::parse(asset) {
        Some(asset) => assets::find(network, asset),
        None => assets::for_price(network, Some(asset)),
    }
}

/// Whole units as a request says them.
pub(super) fn decimal(amount: Amount, decimals: u8) -> String {
    amount.to_decimal(decimals)
}
