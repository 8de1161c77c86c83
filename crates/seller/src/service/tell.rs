//! What is told of payments, keys and ways to pay.

use axum::body::Body;
use groat_core::books::{SaleState, SettlementState};
use groat_core::{Fault, PaymentId};
use groat_wire::token::is_of_tokens;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::PaymentService;
use crate::gate::{self, Reply};

impl PaymentService {
    /// What became of a payment, by the id that its payer can compute. Whoever knows it may ask: it has 256 bits.
    pub(super) async fn payment(&self, id: &str) -> Result<Response<Body>, Reply> {
        let id = PaymentId::parse(id).map_err(|_| unknown_payment())?;
        let sale = self.shop.sales.load(&id).await.map_err(status_unavailable)?;
        let status = self.shop.facilitator.status(&id).await.map_err(status_unavailable)?;
        if sale.is_none() && status.is_none() {
            return Err(unknown_payment());
        }
        let refunded = self.refunded(id).await.map_err(status_unavailable)?;
        let sale = sale.as_ref().map(|held| held.sale());
        let valid_until =
            status.as_ref().map(|status| status.valid_until).or(sale.map(|sale| sale.valid_until));
        let (state, taken, transaction) =
            match (status.as_ref().map(|status| &status.state), sale.map(|sale| &sale.state)) {
                (Some(SettlementState::Settled(settled)), _) => {
                    ("settled", "yes", Some(settled.transaction.clone()))
                }
                (Some(SettlementState::Submitted { transaction, .. }), _) => {
                    ("settling", "unknown", Some(transaction.clone()))
                }
                (Some(SettlementState::Failed { .. }), _) => ("failed", "no", None),
                (_, Some(SaleState::Done { receipt, .. } | SaleState::Paid { receipt, .. })) => {
                    ("settled", "yes", receipt.transaction.clone())
                }
                (_, Some(SaleState::Withheld { .. })) => ("failed", "no", None),
                (_, Some(SaleState::Released)) => ("canceled", "no", None),
                (_, Some(_)) if valid_until.is_some_and(|until| gate::is_dead(&self.shop, until)) => {
                    ("expired", "no", None)
                }
                (_, Some(_)) => ("verified", "unknown", None),
                (Some(SettlementState::Released), None) | (None, None) => ("received", "no", None),
            };
        let state = if refunded.is_some() { "refunded" } else { state };
        let body = json!({
            "payment_id": id.to_string(),
            "status": state,
            "refunded": refunded,
            "money_taken": taken,
            "tx": transaction,
            "route": sale.map(|sale| sale.route.clone()),
            "amount": sale.map(|sale| sale.amount),
            "pay_to": sale.map(|sale| sale.pay_to.clone()),
            "payer": status.as_ref().map(|status| status.payer.clone()),
            "network": status.as_ref().map(|status| status.network.clone()),
            "asset": status.as_ref().map(|status| status.asset.clone()),
            "held_at": sale.map(|sale| sale.held_at.0),
            "paid_at": sale.and_then(|sale| sale.paid_at).map(|at| at.0),
            "valid_until": valid_until.map(|at| at.0),
        });
        Ok(Reply::json(StatusCode::OK, &body).response())
    }

    /// The public half of the key for passes, so that a server elsewhere can check them.
    pub(super) fn keys(&self) -> Response<Body> {
        Reply::json(StatusCode::OK, &json!({ "keys": [self.shop.passes.public_jwk()] })).response()
    }

    pub(super) fn schemes(&self) -> Response<Body> {
        let offchain = self.offchain().into_iter().map(|name| self.described(name));
        let all: Vec<Value> = [self.evm()].into_iter().chain(offchain).collect();
        Reply::json(StatusCode::OK, &json!({ "schemes": all })).response()
    }

    pub(super) fn scheme(&self, name: &str) -> Result<Response<Body>, Reply> {
        let told = match name {
            "evm" => self.evm(),
            name if self.offchain().contains(&name) => self.described(name),
            _ => {
                let message = "nothing here is paid this way";
                return Err(Reply::error(StatusCode::NOT_FOUND, "not_found", message));
            }
        };
        Ok(Reply::json(StatusCode::OK, &told).response())
    }

    /// Ways to pay without a chain, by name.
    fn offchain(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for offer in self.permits() {
            if !names.contains(&offer.scheme.as_str()) {
                names.push(offer.scheme.as_str());
            }
        }
        names
    }

    fn permits(&self) -> impl Iterator<Item = &groat_core::Offer> {
        let offers = self.priced.iter().flat_map(|priced| priced.route.fixed_offers());
        offers.filter(|offer| {
            offer.dialect.is_some() && permit_type(offer).is_some_and(|kind| !is_of_tokens(kind))
        })
    }

    fn described(&self, name: &str) -> Value {
        let (mut networks, mut assets, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
        for offer in self.permits().filter(|offer| offer.scheme == name) {
            let network = json!(offer.network);
            let asset = json!({ "network": offer.network, "asset": offer.asset });
            let kind = offer.extra.get("permitType").cloned().unwrap_or_default();
            for (list, value) in [(&mut networks, network), (&mut assets, asset), (&mut kinds, kind)] {
                if !list.contains(&value) {
                    list.push(value);
                }
            }
        }
        json!({
            "scheme": name,
            "kind": "offchain",
            "networks": networks,
            "assets": assets,
            "permit_types": kinds,
        })
    }

    fn evm(&self) -> Value {
        let mut networks: Vec<&str> = Vec::new();
        let mut assets: Vec<Value> = Vec::new();
        let mut kinds: Vec<&str> = Vec::new();
        let offers = self.priced.iter().flat_map(|priced| priced.route.fixed_offers());
        let told = offers.filter_map(|offer| match (&offer.dialect, permit_type(offer)) {
            (None, _) => Some((offer, "ERC3009")),
            (Some(_), kind) => Some((offer, kind.filter(|kind| is_of_tokens(kind))?)),
        });
        for (offer, kind) in told {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
            let asset = json!({ "network": offer.network, "asset": offer.asset });
            if !networks.contains(&offer.network.as_str()) {
                networks.push(offer.network.as_str());
            }
            if !assets.contains(&asset) {
                assets.push(asset);
            }
        }
        json!({
            "scheme": "evm",
            "kind": "onchain",
            "networks": networks,
            "assets": assets,
            "permit_types": kinds,
            "docs": "https://eips.ethereum.org/EIPS/eip-3009",
        })
    }
}

fn permit_type(offer: &groat_core::Offer) -> Option<&str> {
    offer.extra.get("permitType").and_then(Value::as_str)
}

pub(super) fn unknown_payment() -> Reply {
    let message = "no such payment is known here: nothing was taken for it here";
    Reply::error(StatusCode::NOT_FOUND, "unknown_payment", message)
}

pub(super) fn status_unavailable(fault: Fault) -> Reply {
    tracing::warn!(%fault, "a payment cannot be looked up");
    let message = "what became of the payment cannot be told now: ask again later";
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, "status_unavailable", message)
        .retry_after(fault.retry_after_s())
}
