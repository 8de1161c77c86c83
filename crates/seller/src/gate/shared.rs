//! Passes as tokens of `x402-mock`, which say nothing but when they end: what they are good for lies in the book of sales.
//!
//! A token of ours bears the id of its payment. One with another nonce was given by somebody else who has the key; it is
//! good for the routes that say so.

use std::sync::Arc;

use groat_core::books::SaleState;
use groat_core::key::KeyKind;
use groat_core::{Amount, Fault, Pass, PaymentKey, Timestamp};
use groat_wire::pass::{self, PASS_HEADER, PassError};
use groat_wire::shared_token::{SharedKey, SharedToken};
use http::HeaderMap;

use super::passes::{Passes, Shown};
use super::sales::Sales;
use crate::paid::Paid;
use crate::route::Route;

/// The key that is shared, and what it is used for.
pub(crate) struct Shared {
    pub(super) key: SharedKey,
    /// Whether our tokens are made with it.
    pub(super) is_given: bool,
}

/// What a token is that somebody with the key has made.
enum Made {
    Ours(Pass),
    Elsewhere(SharedToken),
}

impl Shared {
    async fn read(
        &self,
        sales: &Sales,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<Made, PassError>, Fault> {
        let token = match self.key.read(token, now) {
            Ok(token) => token,
            Err(error) => return Ok(Err(error)),
        };
        let Some(id) = token.payment() else { return Ok(Ok(Made::Elsewhere(token))) };
        let held = sales.load(&id).await?;
        let pass = held.as_ref().map(|held| held.sale()).and_then(|sale| match &sale.state {
            SaleState::Done { receipt, .. } | SaleState::Paid { receipt, .. } => {
                super::passes::pass_of(sale.pass.as_deref()?, sale, receipt)
            }
            _ => None,
        });
        // The book has another end, or nothing: it is not what we have given.
        let same = |pass: &Pass| (pass.issued_at, pass.expires_at) == (token.issued_at, token.expires_at);
        Ok(pass.filter(same).map(Made::Ours).ok_or(PassError::Forged))
    }
}

impl Passes {
    /// The pass of a token of either kind, if it is ours and in its time.
    pub(crate) async fn of_token(
        &self,
        sales: &Sales,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<Pass>>, Fault> {
        if let Ok(pass) = self.read(token, now) {
            return Ok(Some(pass));
        }
        let Some(shared) = &self.shared else { return Ok(None) };
        match shared.read(sales, token, now).await? {
            Ok(Made::Ours(pass)) => Ok(Some(self.remember(token, pass, now))),
            _ => Ok(None),
        }
    }

    /// Looks whether a request shows a token of this kind that is good here: ours for `scope`, or one of somebody else. In
    /// `Authorization` it stays, as the server behind may have the key too.
    pub(crate) async fn shown_shared(
        &self,
        sales: &Sales,
        headers: &mut HeaderMap,
        scope: Option<&str>,
        takes_others: bool,
        now: Timestamp,
    ) -> Result<Shown, Fault> {
        let Some(shared) = &self.shared else { return Ok(Shown::Nothing) };
        let tokens: Vec<_> = pass::shown(headers).map(|(field, token)| (field, token.to_owned())).collect();
        let mut shown = Shown::Nothing;
        for (field, token) in tokens.into_iter().filter(|(_, token)| shared.key.has_made(token)) {
            if field == PASS_HEADER {
                headers.remove(PASS_HEADER);
            }
            if matches!(shown, Shown::Good(_) | Shown::Elsewhere(_)) {
                continue;
            }
            let known = self.remembered(&token, now).map(|pass| Ok(Made::Ours(Pass::clone(&pass))));
            let made = match known {
                Some(made) => made,
                None => shared.read(sales, &token, now).await?,
            };
            shown = match made {
                Ok(Made::Ours(pass)) if Some(pass.scope.as_str()) == scope => {
                    Shown::Good(self.remember(&token, pass, now))
                }
                Ok(Made::Ours(_)) => Shown::Bad("the pass is for another resource"),
                Ok(Made::Elsewhere(token)) if takes_others => Shown::Elsewhere(token),
                Ok(Made::Elsewhere(_)) => {
                    Shown::Bad("the token was given elsewhere, and is good for nothing here")
                }
                Err(PassError::Expired) => Shown::Bad("the pass has expired"),
                Err(_) => Shown::Bad("the pass is not one of this seller"),
            };
        }
        Ok(shown)
    }
}

/// What a handler is told of a request with a token that was bought elsewhere.
pub(super) fn bought_elsewhere(route: &Route, token: &SharedToken) -> Option<Paid> {
    let offer = route.fixed_offers().first()?;
    let parts = [offer.pay_to.as_bytes(), b"x402-mock", token.nonce.as_bytes()];
    Some(Paid {
        payment_id: PaymentKey::new(KeyKind::Access, &offer.network, &parts).id(),
        payer: None,
        amount: Amount::ZERO,
        asset: offer.asset.clone(),
        network: offer.network.clone(),
        receipt: None,
        by_pass: false,
        by_access: true,
    })
}
