//! Signing a payment, once.

use std::sync::Arc;

use groat_core::payment::DialectId;
use groat_core::{Challenge, Payment, PaymentId};
use groat_wire::{Dialect, x402_v2};
use http::HeaderMap;
use serde_json::{Map, to_value};

use crate::chain::{Account, Authorization};
use crate::exact::{Proof, key};
use crate::fault::Fault;
use crate::notebook::Deal;
use crate::shop::{Route, TIMEOUT_S};
use crate::world::{PRICE, PURSE, World};

/// A payment, ready to be sent as often as needed.
pub(crate) struct Signed {
    /// Its number in the notebook.
    pub(crate) number: usize,
    pub(crate) id: PaymentId,
    pub(crate) route: Route,
    pub(crate) authorization: Authorization,
    pub(crate) payment: Payment,
    pub(crate) headers: HeaderMap,
}

pub(crate) fn headers(payment: &Payment) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    x402_v2::V2.write_payment(payment, &mut headers).ok()?;
    Some(headers)
}

/// Signs for a wish. Some payers have no money, some clocks are wrong.
pub(crate) fn sign(
    world: &Arc<World>,
    wish: u64,
    purse: Account,
    route: Route,
    challenge: &Challenge,
) -> Option<Signed> {
    let stage = &world.stage;
    let offer = challenge.offers.first()?;
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
        dialect: DialectId::new("x402-v2"),
        scheme: offer.scheme.clone(),
        network: offer.network.clone(),
        proof: to_value(Proof::sign(authorization)).ok()?,
        accepted: None,
        resource: None,
        extensions: Map::new(),
    };
    let payment = x402_v2::V2.accept(payment, challenge, offer);
    let headers = headers(&payment)?;
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
    Some(Signed { number, id, route, authorization, payment, headers })
}
