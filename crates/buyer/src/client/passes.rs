//! Passes that sellers give for a payment: kept, and shown instead of paying again.
//!
//! A pass is shown only where it was given: at the same origin, with the same method, on the same path. It is a seller's
//! text, so it can only help: whatever is wrong with it or with the book, the request goes on without.

use groat_core::Fault;
use groat_core::books::{KeptPass, KeptPassEvent};
use groat_core::payment::Fingerprint;
use groat_store::{Applied, Journal};
use groat_wire::pass::{self, PASS_HEADER};
use reqwest::{Request, Response};

use super::Client;

/// A pass that ends sooner may end on its way.
const MARGIN_S: u64 = 5;

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
        let good = kept.filter(|kept| self.buyer.clock.now().plus(MARGIN_S) < kept.expires_at);
        let Some(mut value) = good.and_then(|kept| http::HeaderValue::try_from(kept.token).ok()) else {
            return false;
        };
        if value.is_empty() {
            return false;
        }
        value.set_sensitive(true);
        request.headers_mut().insert(PASS_HEADER, value);
        true
    }

    /// Keeps the pass of an answer, if there is one that says when it ends.
    pub(super) async fn keep_pass(&self, request: &Request, response: &Response) {
        let token = response.headers().get(PASS_HEADER).and_then(|value| value.to_str().ok());
        let Some((token, (expires_at, _))) = token.and_then(|token| Some((token, pass::peek(token)?))) else {
            return;
        };
        let kept = KeptPass { place: place(request), token: token.to_owned(), expires_at };
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

fn place(request: &Request) -> String {
    let url = request.url();
    let origin = url.origin().ascii_serialization();
    Fingerprint::of(&[request.method().as_str().as_bytes(), origin.as_bytes(), url.path().as_bytes()]).0
}
