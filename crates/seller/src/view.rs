//! What a price function may look at.

use std::sync::Arc;

use http::{HeaderMap, Method, Uri};

/// A request as a price function sees it: everything but the body, without payment header fields.
///
/// Whatever a client can write (header fields, query) it can also forge: a discount for `X-User-Tier: gold` is a
/// discount for everybody (threat row G21).
#[derive(Debug, Clone)]
pub struct RequestView(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    method: Method,
    uri: Uri,
    url: String,
    headers: HeaderMap,
}

impl RequestView {
    pub(crate) fn new(method: Method, uri: Uri, url: String, headers: HeaderMap) -> Self {
        Self(Arc::new(Seen { method, uri, url, headers }))
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The path exactly as the handler gets it.
    pub fn path(&self) -> &str {
        self.0.uri.path()
    }

    /// The raw query, the same that is forwarded (threat row H17).
    pub fn query(&self) -> Option<&str> {
        self.0.uri.query()
    }

    /// The public URL of the resource.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The header fields of the client: untrusted.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }
}
