//! What is known of a payment: by its id, or by the authorization that everybody who has the payload can name.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use groat_core::payment::DialectId;
use groat_core::{Amount, Network, Offer, Payment, PaymentId};
use serde::Deserialize;
use serde_json::json;

use super::Service;
use super::body::{error, fault, json_body};
use super::callers::Admitted;
use crate::status;

pub(super) async fn by_id(
    State(service): State<Service>,
    caller: Admitted,
    Path(id): Path<String>,
) -> Response {
    match PaymentId::parse(&id) {
        Ok(id) => answer(&service, &caller, &id).await,
        Err(problem) => error(StatusCode::BAD_REQUEST, "invalid_payment_id", &problem.to_string()),
    }
}

/// An EIP-3009 authorization by what makes it unique.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authorization {
    network: String,
    asset: String,
    from: String,
    nonce: String,
}

pub(super) async fn by_authorization(
    State(service): State<Service>,
    caller: Admitted,
    query: Result<Query<Authorization>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let wrong = |message: &str| error(StatusCode::BAD_REQUEST, "invalid_query", message);
    let Ok(Query(query)) = query else { return wrong("ask with network, asset, from and nonce") };
    let Ok(network) = Network::parse(&query.network) else {
        return wrong("network is a CAIP-2 or x402 v1 name");
    };
    let (payment, offer) = carrier(network, query);
    let key = service
        .mechanisms
        .iter()
        .filter(|mechanism| mechanism.speaks(&offer.network))
        .find_map(|mechanism| mechanism.key(&payment, &offer).ok());
    match key {
        Some((key, _)) => answer(&service, &caller, &key.id()).await,
        None => wrong("asset and from are accounts, nonce is 0x and 64 hex digits"),
    }
}

/// The least payment and offer that a mechanism can read the key from.
fn carrier(network: Network, query: Authorization) -> (Payment, Offer) {
    let payment = Payment {
        dialect: DialectId::new("x402-v2"),
        scheme: "exact".to_owned(),
        network: network.clone(),
        proof: json!({
            "authorization": {
                "from": query.from, "to": query.asset, "value": "0",
                "validAfter": "0", "validBefore": "0", "nonce": query.nonce,
            },
            "signature": "0x",
        }),
        accepted: None,
        resource: None,
        extensions: serde_json::Map::new(),
    };
    let offer = Offer {
        scheme: "exact".to_owned(),
        network,
        pay_to: query.asset.clone(),
        asset: query.asset,
        amount: Amount::ZERO,
        timeout_s: 0,
        extra: serde_json::Map::new(),
        price: None,
        dialect: None,
        currency: None,
        verbatim: None,
    };
    (payment, offer)
}

async fn answer(service: &Service, caller: &Admitted, id: &PaymentId) -> Response {
    match service.facilitator.status(id).await {
        Ok(Some(status)) => {
            match caller.allows(service, &status.network, &status.asset, &status.pay_to) {
                Ok(()) => json_body(StatusCode::OK, &status::write(&status)),
                // Not 404: that would say that no money has moved.
                Err(refusal) => error(
                    StatusCode::FORBIDDEN,
                    refusal.reason.code(),
                    refusal.message.as_deref().unwrap_or_default(),
                ),
            }
        }
        Ok(None) => {
            error(StatusCode::NOT_FOUND, status::NOT_FOUND, "this facilitator has never held this payment")
        }
        Err(trouble) => fault(&trouble),
    }
}
