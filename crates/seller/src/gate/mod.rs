//! The gate: a tower layer that lets a request through once it is paid, and never twice for one payment.
//!
//! `admit` reads a request and decides without acting; `work` does the paid part in a task of its own; `money` talks
//! to the facilitator; `sales` keeps the book; `flights` lets copies of one request wait for one answer; `passes` lets
//! in for a while who has paid, as long as the money stays (`standing`), and `access` who has bought it elsewhere.

mod access;
mod admit;
mod challenge;
mod credit;
mod desk;
mod flights;
mod handler;
mod headers;
mod money;
mod order;
mod passes;
mod presence;
mod recover;
mod relay;
mod reply;
mod sales;
mod shared;
mod standing;
mod work;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use crate::route::Route;

pub(crate) use admit::{refuse_upgrade, whole, wrong_host};
pub(crate) use challenge::ChallengeCache;
pub(crate) use credit::Credit;
pub(crate) use flights::Flights;
pub(crate) use headers::{strip_request, strip_response};
pub(crate) use money::is_dead;
pub(crate) use order::{Begun, Wanted, begun, buy_pass, quote, read_order};
pub(crate) use passes::{Passes, Standing, bought_as};
pub(crate) use presence::Presence;
pub use recover::Recovered;
pub(crate) use recover::recover;
pub(crate) use reply::Reply;
pub(crate) use sales::Sales;
pub(crate) use standing::standing;
pub(crate) use work::Order;

/// Whatever stands behind the gate.
pub(crate) type Inner = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;

/// A price as a tower layer; made by [`crate::Pay::price`] or [`crate::RouteBuilder::build`].
#[derive(Clone)]
pub struct PayLayer {
    route: Arc<Route>,
}

impl PayLayer {
    pub(crate) fn new(route: Route) -> Self {
        Self { route: Arc::new(route) }
    }

    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.route
    }
}

impl std::fmt::Debug for PayLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayLayer").field("description", &self.route.description).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for PayLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { route: self.route.clone(), inner }
    }
}

/// A service behind a price. It never fails: every trouble is an answer.
#[derive(Clone)]
pub struct Gate<S> {
    route: Arc<Route>,
    inner: S,
}

impl<S: std::fmt::Debug> std::fmt::Debug for Gate<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, C> Service<Request<B>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<C>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    C: http_body::Body<Data = Bytes> + Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    // The inner service is waited for where it is called: an unpaid request must not wait for it.
    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let route = self.route.clone();
        let service = self.inner.clone();
        Box::pin(async move {
            let inner = || {
                let service = service.map_response(|response| response.map(Body::new));
                BoxCloneSyncService::new(service.map_err(Into::into))
            };
            Ok(admit::admit(route, request.map(Body::new), inner).await)
        })
    }
}
