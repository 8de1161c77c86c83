//! The gateway: prices in front of any HTTP server, by route patterns.
//!
//! It fails closed: patterns are matched on exactly the path that is forwarded, and as soon as anything has a price,
//! a path that servers read in more than one way is refused (threat row H14).

mod config;
mod directory;
mod forward;
mod pattern;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::extract::OriginalUri;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, Uri};
use tower::{Layer, Service, ServiceExt};

pub use config::{GatewayConfig, RouteRule, Unmatched};
pub use pattern::Pattern;

use self::directory::Directories;
use self::forward::Forward;
use crate::canonical;
use crate::config::ConfigError;
use crate::gate::{Gate, Reply, refuse_upgrade};
use crate::pay::{Pay, Shop};
use crate::route::{RouteBuilder, Settle};
use crate::service::PaymentService;

/// A reverse proxy that asks for money; a tower service, cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    shop: Arc<Shop>,
    rules: Arc<[Rule]>,
    service: Option<PaymentService>,
    directories: Directories,
    forward: Forward,
    unmatched: Unmatched,
}

struct Rule {
    pattern: Pattern,
    gate: Gate<Forward>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.rules.iter().map(|rule| rule.pattern.as_str())).finish()
    }
}

impl Gateway {
    /// A gateway, or what is wrong with its description. Nothing is connected yet.
    pub fn new(pay: &Pay, config: &GatewayConfig) -> Result<Self, ConfigError> {
        let forward = Forward::new(&config.upstream, Duration::from_secs(config.upstream_timeout_s))?;
        let mut service = None;
        let mut sold = directory::Sales::default();
        let rule = |rule: &RouteRule| {
            let at = |error: ConfigError| ConfigError::wrong(format!("route `{}`", rule.path), error);
            let mut route = pay
                .route()
                .price(&rule.price)
                .description(&rule.description)
                .mime_type(&rule.mime_type)
                .settle(rule.settle);
            for network in &rule.networks {
                route = route.network(network);
            }
            if let Some(account) = &rule.pay_to {
                route = route.pay_to(account);
            }
            if let Some(price) = &rule.unsettled_max {
                route = route.unsettled_max(price);
            }
            if let Some(confirmations) = rule.confirmations {
                route = route.confirmations(confirmations);
            }
            if let Some(seconds) = rule.timeout_s {
                route = route.timeout_s(seconds);
            }
            if let Some(terms) = &rule.pass {
                route = route.pass(terms.clone());
            }
            if rule.foreign_tokens {
                route = route.foreign_tokens();
            }
            route = rule.asks.iter().cloned().fold(route, RouteBuilder::ask);
            let layer = route.build().map_err(at)?;
            if layer.route().sells_passes() {
                let known = service.take().unwrap_or_else(|| PaymentService::new(pay));
                service = Some(known.route(&rule.path, &layer)?);
            } else if rule.settle == Settle::Async {
                // Its answers say where to ask what became of the money.
                service = Some(service.take().unwrap_or_else(|| PaymentService::new(pay)));
            }
            let pattern: Pattern = rule.path.parse()?;
            sold.add(&pattern, layer.route());
            Ok(Rule { pattern, gate: layer.layer(forward.clone()) })
        };
        let rules = config.routes.iter().map(rule).collect::<Result<_, ConfigError>>()?;
        let directories = sold.directories(&pay.shop.dialects);
        Ok(Self {
            shop: Arc::clone(&pay.shop),
            rules,
            service,
            directories,
            forward,
            unmatched: config.unmatched,
        })
    }

    /// Adds to the payment service of the routes that give passes, such as balances; an error where none does.
    pub fn with_service(
        self,
        add: impl FnOnce(PaymentService) -> Result<PaymentService, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let missing = || ConfigError::wrong("the payment service", "no route gives passes, so there is none");
        let service = Some(add(self.service.clone().ok_or_else(missing)?)?);
        Ok(Self { service, ..self })
    }

    async fn answer(self, mut request: Request<Body>) -> Result<Response<Body>, Reply> {
        refuse_upgrade(request.method(), request.headers())?;
        if self.rules.is_empty() {
            return Ok(self.free(request).await);
        }
        let path = canonical::path(request.uri().path())
            .map_err(|fault| Reply::error(StatusCode::BAD_REQUEST, "ambiguous_path", &fault.to_string()))?;
        let plain = canonical::decoded(&path);
        *request.uri_mut() = with_path(request.uri(), &path)?;
        // Set by an outer axum router; it would bring the unclear spelling back.
        request.extensions_mut().remove::<OriginalUri>();

        if let Some(service) = self.service.as_ref().filter(|service| service.is_for(&plain)) {
            return Ok(service.answer(request).await);
        }
        if let Some(reply) = self.directories.find(&plain, request.method()) {
            return Ok(reply.response());
        }
        let (known_path, gate) = self.find(&plain, request.method());
        if let Some(gate) = gate {
            return Ok(gate.oneshot(request).await.unwrap_or_else(|never| match never {}));
        }
        // What an upstream makes of an invented method nobody knows (threat row H15).
        if known_path && !is_standard(request.method()) {
            let message = "this method is not for sale here";
            return Err(Reply::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message));
        }
        match self.unmatched {
            Unmatched::Forward => Ok(self.free(request).await),
            Unmatched::NotFound => {
                Err(Reply::error(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path"))
            }
        }
    }

    /// Whether any rule is about this path, and the first that is about this request.
    fn find(&self, path: &str, method: &Method) -> (bool, Option<Gate<Forward>>) {
        let mut known_path = false;
        for rule in self.rules.iter().filter(|rule| rule.pattern.matches(path)) {
            if rule.pattern.covers(method) {
                return (true, Some(rule.gate.clone()));
            }
            known_path = true;
        }
        (known_path, None)
    }

    async fn free(self, mut request: Request<Body>) -> Response<Body> {
        self.shop.passes.take_off(request.headers_mut());
        self.forward.oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}

fn with_path(uri: &Uri, path: &str) -> Result<Uri, Reply> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    Uri::from_parts(parts).map_err(|_| {
        Reply::error(StatusCode::BAD_REQUEST, "bad_target", "the request target cannot be forwarded")
    })
}

fn is_standard(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS]
        .contains(method)
}

impl<B> Service<Request<B>> for Gateway
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
        let gateway = self.clone();
        Box::pin(async move {
            let answered = gateway.answer(request.map(Body::new)).await;
            Ok(answered.unwrap_or_else(|reply| reply.response()))
        })
    }
}
