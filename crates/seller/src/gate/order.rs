//! A payment whose answer is a pass: the same way through the gate, with nothing behind it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use groat_core::books::{Sale, SaleState};
use groat_core::payment::Fingerprint;
use groat_core::{Challenge, Failure};
use http::{Method, Request, Response, StatusCode, Uri};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use super::admit::{identify, let_in, unreadable};
use super::desk::Desk;
use super::flights::Prints;
use super::work::Order;
use super::{Inner, Reply, challenge, passes};
use crate::route::Route;

/// The resource that a pass is bought for, as a request for it would name it.
pub(crate) struct Wanted {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) url: String,
}

/// Reads an order. Nothing is done for it.
pub(crate) fn read_order(route: Arc<Route>, wanted: Wanted, order: &[u8]) -> Result<Order, Reply> {
    let challenge = offered(&route, &wanted);
    let payment = match route.shop.dialects.read_order(order) {
        Ok(Some(payment)) => payment,
        Ok(None) => {
            let message = "this is no order of a pass that is understood here";
            return Err(Reply::error(StatusCode::BAD_REQUEST, "invalid_order", message));
        }
        Err(error) => {
            let mut reply = unreadable(&route, &challenge, &error);
            // It is a body, not a header field.
            if reply.status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
                reply.status = StatusCode::PAYLOAD_TOO_LARGE;
            }
            return Err(reply);
        }
    };
    let Wanted { method, uri, url } = wanted;
    let scope = route
        .pass
        .as_ref()
        .map(|terms| passes::scope_of(terms, &method, route.resource_url(&url)).into_owned());
    let desk = Desk { challenge, dialect: payment.dialect.clone(), network: payment.network.clone(), route };
    let (offer, id, valid_until) = identify(&desk, &payment, &url)?;
    // One payment buys one thing: a pass for this, or the answer itself.
    let request = Fingerprint::of(&[b"pass", scope.unwrap_or_default().as_bytes()]);
    let prints = Prints { payment: payment.fingerprint(), request };
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    let (parts, ()) = request.into_parts();
    let body = Bytes::new();
    Ok(Order {
        desk: Arc::new(desk),
        payment,
        offer,
        id,
        valid_until,
        prints,
        parts,
        body,
        is_for_pass: true,
        is_contested: false,
    })
}

/// Works an order off. The answer carries the pass in its header fields; another says why there is none.
pub(crate) async fn buy_pass(order: Order) -> Result<Response<Body>, Reply> {
    let_in(order, nothing()).await
}

/// What is known of an order before anything is done for it.
pub(crate) enum Begun {
    /// It was paid, and the token was given before.
    Sold {
        /// Who has paid, where that is known.
        payer: Option<String>,
    },
    /// It is being worked on, or was.
    Open,
    /// It is good, and this is who signed it.
    Not {
        /// Not only who is said to pay.
        payer: String,
    },
}

/// Finds out whose order it is, and whether it is new. What is no good is refused as it always is.
pub(crate) async fn begun(order: &Order) -> Result<Begun, Reply> {
    let desk = &order.desk;
    let held = desk.route.shop.sales.load(&order.id).await.map_err(|fault| desk.fault(&fault))?;
    match held.as_ref().map(|held| held.sale()) {
        Some(Sale { payment, state: SaleState::Done { receipt, .. }, .. })
            if *payment == order.prints.payment =>
        {
            Ok(Begun::Sold { payer: receipt.payer.clone() })
        }
        None | Some(Sale { state: SaleState::Released, .. }) => match order.till().verify().await {
            Ok(claim) => Ok(Begun::Not { payer: claim.payer }),
            Err(Failure::Refused(refusal)) => Err(desk.refused(&refusal)),
            Err(Failure::Fault(fault)) => Err(desk.fault(&fault)),
        },
        Some(_) => Ok(Begun::Open),
    }
}

/// The 402 of a resource.
pub(crate) fn quote(route: &Route, wanted: &Wanted) -> Reply {
    challenge::encode(&route.shop.dialects, StatusCode::OK, &offered(route, wanted), None)
}

fn offered(route: &Route, wanted: &Wanted) -> Challenge {
    route.challenge(&wanted.method, &wanted.url, route.fixed_offers().to_vec())
}

/// What stands behind a pass.
fn nothing() -> Inner {
    let empty =
        tower::service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    BoxCloneSyncService::new(empty.map_err(|never| -> BoxError { match never {} }))
}
