//! Who is let in without a payment, because access was bought before: a claim in the request, asked about at its source.
//!
//! Nothing is charged and nothing is kept. The claim counts only where no pass and no payment is shown.

use axum::body::Body;
use groat_core::key::KeyKind;
use groat_core::ports::{AccessClaim, NoAccess};
use groat_core::{Amount, Challenge, Fault, Offer, PaymentKey};
use groat_wire::Asked;
use http::request::Parts;
use http::{Response, StatusCode};

use super::admit::{serve_unpaid, whole};
use super::{Inner, Reply};
use crate::paid::Paid;
use crate::pay::Shop;
use crate::route::Route;

/// A request that claims access.
pub(super) struct Claimed<'a> {
    pub(super) claim: AccessClaim,
    pub(super) challenge: &'a Challenge,
    pub(super) parts: Parts,
    pub(super) body: Body,
    pub(super) url: &'a str,
}

/// Lets it in, or says why not.
pub(super) async fn let_in(
    route: &Route,
    request: Claimed<'_>,
    inner: impl FnOnce() -> Inner,
) -> Result<Response<Body>, Reply> {
    let Claimed { claim, challenge, parts, body, url } = request;
    let shop = &route.shop;
    let gives = |offer: &&Offer| {
        offer.dialect.as_ref().is_none_or(|dialect| *dialect == claim.dialect)
            && shop.mechanism(offer).is_some_and(|mechanism| mechanism.gives_access(offer))
    };
    let offer = challenge.offers.iter().find(gives);
    let offer = offer.ok_or_else(|| denied(shop, &claim, &NoAccess::NotSold))?;
    let access = shop.access(offer).ok_or_else(|| {
        let nobody = Fault::unavailable("access", "nobody is set who can be asked about claims");
        denied(shop, &claim, &nobody.into())
    })?;
    // What is signed covers the body.
    let body = whole(shop, &parts, body, shop.limits.request_size_bytes_max).await?;
    let asked = Asked { method: parts.method.as_str(), url, body: &body };
    let claim = shop.dialects.bind_access(claim, &asked, &offer.network);
    access.admit(&claim, offer, shop.now()).await.map_err(|why| denied(shop, &claim, &why))?;
    serve_unpaid(shop, paid(&claim, offer), parts, Body::from(body), inner()).await
}

fn paid(claim: &AccessClaim, offer: &Offer) -> Paid {
    let extra = serde_json::Value::Object(offer.extra.clone()).to_string();
    let account = claim.account.to_ascii_lowercase();
    let parts = [offer.pay_to.as_bytes(), extra.as_bytes(), account.as_bytes()];
    Paid {
        payment_id: PaymentKey::new(KeyKind::Access, &offer.network, &parts).id(),
        payer: Some(claim.account.clone()),
        amount: Amount::ZERO,
        asset: offer.asset.clone(),
        network: offer.network.clone(),
        receipt: None,
        by_pass: false,
        by_access: true,
    }
}

fn denied(shop: &Shop, claim: &AccessClaim, why: &NoAccess) -> Reply {
    let title = shop.dialects.no_access_title(&claim.dialect, why);
    match why {
        NoAccess::Unknown(fault) => {
            tracing::warn!(%fault, "a claim of access cannot be looked up");
            let message = format!("{why}: send the same request again later");
            Reply::error(StatusCode::SERVICE_UNAVAILABLE, title, &message).retry_after(fault.retry_after_s())
        }
        _ => Reply::error(StatusCode::FORBIDDEN, title, &why.to_string()),
    }
}
