//! Passes: given with the answer to a payment, and shown instead of one.
//!
//! A pass that was read once is remembered, so that showing it again costs no signature check. Only one that is good
//! for a number of requests, or was taken back, has a record in the book; a use is written before the request is let in
//! (threat row T12). What the money behind a pass has come to is looked at in `standing`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groat_core::books::{Aggregate, PassUse, PassUseEvent, Sale};
use groat_core::ports::Store;
use groat_core::{Fault, Pass, PassGrant, PassTerms, Receipt, Timestamp};
use groat_store::{Applied, Journal};
use groat_wire::pass::{self, PassError, PassKey};
use groat_wire::shared_token::{SharedKey, SharedToken};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

use super::shared::Shared;
use super::standing::Looks;
use crate::config::TokenFormat;

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
    pub(super) shared: Option<Shared>,
    pub(super) looks: Looks,
}

/// Whether a pass that is ours and in its time lets anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Good,
    /// It was good for a number of requests, and they were made.
    UsedUp,
    /// It was taken back.
    Revoked,
    /// The money that has bought it is not there any more.
    Undone,
}

impl Standing {
    pub(super) fn of(record: Option<&PassUse>) -> Self {
        match record {
            Some(record) if record.revoked_at.is_some() => Self::Revoked,
            Some(record) if record.is_used_up() => Self::UsedUp,
            _ => Self::Good,
        }
    }

    /// What is wrong, for people; `None` when nothing is.
    pub(crate) fn problem(self) -> Option<&'static str> {
        match self {
            Self::Good => None,
            Self::UsedUp => Some("the pass is used up"),
            Self::Revoked => Some("the pass was revoked"),
            Self::Undone => Some("the payment of the pass was undone"),
        }
    }
}

/// What a request shows.
#[derive(Debug)]
pub(crate) enum Shown {
    /// Nothing of ours.
    Nothing,
    /// A pass for this route.
    Good(Arc<Pass>),
    /// A token that somebody else has given who shares a key with us.
    Elsewhere(SharedToken),
    /// One that is good for nothing here, and why.
    Bad(&'static str),
}

impl Passes {
    pub(crate) fn new(
        key: PassKey,
        shared: Option<(SharedKey, TokenFormat)>,
        issuer: String,
        store: Arc<dyn Store>,
    ) -> Self {
        let shared = shared.map(|(key, format)| Shared { key, is_given: format == TokenFormat::X402Mock });
        Self {
            key,
            shared,
            issuer,
            known: Mutex::default(),
            uses: Journal::new(store),
            looks: Looks::default(),
        }
    }

    pub(crate) fn has_shared_key(&self) -> bool {
        self.shared.is_some()
    }

    /// Who gives them.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The half of the key that everybody may know.
    pub(crate) fn public_jwk(&self) -> serde_json::Value {
        self.key.public_jwk()
    }

    /// What the book says of a pass; `None` while nothing has happened to it.
    pub(super) async fn record(&self, pass: &Pass) -> Result<Option<PassUse>, Fault> {
        Ok(self.uses.load(&pass.payment.to_string()).await?.map(|entry| entry.record))
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

    pub(super) fn read(&self, token: &str, now: Timestamp) -> Result<Arc<Pass>, PassError> {
        let known = self.known().get(token).cloned();
        if let Some(known) = known {
            return pass::in_time(&known, now).map(|()| known);
        }
        Ok(self.remember(token, self.key.read(token, &self.issuer, now)?, now))
    }

    /// The pass of a token that was read before, if it is in its time.
    pub(super) fn remembered(&self, token: &str, now: Timestamp) -> Option<Arc<Pass>> {
        self.known().get(token).filter(|pass| pass::in_time(pass, now).is_ok()).cloned()
    }

    pub(super) fn remember(&self, token: &str, pass: Pass, now: Timestamp) -> Arc<Pass> {
        let read = Arc::new(pass);
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, pass| pass::in_time(pass, now).is_ok());
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(token.into(), read.clone());
        read
    }

    /// One use of a pass, written down where uses are counted.
    pub(crate) async fn take_use(&self, pass: &Pass, now: Timestamp) -> Result<Standing, Fault> {
        if pass.uses.is_none() {
            return Ok(Standing::of(self.record(pass).await?.as_ref()));
        }
        self.write(pass, PassUseEvent::Use, now).await
    }

    /// Takes a pass back, for every gate on this book. Once more changes nothing.
    pub(crate) async fn revoke(&self, pass: &Pass, now: Timestamp) -> Result<(), Fault> {
        self.write(pass, PassUseEvent::Revoke, now).await.map(drop)
    }

    /// Writes what happens to a pass; what stands in its way is told.
    async fn write(&self, pass: &Pass, event: PassUseEvent, now: Timestamp) -> Result<Standing, Fault> {
        for _ in 0..TRIES_MAX {
            let applied = match self.uses.load(&pass.payment.to_string()).await? {
                Some(entry) => self.uses.apply(entry, event, now).await?,
                None => {
                    let Pass { payment, uses: uses_max, expires_at, .. } = pass.clone();
                    let unused = PassUse { payment, uses_max, uses: 0, expires_at, revoked_at: None };
                    let Some(first) = unused.apply(event, now) else { return Ok(Standing::UsedUp) };
                    match self.uses.create(first).await? {
                        Some(entry) => Applied::Done(entry),
                        None => Applied::Stale,
                    }
                }
            };
            match applied {
                Applied::Done(_) => return Ok(Standing::Good),
                Applied::Impossible(entry) => {
                    let standing = Standing::of(Some(&entry.record));
                    return Ok(if standing == Standing::Good { Standing::UsedUp } else { standing });
                }
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
        grant: &PassGrant,
        sale: &Sale,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Option<String> {
        let pass = pass_of(grant, sale, receipt).filter(|pass| now < pass.expires_at)?;
        Some(match &self.shared {
            Some(shared) if shared.is_given => shared.key.write(&SharedToken {
                expires_at: pass.expires_at,
                issued_at: pass.issued_at,
                nonce: pass.payment.to_string(),
            }),
            _ => self.key.write(&pass, &self.issuer),
        })
    }
}

/// The pass of a payment that is made.
pub(super) fn pass_of(grant: &PassGrant, sale: &Sale, receipt: &Receipt) -> Option<Pass> {
    let paid_at = sale.paid_at?;
    let PassGrant { network, asset, scope, ttl_s, uses } = grant.clone();
    Some(Pass {
        payment: sale.id,
        payer: receipt.payer.clone(),
        network,
        asset,
        amount: sale.amount,
        scope,
        issued_at: paid_at,
        expires_at: paid_at.plus(ttl_s),
        uses,
    })
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
