//! Tokens that were given: whether one is good, and how it is taken back.

use axum::body::Body;
use groat_core::Fault;
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use super::PaymentService;
use crate::gate::{self, Reply, Standing};

const FORM_SIZE_BYTES_MAX: usize = 16 * 1024;

impl PaymentService {
    /// Whether a pass is good (RFC 7662). What is not one of ours is simply not active.
    pub(super) async fn introspect(&self, parts: &Parts, body: Body) -> Result<Response<Body>, Reply> {
        let told = "send token=… as a form (RFC 7662 section 2.1)";
        let token = self.token_of(parts, body, told).await?;
        let inactive = json!({ "active": false });
        let found = self.shop.passes.of_token(&self.shop.sales, &token, self.shop.now()).await;
        let Some(pass) = found.map_err(unavailable)? else {
            return Ok(Reply::json(StatusCode::OK, &inactive).response());
        };
        let answer = match gate::standing(&self.shop, &pass).await.map_err(unavailable)? {
            Standing::Good => json!({
                "active": true,
                "token_type": "Bearer",
                "scope": pass.scope,
                "iss": self.shop.passes.issuer(),
                "aud": self.shop.passes.issuer(),
                "sub": pass.payment,
                "jti": pass.payment,
                "iat": pass.issued_at.0,
                "exp": pass.expires_at.0,
                "x402": { "network": pass.network, "asset": pass.asset, "amount": pass.amount, "payer": pass.payer },
            }),
            _ => inactive,
        };
        Ok(Reply::json(StatusCode::OK, &answer).response())
    }

    /// Takes a token back, for whoever has it (RFC 7009). It is written down before the answer; what is no token of ours
    /// is good for nothing already.
    pub(super) async fn revoke(&self, parts: &Parts, body: Body) -> Result<Response<Body>, Reply> {
        let token = self.token_of(parts, body, "send token=… as a form (RFC 7009 section 2.1)").await?;
        let now = self.shop.now();
        let found = self.shop.passes.of_token(&self.shop.sales, &token, now).await.map_err(unavailable)?;
        if let Some(pass) = found {
            self.shop.passes.revoke(&pass, now).await.map_err(unavailable)?;
        }
        Ok(Reply::json(StatusCode::OK, &json!({})).response())
    }

    /// The one token of a form.
    async fn token_of(&self, parts: &Parts, body: Body, told: &str) -> Result<String, Reply> {
        let body = gate::whole(&self.shop, parts, body, FORM_SIZE_BYTES_MAX).await?;
        let mut tokens = form_urlencoded::parse(&body).filter(|(key, _)| key == "token");
        match (tokens.next(), tokens.next()) {
            (Some((_, token)), None) => Ok(token.into_owned()),
            _ => Err(Reply::error(StatusCode::BAD_REQUEST, "invalid_request", told)),
        }
    }
}

/// A token that was taken back, or whose money is not there any more, is not given again. One that is used up is, as it is
/// the token of its payment.
pub(super) fn may_be_given(standing: Standing) -> Result<(), Reply> {
    match standing {
        Standing::Good | Standing::UsedUp => Ok(()),
        Standing::Revoked => {
            let message = "the token of this payment was revoked: sign a new permit";
            Err(Reply::error(StatusCode::GONE, "pass_revoked", message))
        }
        Standing::Undone => {
            let message = "this payment was undone on its chain: GET /x402/payments/ID tells whether it comes again, and \
                only when it has failed is it time for a new permit";
            Err(Reply::error(StatusCode::CONFLICT, "payment_undone", message).retry_after(10))
        }
    }
}

pub(super) fn unavailable(fault: Fault) -> Reply {
    tracing::warn!(%fault, "a pass cannot be looked up");
    let message = "the pass cannot be looked up: ask again later";
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message)
        .retry_after(fault.retry_after_s())
}
