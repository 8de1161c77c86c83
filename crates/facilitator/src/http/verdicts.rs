//! `/verify`, `/settle`, `/supported`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use groat_core::books::SettlementState;
use groat_core::payment::ReceiptOutcome;
use groat_core::{Failure, Fault, Offer, Payment, Receipt};
use groat_wire::WireError;
use groat_wire::facilitator::{
    Request, RequestError, SettleResponse, VerifyResponse, read_request, write_supported,
};
use serde_json::Value;

use super::Service;
use super::body::{fault, json_body, read};
use super::callers::Admitted;

pub(super) async fn verify(
    State(service): State<Service>,
    caller: Admitted,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request = match read(&headers, body).await {
        Ok(bytes) => read_request(&bytes),
        Err(answer) => return answer,
    };
    let Request { version, payment, offer } = match request {
        Ok(request) => request,
        Err(error) => return unreadable(&error, error.verify_body()),
    };
    let verdict = match caller.allows(&service, &offer.network, &offer.asset, &offer.pay_to) {
        Ok(()) => service.facilitator.verify(&payment, &offer).await,
        Err(refusal) => Err(refusal.into()),
    };
    count("verify", verdict.as_ref().err());
    match verdict {
        Ok(claim) => {
            json_body(StatusCode::OK, &VerifyResponse::Valid { payer: Some(claim.payer) }.write(version))
        }
        Err(Failure::Refused(refusal)) => {
            json_body(StatusCode::OK, &VerifyResponse::Refused(refusal).write(version))
        }
        Err(Failure::Fault(trouble)) => fault(&trouble),
    }
}

pub(super) async fn settle(
    State(service): State<Service>,
    caller: Admitted,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request = match read(&headers, body).await {
        Ok(bytes) => read_request(&bytes),
        Err(answer) => return answer,
    };
    let Request { version, payment, offer } = match request {
        Ok(request) => request,
        Err(error) => return unreadable(&error, error.settle_body()),
    };
    let verdict = match caller.allows(&service, &offer.network, &offer.asset, &offer.pay_to) {
        Ok(()) => service.facilitator.settle(&payment, &offer).await,
        Err(refusal) => match is_known(&service, &payment, &offer).await {
            // The list has been shortened since it was submitted.
            Ok(true) => service.facilitator.settle(&payment, &offer).await,
            Ok(false) => Err(refusal.into()),
            Err(trouble) => Err(trouble.into()),
        },
    };
    count("settle", verdict.as_ref().err());
    let answer = match verdict {
        Ok(receipt) => SettleResponse::from(receipt),
        Err(Failure::Refused(refusal)) => SettleResponse::refused(refusal, offer.network),
        // Not known is an answer of its own, with the transaction, so that a client asks again (I6).
        Err(Failure::Fault(Fault::Pending { transaction: Some(transaction) })) => {
            SettleResponse::from(Receipt {
                outcome: ReceiptOutcome::Pending,
                network: offer.network,
                transaction: Some(transaction),
                payer: None,
                amount: None,
            })
        }
        Err(Failure::Fault(trouble)) => return fault(&trouble),
    };
    json_body(StatusCode::OK, &answer.write(version))
}

pub(super) async fn supported(State(service): State<Service>) -> Response {
    match service.facilitator.supported().await {
        Ok(supported) => json_body(StatusCode::OK, &write_supported(&supported)),
        Err(trouble) => fault(&trouble),
    }
}

/// Whether money may have moved for a payment already. Such a one is answered from the book and never refused.
async fn is_known(service: &Service, payment: &Payment, offer: &Offer) -> Result<bool, Fault> {
    let mut speaking = service.mechanisms.iter().filter(|mechanism| mechanism.speaks(&offer.network));
    let Some((key, _)) = speaking.find_map(|mechanism| mechanism.key(payment, offer).ok()) else {
        return Ok(false);
    };
    let status = service.facilitator.status(&key.id()).await?;
    Ok(status.is_some_and(|status| status.state != SettlementState::Released))
}

/// A body that is no request is the client's mistake; one with wrong parts gets its verdict.
fn unreadable(error: &RequestError, body: Value) -> Response {
    let status = match error {
        RequestError::Undecodable(WireError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        RequestError::Undecodable(_) => StatusCode::BAD_REQUEST,
        RequestError::Refused { .. } => StatusCode::OK,
    };
    json_body(status, &body)
}

fn count(operation: &'static str, failure: Option<&Failure>) {
    let outcome = match failure {
        None => "ok",
        Some(Failure::Refused(_)) => "refused",
        Some(Failure::Fault(Fault::Pending { .. })) => "pending",
        Some(Failure::Fault(_)) => "fault",
    };
    metrics::counter!("groat_facilitator_requests_total", "operation" => operation, "outcome" => outcome)
        .increment(1);
}
