//! The token of a payment, once more: for whoever has paid and lost it. Nothing is ever charged here.

use axum::body::Body;
use groat_core::books::{Sale, SaleState};
use groat_core::{PaymentId, Reason};
use groat_wire::token::{Given, write_given};
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::json;

use super::order::{ORDER_SIZE_BYTES_MAX, expired};
use super::tell::{status_unavailable, unknown_payment};
use super::{PaymentService, tokens};
use crate::gate::{self, Reply};

impl PaymentService {
    /// Gives the token of a settled payment again: the same, with the same end. To its payer, who sends the same order or
    /// signs for it.
    pub(super) async fn again(&self, parts: &Parts, id: &str, body: Body) -> Result<Response<Body>, Reply> {
        let id = PaymentId::parse(id).map_err(|_| unknown_payment())?;
        let body = gate::whole(&self.shop, parts, body, ORDER_SIZE_BYTES_MAX).await?;
        let held =
            self.shop.sales.load(&id).await.map_err(status_unavailable)?.ok_or_else(unknown_payment)?;
        let sale = held.sale();
        let receipt = match &sale.state {
            SaleState::Done { receipt, .. } => receipt,
            // Paid and not done may still be given back, and buy something else.
            SaleState::Held { .. } | SaleState::Served { .. } | SaleState::Paid { .. } => {
                let message = "the outcome is not known yet: ask again later, or send the same permit again";
                let code = Reason::SettlementPending.code();
                return Err(Reply::error(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(2));
            }
            SaleState::Withheld { .. } | SaleState::Released => {
                let message = "nothing was taken for this payment, so there is no token for it";
                return Err(Reply::error(StatusCode::CONFLICT, "not_settled", message));
            }
        };
        if !self.is_order_of(&body, sale) {
            let payer = receipt.payer.as_deref().unwrap_or_default();
            self.check_signed(parts, payer, &format!("token {id}"))?;
        }
        let Some(grant) = &sale.pass else {
            let message = "this payment has bought an answer and no token";
            return Err(Reply::error(StatusCode::CONFLICT, "no_token", message));
        };
        let now = self.shop.now();
        let token = self.shop.passes.give(grant, sale, receipt, now).ok_or_else(expired)?;
        let pass = self.shop.passes.of_token(&self.shop.sales, &token, now).await;
        let pass = pass.map_err(tokens::unavailable)?.ok_or_else(expired)?;
        tokens::may_be_given(gate::standing(&self.shop, &pass).await.map_err(tokens::unavailable)?)?;
        let expires_in_s = Some(pass.expires_at.since(now));
        let given = Given { token, expires_in_s, transaction: None };
        let metadata = json!({
            "payment_id": id.to_string(),
            "status": "settled",
            "tx": receipt.transaction,
            "replayed": true,
        });
        Ok(Reply::json(StatusCode::OK, &write_given(&given, metadata)).response())
    }

    /// Whether this is the very order that the sale was made for, in whatever spelling.
    fn is_order_of(&self, body: &[u8], sale: &Sale) -> bool {
        let order = self.shop.dialects.read_order(body).ok().flatten();
        order.is_some_and(|payment| payment.fingerprint() == sale.payment)
    }
}
