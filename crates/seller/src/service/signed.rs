//! Who asks, where the id of a payment is not enough: its payer has signed what it asks for, and when.

use groat_core::Timestamp;
use http::StatusCode;
use http::request::Parts;

use super::PaymentService;
use crate::gate::Reply;

/// When it was signed, in seconds.
const TIMESTAMP: &str = "x-payment-timestamp";
const SIGNATURE: &str = "x-payment-signature";
/// So old a signature may be. Whoever shows it again until then gets what its payer got.
const AGE_S_MAX: u64 = 300;
/// So far the payer's clock may be ahead.
const AHEAD_S_MAX: u64 = 60;

impl PaymentService {
    /// Whether the account has signed, not long ago, that it asks this service, and no other, for `what`.
    pub(super) fn check_signed(&self, parts: &Parts, account: &str, what: &str) -> Result<(), Reply> {
        let field = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let at = field(TIMESTAMP).and_then(|at| at.parse().ok()).map(Timestamp);
        let is_good = at.zip(field(SIGNATURE)).is_some_and(|(at, signature)| {
            let now = self.shop.now();
            let is_fresh = now <= at.plus(AGE_S_MAX) && at <= now.plus(AHEAD_S_MAX);
            let text = format!("x402-payments/1\n{}\n{what}\n{at}", self.shop.passes.issuer());
            is_fresh && self.shop.mechanisms.iter().any(|one| one.has_signed(account, &text, signature))
        });
        if is_good {
            return Ok(());
        }
        let told = format!(
            "the payer signs these lines as a message: `x402-payments/1`, `{}`, `{what}`, the time in seconds; the \
             time, of the last {AGE_S_MAX} seconds, goes into {TIMESTAMP} and the signature into {SIGNATURE}",
            self.shop.passes.issuer()
        );
        Err(Reply::error(StatusCode::UNAUTHORIZED, "not_signed", &told))
    }
}
