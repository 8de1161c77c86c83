//! Payments by something else than their id: what a payer has that kept only what it signed.

use axum::body::Body;
use groat_core::{Network, PaymentId};
use groat_wire::idempotency;
use http::request::Parts;
use http::{Response, StatusCode};
use url::form_urlencoded;

use super::PaymentService;
use super::tell::unknown_payment;
use crate::gate::Reply;

/// No authorization is longer than a chain, two accounts and a nonce.
const AUTHORIZATION_SIZE_BYTES_MAX: usize = 512;

impl PaymentService {
    /// What became of the payment that the query names.
    pub(super) async fn search(&self, parts: &Parts) -> Result<Response<Body>, Reply> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let named =
            |name| pairs.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_ref());
        let mut by = named("authorization").map(Ok).chain(named("idempotency_key").map(Err));
        let id = match (by.next(), by.next()) {
            (Some(Ok(authorization)), None) => {
                self.of_authorization(authorization).map_err(|told| wrong(&told))?
            }
            (Some(Err(key)), None) => {
                idempotency::check(key).map_err(|error| wrong(&error.to_string()))?;
                let payer = named("payer")
                    .next()
                    .ok_or_else(|| wrong("say whose key it is: &payer=ACCOUNT, and sign it"))?;
                self.check_signed(parts, payer, &format!("idempotency_key {key}"))?;
                self.of_key(payer, key).await?.ok_or_else(unknown_payment)?
            }
            _ => {
                return Err(wrong(
                    "say which payment, once: /x402/payments/ID, ?authorization=CHAIN:TOKEN:AUTHORIZER:NONCE, or \
                     ?idempotency_key=KEY&payer=ACCOUNT",
                ));
            }
        };
        self.payment(&id.to_string()).await
    }

    /// The id of the payment with this chain, token, payer and nonce, whatever the spelling.
    fn of_authorization(&self, text: &str) -> Result<PaymentId, String> {
        if text.len() > AUTHORIZATION_SIZE_BYTES_MAX {
            return Err(format!("an authorization has at most {AUTHORIZATION_SIZE_BYTES_MAX} bytes"));
        }
        let parts = || {
            let (chain, rest) = split_chain(text)?;
            let (token, rest) = rest.split_once(':')?;
            // Some accounts have a colon in them.
            let (authorizer, nonce) = rest.rsplit_once(':')?;
            Some((chain, token, authorizer, nonce))
        };
        let (chain, token, authorizer, nonce) = parts()
            .ok_or("an authorization is CHAIN:TOKEN:AUTHORIZER:NONCE, such as eip155:84532:0x…:0x…:0x…")?;
        let network = Network::parse(&chain).map_err(|error| format!("the chain is {error}"))?;
        for mechanism in self.shop.mechanisms.iter().filter(|mechanism| mechanism.speaks(&network)) {
            if let Some(key) = mechanism.key_of(&network, token, authorizer, nonce)? {
                return Ok(key.id());
            }
        }
        Err(format!("no payment on {network} is known by an authorization here"))
    }
}

/// The chain before an authorization, and the rest: `eip155:84532`, or only the number of an EVM chain.
fn split_chain(text: &str) -> Option<(String, &str)> {
    let (first, rest) = text.split_once(':')?;
    if first.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some((format!("eip155:{first}"), rest));
    }
    let (reference, rest) = rest.split_once(':')?;
    Some((format!("{first}:{reference}"), rest))
}

pub(super) fn wrong(told: &str) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, "invalid_request", told)
}
