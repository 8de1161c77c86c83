//! Everything that can be said to somebody who sent a payment.

use std::sync::Arc;

use groat_core::books::Answer;
use groat_core::payment::{DialectId, ReceiptOutcome};
use groat_core::{Challenge, Fault, Network, PaymentId, Reason, Receipt, Refusal};
use http::header::LINK;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::{Reply, challenge, headers};
use crate::route::Route;

/// Answers in the payer's dialect, for one request.
pub(crate) struct Desk {
    pub(crate) route: Arc<Route>,
    pub(crate) challenge: Challenge,
    pub(crate) dialect: DialectId,
    pub(crate) network: Network,
}

impl Desk {
    /// The payment is at fault: the challenge again, with the reason.
    pub(crate) fn refused(&self, refusal: &Refusal) -> Reply {
        match refusal.reason {
            Reason::PaymentInProgress => return self.in_progress(),
            Reason::SettlementPending => return self.pending(None),
            _ => {}
        }
        // The spelling of the official TypeScript SDK; its clients do not pay again on 412.
        let needs_allowance = refusal.reason.code() == "permit2_allowance_required";
        let status =
            if needs_allowance { StatusCode::PRECONDITION_FAILED } else { StatusCode::PAYMENT_REQUIRED };
        let code = self.route.shop.dialects.reason(&self.dialect, &refusal.reason);
        self.again(status, code, refusal.message.as_deref())
    }

    /// The challenge again, under any status.
    pub(crate) fn again(&self, status: StatusCode, code: &str, message: Option<&str>) -> Reply {
        let challenge = Challenge { error: code.to_owned(), ..self.challenge.clone() };
        challenge::encode(&self.route.shop.dialects, status, &challenge, message)
    }

    /// A settlement was tried and the money definitely did not move.
    pub(crate) fn failed(&self, refusal: &Refusal) -> Reply {
        let reply = self.refused(refusal);
        let outcome = ReceiptOutcome::Failed(refusal.reason.clone());
        self.with_receipt(reply, &self.receipt(outcome, refusal.transaction.clone(), refusal.payer.clone()))
    }

    /// The money may have moved. Never a bare 402: a payer would sign again and pay twice (invariant I6).
    pub(crate) fn pending(&self, transaction: Option<String>) -> Reply {
        let body = json!({
            "error": Reason::SettlementPending.code(),
            "message": "the outcome is not known yet: send the same payment again, never a new one",
            "transaction": transaction,
        });
        let reply = Reply::json(StatusCode::SERVICE_UNAVAILABLE, &body).retry_after(2);
        self.with_receipt(reply, &self.receipt(ReceiptOutcome::Pending, transaction, None))
    }

    /// We cannot tell or cannot act, and nothing has moved.
    pub(crate) fn fault(&self, fault: &Fault) -> Reply {
        tracing::warn!(%fault, "a payment cannot be worked on");
        let (status, code) = match fault {
            Fault::Pending { transaction } => return self.pending(transaction.clone()),
            Fault::Unavailable { what, .. } => (StatusCode::SERVICE_UNAVAILABLE, *what),
            Fault::Garbled { what, .. } => (StatusCode::BAD_GATEWAY, *what),
        };
        let message = "nothing was taken: send the same payment again later";
        Reply::error(status, &format!("{code}_unavailable"), message).retry_after(fault.retry_after_s())
    }

    /// The same payment is being worked on for another request, or elsewhere.
    pub(crate) fn in_progress(&self) -> Reply {
        let message = "this payment is being worked on: send the same request again later";
        Reply::error(StatusCode::CONFLICT, Reason::PaymentInProgress.code(), message).retry_after(2)
    }

    /// Paid, and a run with side effects was cut off: it is not repeated (kill point KP10).
    pub(crate) fn refund_due(&self, receipt: &Receipt) -> Reply {
        let message = "paid, but the answer was lost in a crash and the request is not safe to repeat: ask for a refund";
        self.with_receipt(Reply::error(StatusCode::CONFLICT, "refund_due", message), receipt)
    }

    /// Paid and served: the answer and the proof.
    pub(crate) fn done(&self, answer: &Answer, receipt: &Receipt) -> Reply {
        match Reply::from_answer(answer) {
            Some(mut reply) => {
                self.decorate(&mut reply.headers, receipt);
                reply
            }
            None => {
                let message = "paid and delivered once; the answer was too large to be kept";
                self.with_receipt(Reply::error(StatusCode::GONE, "answer_not_kept", message), receipt)
            }
        }
    }

    /// Served, and not paid yet: the answer, and where to ask what became of the money. `None` when it was not kept.
    pub(crate) fn on_credit(&self, answer: &Answer, id: &PaymentId) -> Option<Reply> {
        let mut reply = Reply::from_answer(answer)?;
        headers::keep_private(&mut reply.headers);
        headers::vary(&mut reply.headers);
        let status = HeaderValue::try_from(format!("</x402/payments/{id}>; rel=\"status\"")).ok()?;
        reply.headers.append(LINK, status);
        Some(reply)
    }

    /// Adds to a paid answer what only we may say.
    pub(crate) fn decorate(&self, fields: &mut http::HeaderMap, receipt: &Receipt) {
        self.route.shop.dialects.write_receipt(&self.dialect, receipt, fields);
        headers::keep_private(fields);
        headers::vary(fields);
    }

    fn with_receipt(&self, mut reply: Reply, receipt: &Receipt) -> Reply {
        self.route.shop.dialects.write_receipt(&self.dialect, receipt, &mut reply.headers);
        reply
    }

    fn receipt(
        &self,
        outcome: ReceiptOutcome,
        transaction: Option<String>,
        payer: Option<String>,
    ) -> Receipt {
        Receipt { outcome, network: self.network.clone(), transaction, payer, amount: None, settled_at: None }
    }
}
