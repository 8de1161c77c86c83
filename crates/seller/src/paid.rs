//! What a handler learns of the payment that bought its run.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use groat_core::{Amount, Network, PaymentId, Receipt};
use http::StatusCode;
use http::request::Parts;

/// The payment behind a request; an axum extractor and a request extension.
///
/// On routes that settle after the handler (`GET` by default) the money has not moved yet: `receipt` is `None`.
#[derive(Debug, Clone)]
pub struct Paid {
    /// The id of the payment: the same for a resend, so it is a good idempotency key for what the handler does.
    pub payment_id: PaymentId,
    /// Who pays, in the spelling of the mechanism; `None` where the facilitator does not say.
    pub payer: Option<String>,
    /// Atomic units.
    pub amount: Amount,
    /// The token.
    pub asset: String,
    /// The chain.
    pub network: Network,
    /// The proof, on routes that settle before the handler.
    pub receipt: Option<Receipt>,
    /// Whether this request shows a pass instead of a payment. Then all of this is of the payment that the pass was given
    /// for, and several requests have the same id.
    pub by_pass: bool,
    /// Whether this request shows access that was bought before, such as a subscription. Then nothing was charged for it:
    /// `amount` is zero, and the id stands for the access, the same for all its requests.
    pub by_access: bool,
}

/// The answer to a handler that asks for [`Paid`] on a route without a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this handler takes `Paid`, but its route has no price: add `.layer(pay.price(\"$0.01\"))`")]
pub struct NotPaid;

impl IntoResponse for NotPaid {
    fn into_response(self) -> Response {
        tracing::error!("{self}");
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Paid {
    type Rejection = NotPaid;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NotPaid> {
        parts.extensions.get::<Self>().cloned().ok_or(NotPaid)
    }
}
