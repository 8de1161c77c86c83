//! `/verify`, `/settle`, `/supported`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use groat_core::books::SettlementState;
use groat_core::payment::ReceiptOutcome;
use groat_core::{Failure, Fault, Offer, Payment, PaymentId, Reason, Receipt, Refusal};
use groat_wire::WireError;
use groat_wire::facilitator::{
    Request, RequestError, SettleResponse, VerifyResponse, read_request, write_supported,
};
use serde_json::Value;

use super::Service;
use super::body::{error, fault, json_body, read};
use super::budget::Budget;
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
            if let Some(budget) = caller.budget() {
                match budget.promise(claim.key.id()).await {
                    Ok(true) => {}
                    Ok(false) => return spent(budget),
                    Err(trouble) => return fault(&trouble),
                }
            }
            json_body(StatusCode::OK, &VerifyResponse::Valid { payer: Some(claim.payer) }.write(version))
        }
        Err(Failure::Refused(refusal)) => {
            json_body(StatusCode::OK, &VerifyResponse::Refused(refusal).write(version))
        }
        // In words of the protocol: a body that is no verdict looks like a facilitator that is broken.
        Err(Failure::Fault(Fault::Pending { transaction })) => {
            let refusal = Refusal { transaction, ..Reason::SettlementPending.into() };
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
    let allowed = caller.allows(&service, &offer.network, &offer.asset, &offer.pay_to);
    let verdict = match (allowed, caller.budget()) {
        (Ok(()), None) => service.facilitator.settle(&payment, &offer).await,
        (allowed, budget) => match (unknown(&service, &payment, &offer).await, allowed, budget) {
            // The list may have been shortened since it was submitted; and it costs nothing more.
            (Ok(None), ..) => service.facilitator.settle(&payment, &offer).await,
            (Ok(Some(_)), Err(refusal), _) => Err(refusal.into()),
            (Ok(Some(id)), Ok(()), Some(budget)) => {
                let settled = budget.settle(&service.facilitator, id, payment.clone(), offer.clone()).await;
                match settled.transpose() {
                    Some(verdict) => verdict,
                    // A copy of it may have been settled meanwhile.
                    None => match unknown(&service, &payment, &offer).await {
                        Ok(None) => service.facilitator.settle(&payment, &offer).await,
                        _ => return spent(budget),
                    },
                }
            }
            (Ok(Some(_)), Ok(()), None) => service.facilitator.settle(&payment, &offer).await,
            (Err(failure), ..) => Err(failure),
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
                settled_at: None,
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

/// The id of a payment for which no money can have moved yet; any other is answered from the book and never refused.
async fn unknown(service: &Service, payment: &Payment, offer: &Offer) -> Result<Option<PaymentId>, Failure> {
    let mut speaking = service.mechanisms.iter().filter(|mechanism| mechanism.speaks(&offer.network));
    let key = speaking.find_map(|mechanism| mechanism.key(payment, offer).ok());
    let (key, _) = key.ok_or(Reason::InvalidPayload)?;
    let status = service.facilitator.status(&key.id()).await?;
    let known = status.is_some_and(|status| status.state != SettlementState::Released);
    Ok((!known).then(|| key.id()))
}

/// Trouble of the caller with its operator, and of no payment.
fn spent(budget: &Budget) -> Response {
    let message = "the gas that may be spent for this API key in a day is spent: try again tomorrow, or ask the operator for \
                   more";
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, "gas_budget_spent", message);
    response.headers_mut().insert(header::RETRY_AFTER, budget.renewed_in_s().into());
    response
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
