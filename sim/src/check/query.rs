//! What everybody is told who asks what became of a payment, compared with the chain.

use axum::body::Body;
use groat_core::PaymentId;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::Evidence;
use crate::chain::{Account, hash_text};

pub(super) async fn check(evidence: &Evidence<'_>) {
    for deal in &evidence.deals {
        let transfer = evidence.transfer(&deal.authorization.id());
        let is_ours = transfer.is_some_and(|transfer| transfer.sender == Account::GAS);
        let transfer = transfer.map(|transfer| hash_text(transfer.hash));
        if let Some(problem) = compare(evidence, &deal.id, transfer, is_ours).await {
            evidence.broken(deal, "what is told of a payment is what the chain says", problem);
        }
    }
    for outlay in &evidence.outlays {
        for id in &outlay.ids {
            let paid = evidence.ledger.direct.get(&outlay.hash).map(|_| hash_text(outlay.hash));
            if let Some(problem) = compare(evidence, id, paid, false).await
                && !evidence.world.chain.is_direct_shaken(outlay.hash)
            {
                evidence.world.stage.broken("what is told of a payment is what the chain says", problem);
            }
        }
    }
}

/// Asks the seller; the sentence says what is wrong.
async fn compare(
    evidence: &Evidence<'_>,
    id: &PaymentId,
    on_chain: Option<String>,
    is_ours: bool,
) -> Option<String> {
    let Some(live) = evidence.world.seller.place.live() else { return Some("the seller is gone".to_owned()) };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = format!("/x402/payments/{id}").parse().ok()?;
    let Ok(response) = live.service.desk.clone().oneshot(request).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    let told: Value = serde_json::from_slice(&body).ok()?;
    let text = format!("{id}: {status} {told}, on chain {on_chain:?}");
    match (status, told["money_taken"].as_str(), told["tx"].as_str()) {
        (200, Some("yes"), transaction) => (transaction != on_chain.as_deref()).then_some(text),
        // What we have sent ourselves is never said not to have moved.
        (404, ..) | (200, Some("no"), _) => is_ours.then_some(text),
        _ => Some(text),
    }
}
