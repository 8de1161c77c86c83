//! A Payment Request as this facilitator understands it: the chain, the token and the price by our own tables, whatever
//! the request says of contracts.

use std::sync::PoisonError;

use axum::http::StatusCode;
use groat_core::books::Asked;
use groat_core::offer::Ask;
use groat_core::ports::{Mechanism, PayCurrency};
use groat_core::{Amount, Fault, Network, Offer, Terms};
use groat_wire::want_pay::request::PaymentRequest;
use serde_json::Value;

use super::V1;
use super::caller::Guest;
use super::reply::Reply;
use crate::http::Service;

/// So many seconds a list of currencies is good for: a contract changes it two days after it has said so.
const FRESH_S: u64 = 60;

/// A request that can be paid here.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) request: PaymentRequest,
    pub(super) network: Network,
    pub(super) currency: PayCurrency,
    pub(super) amount: Amount,
    /// What a payment of it is compared with.
    pub(super) offer: Offer,
}

fn unsupported(code: &str, detail: &str) -> Reply {
    Reply::problem(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

impl V1 {
    /// What the contract of a chain takes.
    pub(super) async fn currencies(&self, network: &Network) -> Result<Vec<PayCurrency>, Fault> {
        let now = self.now();
        let known = self.0.currencies.lock().unwrap_or_else(PoisonError::into_inner).get(network).cloned();
        if let Some((at, currencies)) = known
            && now < at.plus(FRESH_S)
        {
            return Ok(currencies);
        }
        let currencies = self.requests().chain().currencies(network).await?;
        let mut memory = self.0.currencies.lock().unwrap_or_else(PoisonError::into_inner);
        memory.insert(network.clone(), (now, currencies.clone()));
        Ok(currencies)
    }

    /// Reads a request that was parsed.
    pub(super) fn read_request(value: &Value) -> Result<PaymentRequest, Reply> {
        PaymentRequest::from_value(value).map_err(|error| Reply::malformed(&error.to_string()))
    }

    /// The request that a caller has told of before.
    pub(super) async fn told(&self, guest: &Guest, id: &str) -> Result<Asked, Reply> {
        let found = self.requests().find(guest.admitted.name(), id).await;
        found.map_err(|fault| Reply::fault(&fault))?.ok_or_else(|| {
            let detail = "no request of this id was told of here: POST it to /v1/requests, or send it as paymentRequest";
            Reply::problem(StatusCode::NOT_FOUND, "unknown_request", detail)
        })
    }

    /// What a request means here.
    pub(super) async fn order(&self, request: PaymentRequest) -> Result<Order, Reply> {
        let chain = self.requests().chain();
        let network = request.network().filter(|network| chain.speaks(network));
        let network = network.ok_or_else(|| {
            unsupported(
                "unsupported_chain",
                "requests on this chain cannot be paid through here: see /v1/supported",
            )
        })?;
        let currencies = self.currencies(&network).await.map_err(|fault| Reply::fault(&fault))?;
        let currency = currencies.into_iter().find(|currency| currency.symbol == request.currency);
        let same = |token: &str, other: &str| chain.same_account(token, other);
        let currency = currency
            .filter(|currency| request.more.token.as_deref().is_none_or(|token| same(token, &currency.token)))
            .filter(|currency| request.more.decimals.is_none_or(|decimals| decimals == currency.decimals));
        let currency = currency.ok_or_else(|| {
            unsupported(
                "unsupported_currency",
                "the contract takes no such token on this chain: see /v1/supported",
            )
        })?;
        let amount = request.amount.to_units(currency.decimals).ok_or_else(|| {
            unsupported("unsupported_amount", "`amount` is finer than the token, or larger than can be paid")
        })?;
        let terms = Terms {
            scheme: chain.scheme().to_owned(),
            network: network.clone(),
            price: Ask::Units { asset: currency.token.clone(), amount, extra: serde_json::Map::new() },
            pay_to: request.seller.clone(),
            timeout_s: 0,
        };
        let offer = match chain.offer(&terms) {
            Ok(Some(offer)) => offer,
            Ok(None) => return Err(unsupported("unsupported_currency", "it cannot be offered here")),
            Err(problem) => return Err(unsupported("unsupported_currency", &problem)),
        };
        Ok(Order { request, network, currency, amount, offer })
    }

    /// Whether the caller's key is good for it.
    pub(super) fn allow(&self, service: &Service, guest: &Guest, order: &Order) -> Result<(), Reply> {
        let Offer { network, asset, pay_to, .. } = &order.offer;
        guest.admitted.allows(service, network, asset, pay_to).map_err(|refusal| {
            let detail = refusal.message.clone().unwrap_or_default();
            Reply::problem(StatusCode::FORBIDDEN, refusal.reason.code(), &detail)
        })
    }
}

impl Order {
    /// Whether an account is the one that the request pays.
    pub(super) fn pays(&self, mechanism: &(impl Mechanism + ?Sized), seller: &str) -> bool {
        mechanism.same_account(&self.request.seller, seller)
    }
}
