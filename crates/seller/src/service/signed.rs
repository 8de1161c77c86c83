//! Who asks, where the id of a payment is not enough: its payer has signed what it asks for, and when.

use groat_core::Timestamp;
use http::StatusCode;
use http::request::Parts;

use url::Url;

use super::PaymentService;
use crate::canonical;
use crate::gate::{self, Reply};

/// When it was signed, in seconds.
const TIMESTAMP: &str = "x-payment-timestamp";
const SIGNATURE: &str = "x-payment-signature";
/// So old a signature may be. Whoever shows it again until then gets what its payer got.
const AGE_S_MAX: u64 = 300;
/// So far the payer's clock may be ahead.
const AHEAD_S_MAX: u64 = 60;

impl PaymentService {
    /// What a payer signs so that no other service can use its signature: our own origin, as everybody knows it, or as it was
    /// asked for on this machine.
    pub(super) fn own_origin(&self, parts: &Parts) -> Result<String, Reply> {
        let url = canonical::request_url(parts, self.shop.public_url.as_ref()).map_err(gate::wrong_host)?;
        Ok(Url::parse(&url).map(|url| url.origin().ascii_serialization()).unwrap_or_default())
    }

    /// Whether the account has signed, not long ago, that it asks this service, and no other, for `what`.
    pub(super) fn check_signed(&self, parts: &Parts, account: &str, what: &str) -> Result<(), Reply> {
        let field = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let origin = self.own_origin(parts)?;
        let at = field(TIMESTAMP).and_then(|at| at.parse().ok()).map(Timestamp);
        let is_good = at.zip(field(SIGNATURE)).is_some_and(|(at, signature)| {
            let now = self.shop.now();
            let is_fresh = now <= at.plus(AGE_S_MAX) && at <= now.plus(AHEAD_S_MAX);
            let text = format!("x402-payments/1\n{origin}\n{what}\n{at}");
            is_fresh && self.shop.mechanisms.iter().any(|one| one.has_signed(account, &text, signature))
        });
        if is_good {
            return Ok(());
        }
        let told = format!(
            "the payer signs these lines as a message: `x402-payments/1`, `{origin}`, `{what}`, the time in seconds; the \
             time, of the last {AGE_S_MAX} seconds, goes into {TIMESTAMP} and the signature into {SIGNATURE}"
        );
        Err(Reply::error(StatusCode::UNAUTHORIZED, "not_signed", &told))
    }
}
