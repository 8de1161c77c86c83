//! Passes: given with the answer to a payment, and shown instead of one.
//!
//! A pass that was read once is remembered, so that showing it again costs no signature check. Only one that is good
//! for a number of requests has a record in the book; its use is written before the request is let in (threat row
//! T12).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groat_core::books::{PassUse, PassUseEvent, Sale};
use groat_core::ports::Store;
use groat_core::{Fault, Offer, Pass, PassTerms, Receipt, Timestamp};
use groat_store::{Applied, Journal};
use groat_wire::pass::{self, PassError, PassKey};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

/// Passes that are remembered; one more, and those whose time is over are forgotten, or all.
const KNOWN_MAX: usize = 10_000;
/// How often a use is written again because another request was faster.
const TRIES_MAX: usize = 64;

/// What a seller knows of passes.
pub(crate) struct Passes {
    key: PassKey,
    issuer: String,
    known: Mutex<HashMap<Box<str>, Arc<Pass>>>,
    uses: Journal<PassUse>,
}

/// What a request shows.
#[derive(Debug)]
pub(crate) enum Shown {
    /// Nothing of ours.
    Nothing,
    /// A pass for this route.
    Good(Arc<Pass>),
    /// One that is good for nothing here, and why.
    Bad(&'static str),
}

impl Passes {
    pub(crate) fn new(key: PassKey, issuer: String, store: Arc<dyn Store>) -> Self {
        Self { key, issuer, known: Mutex::default(), uses: Journal::new(store) }
    }

    /// Who gives them.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The half of the key that everybody may know.
    pub(crate) fn public_jwk(&self) -> serde_json::Value {
        self.key.public_jwk()
    }

    /// The pass of a token, if it is good for one more request. Nothing is used up.
    pub(crate) async fn examine(&self, token: &str, now: Timestamp) -> Result<Option<Arc<Pass>>, Fault> {
        let Ok(pass) = self.read(token, now) else { return Ok(None) };
        let Some(uses_max) = pass.uses else { return Ok(Some(pass)) };
        let used = self.uses.load(&pass.payment.to_string()).await?.map_or(0, |entry| entry.record.uses);
        Ok((used < uses_max).then_some(pass))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Pass>>> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the passes off a request, and looks whether one of them is good for `scope`. Tokens of others stay.
    pub(crate) fn shown(&self, headers: &mut HeaderMap, scope: &str, now: Timestamp) -> Shown {
        let mut shown = Shown::Nothing;
        let mut fields = Vec::new();
        for (field, token) in pass::shown(headers) {
            if !self.key.is_ours(token) {
                continue;
            }
            fields.push(field);
            if matches!(shown, Shown::Good(_)) {
                continue;
            }
            shown = match self.read(token, now) {
                Ok(pass) if pass.scope == scope => Shown::Good(pass),
                Ok(_) => Shown::Bad("the pass is for another resource"),
                Err(PassError::Expired) => Shown::Bad("the pass has expired"),
                Err(_) => Shown::Bad("the pass is not one of this seller"),
            };
        }
        for field in fields {
            if field == AUTHORIZATION {
                self.take_off(headers);
            } else {
                headers.remove(field);
            }
        }
        shown
    }

    /// Takes our tokens out of `Authorization`, and leaves what is for the server behind us.
    pub(crate) fn take_off(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(AUTHORIZATION) {
            return;
        }
        let ours = |value: &http::HeaderValue| {
            let token =
                value.to_str().ok().and_then(|text| text.split_once(' ')).map(|(_, token)| token.trim());
            token.is_some_and(|token| self.key.is_ours(token))
        };
        let kept: Vec<_> =
            headers.get_all(AUTHORIZATION).iter().filter(|value| !ours(value)).cloned().collect();
        headers.remove(AUTHORIZATION);
        kept.into_iter().for_each(|value| {
            headers.append(AUTHORIZATION, value);
        });
    }

    fn read(&self, token: &str, now: Timestamp) -> Result<Arc<Pass>, PassError> {
        let known = self.known().get(token).cloned();
        if let Some(known) = known {
            return pass::in_time(&known, now).map(|()| known);
        }
        let read = Arc::new(self.key.read(token, &self.issuer, now)?);
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, pass| pass::in_time(pass, now).is_ok());
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(token.into(), read.clone());
        Ok(read)
    }

    /// One use of a pass, written down; `false` when it is used up.
    pub(crate) async fn take_use(&self, pass: &Pass, now: Timestamp) -> Result<bool, Fault> {
        let Some(uses_max) = pass.uses else { return Ok(true) };
        for _ in 0..TRIES_MAX {
            let applied = match self.uses.load(&pass.payment.to_string()).await? {
                Some(entry) => self.uses.apply(entry, PassUseEvent::Use, now).await?,
                None => {
                    let expires_at = pass.expires_at;
                    let first = PassUse { payment: pass.payment, uses_max, uses: 1, expires_at };
                    match self.uses.create(first).await? {
                        Some(_) => return Ok(true),
                        None => Applied::Stale,
                    }
                }
            };
            match applied {
                Applied::Done(_) => return Ok(true),
                Applied::Impossible(_) => return Ok(false),
                Applied::Stale => {}
            }
        }
        Err(Fault::unavailable("store", "too many write at once"))
    }

    /// The request came to nothing: the pass is as good as before. Should that not be written, a use is lost.
    pub(crate) async fn give_back(&self, pass: &Pass, now: Timestamp) {
        if pass.uses.is_none() {
            return;
        }
        for _ in 0..TRIES_MAX {
            let Ok(Some(entry)) = self.uses.load(&pass.payment.to_string()).await else { return };
            match self.uses.apply(entry, PassUseEvent::GiveBack, now).await {
                Ok(Applied::Stale) => {}
                _ => return,
            }
        }
    }

    /// The token for a payment that is made; `None` when its time is over. It follows from the book, so whoever asks for
    /// the answer again gets the same.
    pub(crate) fn give(
        &self,
        terms: &PassTerms,
        scope: String,
        sale: &Sale,
        offer: &Offer,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Option<String> {
        let paid_at = sale.paid_at?;
        let pass = Pass {
            payment: sale.id,
            payer: receipt.payer.clone(),
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            amount: sale.amount,
            scope,
            issued_at: paid_at,
            expires_at: paid_at.plus(terms.ttl_s),
            uses: terms.uses,
        };
        (now < pass.expires_at).then(|| self.key.write(&pass, &self.issuer))
    }
}

/// What a pass has to be good for.
pub(crate) fn scope_of<'t>(terms: &'t PassTerms, method: &Method, resource_url: &str) -> Cow<'t, str> {
    if let Some(scope) = &terms.scope {
        return scope.into();
    }
    format!("{} {}", bought_as(method), path_of(resource_url)).into()
}

/// HEAD is GET without a body (RFC 9110 section 9.3.2).
pub(crate) fn bought_as(method: &Method) -> &Method {
    if method == Method::HEAD { &Method::GET } else { method }
}

/// The path of a URL.
pub(crate) fn path_of(url: &str) -> &str {
    let whole = url.split('?').next().unwrap_or_default();
    let path = whole.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    path.unwrap_or("/")
}
