//! Passes that sellers give for a payment: kept, and shown instead of paying again.
//!
//! A pass is shown only where it was given: at the same origin, with the same method, on the same path. It is a seller's
//! text, so it can only help: whatever is wrong with it or with the book, the request goes on without.

use groat_core::Fault;
use groat_core::books::{KeptPass, KeptPassEvent};
use groat_core::payment::Fingerprint;
use groat_store::{Applied, Journal};
use groat_wire::pass::{self, PASS_HEADER};
use groat_wire::token::Given;
use http::header::AUTHORIZATION;
use reqwest::{Request, Response};

use super::Client;

/// A pass that ends sooner may end on its way.
const MARGIN_S: u64 = 5;
/// A token that does not say how long it is good is believed for so long.
const TTL_S: u64 = 60;
/// No token is believed for longer.
const TTL_S_MAX: u64 = 86_400;

impl Client {
    /// Adds the pass that was given for this method and path. Returns whether there is one.
    pub(super) async fn show_pass(&self, request: &mut Request) -> bool {
        if request.headers().contains_key(PASS_HEADER) {
            return false;
        }
        let kept = match self.passes().load(&place(request)).await {
            Ok(entry) => entry.map(|entry| entry.record),
            Err(fault) => {
                tracing::debug!(%fault, "passes cannot be looked up");
                None
            }
        };
        let good = |kept: &KeptPass| {
            !kept.token.is_empty() && self.buyer.clock.now().plus(MARGIN_S) < kept.expires_at
        };
        kept.filter(good).is_some_and(|kept| show(request, &kept))
    }

    /// Keeps a token that was bought by an order, and adds it to the request that it was bought for.
    pub(super) async fn keep_given(&self, request: &mut Request, given: &Given) {
        let told = given.expires_in_s.map(|seconds| self.buyer.clock.now().plus(seconds.min(TTL_S_MAX)));
        let expires_at = told
            .or_else(|| pass::peek(&given.token).map(|(expires_at, _)| expires_at))
            .unwrap_or_else(|| self.buyer.clock.now().plus(TTL_S));
        let kept = KeptPass { place: place(request), token: given.token.clone(), expires_at, bearer: true };
        show(request, &kept);
        if let Err(fault) = self.replace_pass(kept).await {
            tracing::debug!(%fault, "a pass is not kept");
        }
    }

    /// Keeps the pass of an answer, if there is one that says when it ends.
    pub(super) async fn keep_pass(&self, request: &Request, response: &Response) {
        let token = response.headers().get(PASS_HEADER).and_then(|value| value.to_str().ok());
        let Some((token, (expires_at, _))) = token.and_then(|token| Some((token, pass::peek(token)?))) else {
            return;
        };
        let kept = KeptPass { place: place(request), token: token.to_owned(), expires_at, bearer: false };
        if let Err(fault) = self.replace_pass(kept).await {
            tracing::debug!(%fault, "a pass is not kept");
        }
    }

    /// The seller does not take it any more.
    pub(super) async fn forget_pass(&self, request: &Request) {
        let passes = self.passes();
        if let Ok(Some(entry)) = passes.load(&place(request)).await {
            // Should it not be written, it is shown and refused once more.
            let _ = passes.apply(entry, KeptPassEvent::Forget, self.buyer.clock.now()).await;
        }
    }

    async fn replace_pass(&self, kept: KeptPass) -> Result<(), Fault> {
        let passes = self.passes();
        loop {
            let written = match passes.load(&kept.place).await? {
                None => passes.create(kept.clone()).await?.is_some(),
                Some(entry) => {
                    let event = KeptPassEvent::Replace(kept.clone());
                    !matches!(passes.apply(entry, event, self.buyer.clock.now()).await?, Applied::Stale)
                }
            };
            if written {
                return Ok(());
            }
        }
    }

    fn passes(&self) -> Journal<KeptPass> {
        Journal::new(std::sync::Arc::clone(&self.buyer.store))
    }
}

/// Adds a token to a request. Whose `Authorization` is taken by the caller shows it in our own field.
fn show(request: &mut Request, kept: &KeptPass) -> bool {
    let (field, text) = match kept.bearer && !request.headers().contains_key(AUTHORIZATION) {
        true => (AUTHORIZATION, format!("Bearer {}", kept.token)),
        false => (PASS_HEADER, kept.token.clone()),
    };
    let Ok(mut value) = http::HeaderValue::try_from(text) else { return false };
    value.set_sensitive(true);
    request.headers_mut().insert(field, value);
    true
}

fn place(request: &Request) -> String {
    let url = request.url();
    let origin = url.origin().ascii_serialization();
    Fingerprint::of(&[request.method().as_str().as_bytes(), origin.as_bytes(), url.path().as_bytes()]).0
}
