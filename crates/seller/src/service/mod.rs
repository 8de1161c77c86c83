//! The payment service: sells passes for priced routes, and says what became of payments.
//!
//! | Call | What for |
//! | --- | --- |
//! | `POST /token/{method}/{path}` | buys a pass for that resource; the body is an order of the token dialect |
//! | `GET /token/…/quote?resource=` | the 402 of a resource without asking for it |
//! | `GET /x402/payments/{id}` | what became of a payment |
//! | `GET /x402/payments?authorization=` | the same, for whoever kept only what it signed |
//! | `GET /x402/payments?idempotency_key=` | the same, for the payer who chose the key |
//! | `POST /x402/payments/{id}/token` | the token of a settled payment again, for its payer |
//! | `POST /x402/introspect` | whether a pass is good (RFC 7662) |
//! | `POST /x402/revoke` | takes a pass back (RFC 7009) |
//! | `GET /.well-known/jwks.json` | the key that passes are signed with (RFC 7517) |
//! | `GET /x402/schemes/{name}` | what a `Payment-Scheme` means |
//! | `GET /x402/balance/{account}` | what happened to a balance; signed by its holder |
//! | `POST /x402/balance/{account}/topup?amount=5.00` | adds to a balance, for a payment |
//! | `POST /x402/payments/{id}/refund` | gives a payment out of a balance back; for the operator |
//! | `POST /x402/orders` | makes an order that is paid elsewhere |
//! | `POST /x402/webhooks/{name}` | what whoever takes the money has to say |
//!
//! It need not run where the resources are: whoever has the same prices and the same key for passes can sell them.

mod again;
mod balance;
mod checkout;
mod keys;
mod lookup;
mod order;
mod signed;
mod tell;
mod tokens;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use groat_core::ports::Checkouts;
use http::{Method, Request, Response, StatusCode};
use tower::Service;
use url::form_urlencoded;

use crate::canonical;
use crate::config::ConfigError;
use crate::gate::{self, PayLayer, Reply};
use crate::pay::{Pay, Shop};
use crate::proxy::Pattern;
use crate::route::Route;

/// Where everything but the orders lies.
const BASE: &str = "/x402/";
const KEYS: &str = "/.well-known/jwks.json";

/// Sells passes and answers questions about payments; a tower service, cheap to clone.
#[derive(Clone)]
pub struct PaymentService {
    shop: Arc<Shop>,
    priced: Arc<[Priced]>,
    till: Option<balance::Till>,
    /// The SHA-256 of the operator's key.
    operator: Option<[u8; 32]>,
    checkouts: Arc<[Arc<dyn Checkouts>]>,
}

/// A route that passes can be bought for.
#[derive(Clone)]
struct Priced {
    pattern: Pattern,
    route: Arc<Route>,
}

impl std::fmt::Debug for PaymentService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.priced.iter().map(|priced| priced.pattern.as_str())).finish()
    }
}

impl PaymentService {
    /// A service that sells nothing yet.
    pub fn new(pay: &Pay) -> Self {
        let shop = Arc::clone(&pay.shop);
        Self { shop, priced: Arc::new([]), till: None, operator: None, checkouts: Arc::new([]) }
    }

    /// Sells passes for the requests that `pattern` (such as `GET /weather`) covers, at the price of `layer`. The first
    /// that fits counts. The route must give passes and have a price that does not depend on the request.
    pub fn route(self, pattern: &str, layer: &PayLayer) -> Result<Self, ConfigError> {
        let route = layer.route();
        if !route.sells_passes() {
            let problem = "it gives no passes at a fixed price: build it with `.pass(…)` and a token path";
            return Err(ConfigError::wrong(format!("route `{pattern}`"), problem));
        }
        let priced = Priced { pattern: pattern.parse()?, route: Arc::clone(route) };
        Ok(Self { priced: self.priced.iter().cloned().chain([priced]).collect(), ..self })
    }

    /// Whether a path, without escapes, is one of this service.
    pub(crate) fn is_for(&self, path: &str) -> bool {
        path.starts_with(BASE) || path == KEYS || self.after_token(path).is_some()
    }

    /// What follows the path of the token endpoint.
    fn after_token<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.shop.token_path.as_deref()?)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let mut response = self.decide(request).await.unwrap_or_else(|reply| reply.response());
        if is_head {
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn decide(&self, request: Request<Body>) -> Result<Response<Body>, Reply> {
        let (parts, body) = request.into_parts();
        let path = canonical::path(parts.uri.path())
            .map_err(|fault| Reply::error(StatusCode::BAD_REQUEST, "ambiguous_path", &fault.to_string()))?;
        let asked = gate::bought_as(&parts.method);
        if let Some(rest) = self.after_token(&path) {
            return match *asked {
                Method::POST => self.sell(&parts, rest, body).await,
                Method::GET => self.quote(&parts, rest),
                _ => Err(wrong_method("POST, GET, HEAD")),
            };
        }
        let path = canonical::decoded(&path);
        let about = path.strip_prefix(BASE).unwrap_or_default();
        match (asked, about.split_once('/').unwrap_or((about, ""))) {
            (&Method::GET, _) if path == KEYS => Ok(self.keys()),
            (&Method::POST, ("payments", rest)) if rest.ends_with("/refund") => {
                self.refund(&parts, rest.trim_end_matches("/refund"), body).await
            }
            (&Method::POST, ("payments", rest)) if rest.ends_with("/token") => {
                self.again(&parts, rest.strip_suffix("/token").unwrap_or_default(), body).await
            }
            (&Method::GET, ("balance", account)) if !account.is_empty() => {
                self.statement(&parts, account).await
            }
            (&Method::POST, ("balance", rest)) if rest.ends_with("/topup") => self.top_up(parts, body).await,
            (_, ("balance", _)) => Err(wrong_method("GET, POST")),
            (&Method::POST, ("orders", "")) => self.begin(&parts, body).await,
            (&Method::POST, ("webhooks", name)) => self.webhook(&parts, name, body).await,
            (_, ("orders" | "webhooks", _)) => Err(wrong_method("POST")),
            (&Method::GET, ("payments", "")) => self.search(&parts).await,
            (&Method::GET, ("payments", id)) => self.payment(id).await,
            (&Method::GET, ("schemes", "")) => Ok(self.schemes()),
            (&Method::GET, ("schemes", name)) => self.scheme(name),
            (&Method::POST, ("introspect", "")) => self.introspect(&parts, body).await,
            (&Method::POST, ("revoke", "")) => self.revoke(&parts, body).await,
            (_, ("introspect" | "revoke", "")) => Err(wrong_method("POST")),
            (_, ("payments" | "schemes", _)) if *asked != Method::GET => Err(wrong_method("GET, HEAD")),
            _ => Err(Reply::error(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")),
        }
    }

    /// The route that a request of this method to this path, without escapes, would take.
    fn find(&self, method: &Method, path: &str) -> Option<&Arc<Route>> {
        let fits = |priced: &&Priced| priced.pattern.covers(method) && priced.pattern.matches(path);
        self.priced.iter().find(fits).map(|priced| &priced.route)
    }
}

/// What the query says under a name, the first time.
fn asked(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn wrong_method(allowed: &'static str) -> Reply {
    let mut reply =
        Reply::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this is asked otherwise");
    reply.headers.insert(http::header::ALLOW, http::HeaderValue::from_static(allowed));
    reply
}

impl<B> Service<Request<B>> for PaymentService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request.map(Body::new)).await) })
    }
}
