//! Signing a payment, once.

use std::sync::Arc;

use groat_core::{Challenge, Payment, PaymentId};
use http::HeaderMap;
use serde_json::Map;

use super::send::Parcel;
use crate::chain::{Account, Authorization};
use crate::exact::{Proof, key};
use crate::fault::Fault;
use crate::notebook::Deal;
use crate::shop::{Route, TIMEOUT_S};
use crate::tongue::Tongue;
use crate::world::{PRICE, PURSE, World};

/// A payment, ready to be sent as often as needed.
pub(crate) struct Signed {
    /// Its number in the notebook.
    pub(crate) number: usize,
    pub(crate) id: PaymentId,
    pub(crate) route: Route,
    pub(crate) authorization: Authorization,
    pub(crate) payment: Payment,
    pub(crate) tongue: Tongue,
    pub(crate) parcel: Parcel,
}

/// A payment on its way to a route, as its language has it: in header fields, or as an order of a pass.
pub(crate) fn parcel(payment: &Payment, tongue: Tongue, route: Route) -> Option<Parcel> {
    let dialect = tongue.dialect();
    if let Some(order) = dialect.write_order(payment) {
        return Some(Parcel::order(route, order.ok()?.into()));
    }
    let mut headers = HeaderMap::new();
    dialect.write_payment(payment, &mut headers).ok()?;
    Some(Parcel::to(route, headers))
}

/// Signs for a wish. Some payers have no money, some clocks are wrong.
pub(crate) fn sign(
    world: &Arc<World>,
    wish: u64,
    purse: Account,
    route: Route,
    challenge: &Challenge,
    tongue: Tongue,
) -> Option<Signed> {
    let stage = &world.stage;
    let offer = challenge.offers.iter().find(|offer| offer.scheme == "exact")?;
    let dialect = tongue.dialect();
    let now = stage.now_s();
    let late = stage.strikes(Fault::ExpiredPayment);
    let poor = stage.strikes(Fault::PoorPayer);
    let authorization = Authorization {
        // Whoever is poor pays from a purse that nobody has filled.
        from: if poor { Account(purse.0 + 0x100) } else { purse },
        to: Account::SHOP,
        value: PRICE.min(PURSE),
        valid_after: now - 600,
        valid_before: if late { now + stage.between(0, 8) } else { now + TIMEOUT_S },
        nonce: stage.below(u64::MAX),
    };
    let payment = Payment {
        dialect: dialect.id(),
        scheme: offer.scheme.clone(),
        network: offer.network.clone(),
        proof: Proof::sign(authorization).to_value(),
        accepted: None,
        resource: None,
        extensions: Map::new(),
    };
    let payment = dialect.accept(payment, challenge, offer);
    let parcel = parcel(&payment, tongue, route)?;
    let id = key(&offer.network, &authorization).id();
    let deal = Deal {
        id,
        wish,
        authorization,
        misused: false,
        varied: false,
        meddled: false,
        end: None,
        answers: Vec::new(),
    };
    let number = world.notebook.sign(deal);
    stage.note("buyer signs", wish, || format!("{} {id} {authorization:?}", route.path()));
    stage.count("payments signed");
    Some(Signed { number, id, route, authorization, payment, tongue, parcel })
}
