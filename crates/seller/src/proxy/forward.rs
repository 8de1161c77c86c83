//! One request to the upstream and its answer back, both streaming.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::header::{EXPECT, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::time::timeout;
use tower::Service;

use crate::config::ConfigError;
use crate::gate::{Reply, strip_request, strip_response};
use crate::paid::Paid;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A pooled client for one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    scheme: Scheme,
    authority: Authority,
    prefix: String,
    limit: Duration,
}

impl Forward {
    pub(crate) fn new(upstream: &str, limit: Duration) -> Result<Self, ConfigError> {
        let wrong = |problem: &str| ConfigError::wrong("upstream", problem);
        let uri: Uri = upstream.parse().map_err(|error| ConfigError::wrong("upstream", error))?;
        let scheme = uri.scheme().filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme)).cloned();
        let scheme = scheme.ok_or_else(|| wrong("must begin with http:// or https://"))?;
        if uri.query().is_some() {
            return Err(wrong("must not have a query"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| wrong("must name a host"))?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(3)));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(encrypted(connector)?);
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { client, scheme, authority, prefix, limit })
    }

    fn target(&self, uri: &Uri) -> Option<Uri> {
        let own = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{own}", self.prefix))
            .build()
            .ok()
    }

    async fn send(self, mut request: Request<Body>) -> Response<Body> {
        let Some(target) = self.target(request.uri()) else {
            return Reply::error(
                StatusCode::BAD_REQUEST,
                "bad_target",
                "the request target cannot be forwarded",
            )
            .response();
        };
        *request.uri_mut() = target;
        *request.version_mut() = Version::HTTP_11;
        let paid = request.extensions_mut().remove::<Paid>();
        let headers = request.headers_mut();
        // The body is on its way already; nobody waits for a 100.
        headers.remove(EXPECT);
        headers.remove(FORWARDED_HOST);
        if let Some(host) = headers.remove(HOST) {
            headers.insert(FORWARDED_HOST, host);
        }
        if let Some(paid) = paid {
            tell(headers, &paid);
        }
        match timeout(self.limit, self.client.request(request)).await {
            Ok(Ok(response)) => {
                let mut response = response.map(Body::new);
                strip_response(response.headers_mut());
                response
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the upstream does not answer");
                let message = "the server behind this gateway does not answer";
                Reply::error(StatusCode::BAD_GATEWAY, "upstream_unavailable", message).response()
            }
            Err(_) => {
                let message = "the server behind this gateway took too long";
                Reply::error(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message).response()
            }
        }
    }
}

/// Adds TLS for `https`, with the roots of trust of this machine.
fn encrypted(connector: HttpConnector) -> Result<HttpsConnector<HttpConnector>, ConfigError> {
    // Whoever came first has chosen the TLS provider; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = rustls::ClientConfig::with_platform_verifier()
        .map_err(|error| ConfigError::wrong("upstream", format!("no TLS: {error}")))?;
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
    Ok(builder.https_or_http().enable_http1().wrap_connector(connector))
}

/// Tells the upstream who paid. The same fields of the client were taken away before (threat row G17).
fn tell(headers: &mut HeaderMap, paid: &Paid) {
    let told = [
        ("x-payment-id", Some(paid.payment_id.to_string())),
        ("x-payment-payer", paid.payer.clone()),
        ("x-payment-amount", Some(paid.amount.to_string())),
        ("x-payment-asset", Some(paid.asset.clone())),
        ("x-payment-network", Some(paid.network.to_string())),
    ];
    for (name, value) in told {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

impl Service<Request<Body>> for Forward {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        strip_request(request.headers_mut());
        let forward = self.clone();
        Box::pin(async move { Ok(forward.send(request).await) })
    }
}
