//! From an HTTP request to an answer: who is not paying, who pays wrongly, and who is let in.
//!
//! Nothing here acts: the book, the facilitator and the handler are touched only by the task that `let_in` starts.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use groat_core::payment::Fingerprint;
use groat_core::{Challenge, Fault, Offer, Pass, Payment, PaymentId, Reason, Timestamp};
use groat_failpoints::reach;
use groat_wire::pass::PASS_HEADER;
use groat_wire::{Asked, COMPANION_HEADERS, Freshness, PAYMENT_HEADERS, RESPONSE_HEADERS, WireError};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH,
    ORIGIN, RANGE, UPGRADE, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tokio::sync::{oneshot, watch};
use tower::ServiceExt;

use super::desk::Desk;
use super::flights::{Prints, Seat, Ticket};
use super::handler::{self, Collected, Trouble};
use super::passes::{self, Shown, Standing};
use super::shared::bought_elsewhere;
use super::work::{Order, Work};
use super::{Inner, Reply, access, challenge, headers, standing, strip_request, strip_response};
use crate::canonical::{UrlFault, request_url, same_resource};
use crate::paid::Paid;
use crate::pay::Shop;
use crate::route::{Pricing, Route};
use crate::view::RequestView;

/// Answers a request to a priced route.
pub(crate) async fn admit(
    route: Arc<Route>,
    request: Request<Body>,
    inner: impl FnOnce() -> Inner,
) -> Response<Body> {
    let head = request.method() == Method::HEAD;
    let origin = request.headers().get(ORIGIN).cloned();
    let shop = route.shop.clone();
    let mut response = match decide(route, request, inner).await {
        Ok(response) => response,
        Err(reply) => reply.response(),
    };
    if head {
        *response.body_mut() = Body::empty();
    }
    if let Some(allowed) = origin.as_ref().and_then(|origin| shop.cors.allows(origin.to_str().ok()?))
        && let Ok(allowed) = HeaderValue::from_str(allowed)
    {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let exposed: Vec<&str> = RESPONSE_HEADERS.iter().copied().chain(["WWW-Authenticate"]).collect();
        if let Ok(exposed) = HeaderValue::from_str(&exposed.join(", ")) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
    response
}

async fn decide(
    route: Arc<Route>,
    request: Request<Body>,
    inner: impl FnOnce() -> Inner,
) -> Result<Response<Body>, Reply> {
    let (mut parts, body) = request.into_parts();
    if is_preflight(&parts) {
        return Ok(preflight(&route, parts, inner).await);
    }
    refuse_upgrade(&parts.method, &parts.headers)?;
    let url = request_url(&parts, route.shop.public_url.as_ref()).map_err(wrong_host)?;

    let shown = show(&route, &mut parts, &url).await?;
    let not_good = match shown {
        Shown::Good(pass) => match with_pass(&route, &pass).await?.problem() {
            None => return let_through(&route, &pass, parts, body, inner()).await,
            problem => problem,
        },
        Shown::Elsewhere(token) => match bought_elsewhere(&route, &token) {
            Some(paid) => return serve_unpaid(&route.shop, paid, parts, body, inner()).await,
            None => None,
        },
        Shown::Bad(why) => Some(why),
        Shown::Nothing => None,
    };
    let read = route.shop.dialects.read_payment(&parts.headers);
    // Only where nothing else is shown.
    let claim = match &read {
        Ok(None) => route.shop.dialects.read_access(&parts.headers),
        _ => Ok(None),
    };
    if let (Ok(None), Ok(None), None, Pricing::Fixed(offers)) = (&read, &claim, not_good, &route.pricing) {
        return Ok(unpaid(&route, &parts, &url, offers));
    }
    let told = headers::companions(&parts.headers);
    strip_request(&mut parts.headers);
    let view = || {
        // The price of a request must not depend on its payment.
        RequestView::new(parts.method.clone(), parts.uri.clone(), url.clone(), parts.headers.clone())
    };
    let offers = route.offers(view).await.map_err(no_price)?.into_owned();
    let mut challenge = route.challenge(&parts.method, &url, offers);
    route.shop.dialects.hear(&told, &mut challenge);
    let payment = match read.and_then(|payment| Ok((payment, claim?))) {
        Ok((Some(payment), _)) => payment,
        Ok((None, Some(claim))) => {
            let request = access::Claimed { claim, challenge: &challenge, parts, body, url: &url };
            return access::let_in(&route, request, inner).await;
        }
        Ok((None, None)) => {
            let status = StatusCode::PAYMENT_REQUIRED;
            let reply = challenge::encode(&route.shop.dialects, status, &challenge, not_good);
            return Err(reply.with_bad_token(not_good));
        }
        Err(error) => return Err(unreadable(&route, &challenge, &error)),
    };

    let mut desk =
        Desk { route, challenge, dialect: payment.dialect.clone(), network: payment.network.clone() };
    let (offer, id, valid_until) = identify(&desk, &payment, &url)?;
    // Not every dialect says the chain.
    desk.network = offer.network.clone();
    let payment = Payment { network: offer.network.clone(), ..payment };
    let shop = &desk.route.shop;
    let body = whole(shop, &parts, body, shop.limits.request_size_bytes_max).await?;
    let asked = Asked { method: parts.method.as_str(), url: &url, body: &body };
    let payment = shop.dialects.bind(payment, &asked);
    let prints = Prints { payment: payment.fingerprint(), request: fingerprint(&parts, &url, &body) };
    let order = Order {
        desk: Arc::new(desk),
        payment,
        offer,
        id,
        valid_until,
        prints,
        is_for_pass: false,
        parts,
        body,
        is_contested: false,
    };
    let_in(order, inner()).await
}

/// What the request shows instead of a payment; it is taken off.
async fn show(route: &Route, parts: &mut Parts, url: &str) -> Result<Shown, Reply> {
    let (shop, now) = (&route.shop, route.shop.now());
    let method = &parts.method;
    let scope = route.pass.as_ref().map(|terms| passes::scope_of(terms, method, route.resource_url(url)));
    let shown = match &scope {
        Some(scope) => shop.passes.shown(&mut parts.headers, scope, now),
        None => {
            shop.passes.take_off(&mut parts.headers);
            Shown::Nothing
        }
    };
    if matches!(shown, Shown::Good(_)) || scope.is_none() && !route.foreign_tokens {
        return Ok(shown);
    }
    let scope = scope.as_deref();
    let others = shop.passes.shown_shared(&shop.sales, &mut parts.headers, scope, route.foreign_tokens, now);
    match others.await.map_err(|fault| cannot_look_up(&fault))? {
        Shown::Nothing => Ok(shown),
        other => Ok(other),
    }
}

/// Whether the pass is good for one more request, which is written down.
async fn with_pass(route: &Route, pass: &Pass) -> Result<Standing, Reply> {
    standing::take_use(&route.shop, pass).await.map_err(|fault| cannot_look_up(&fault))
}

fn cannot_look_up(fault: &Fault) -> Reply {
    tracing::warn!(%fault, "a pass cannot be looked up");
    let message = "the pass cannot be looked up: send the same request again later";
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message)
        .retry_after(fault.retry_after_s())
}

/// A request that was paid for before.
async fn let_through(
    route: &Route,
    pass: &Pass,
    parts: Parts,
    body: Body,
    inner: Inner,
) -> Result<Response<Body>, Reply> {
    let shop = &route.shop;
    let paid = Paid {
        payment_id: pass.payment,
        payer: pass.payer.clone(),
        amount: pass.amount,
        asset: pass.asset.clone(),
        network: pass.network.clone(),
        receipt: None,
        by_pass: true,
        by_access: false,
    };
    let answer = serve_unpaid(shop, paid, parts, body, inner).await;
    if !answer.as_ref().is_ok_and(|response| response.status().is_success()) {
        shop.passes.give_back(pass, shop.now()).await;
    }
    answer
}

/// Runs the handler for a request that costs nothing now. Nothing is charged and nothing is kept of it.
pub(super) async fn serve_unpaid(
    shop: &Shop,
    paid: Paid,
    mut parts: Parts,
    body: Body,
    inner: Inner,
) -> Result<Response<Body>, Reply> {
    strip_request(&mut parts.headers);
    parts.extensions.insert(paid);
    let limit = Duration::from_secs(shop.limits.handler_timeout_s);
    let mut response =
        handler::run(inner, Request::from_parts(parts, body), limit).await.map_err(Trouble::reply)?;
    let fields = response.headers_mut();
    strip_response(fields);
    headers::keep_private(fields);
    headers::vary(fields);
    Ok(response)
}

/// The challenge to an unpaid request: the cheapest answer there is, because anybody may ask for it.
fn unpaid(route: &Route, parts: &Parts, url: &str, offers: &[Offer]) -> Response<Body> {
    let method = &parts.method;
    let dialects = &route.shop.dialects;
    let freshness = dialects.freshness(offers);
    if freshness == Freshness::Whole {
        let mut challenge = route.challenge(method, url, offers.to_vec());
        dialects.hear(&parts.headers, &mut challenge);
        return challenge::encode(dialects, StatusCode::PAYMENT_REQUIRED, &challenge, None).response();
    }
    let mut response = kept(route, method, url, offers).response();
    if freshness == Freshness::Fields {
        let challenge = route.challenge(method, url, offers.to_vec());
        dialects.write_fresh_fields(&challenge, response.headers_mut());
    }
    response
}

/// What all unpaid requests for the same are told.
fn kept(route: &Route, method: &Method, url: &str, offers: &[Offer]) -> Arc<Reply> {
    // Only where passes are sold does the method count.
    let asked = match route.sells_passes() {
        true => Cow::Owned(format!("{} {url}", passes::bought_as(method))),
        false => Cow::Borrowed(route.resource_url(url)),
    };
    if let Some(reply) = route.cache.find(&asked) {
        return reply;
    }
    let challenge = Challenge { moment: None, ..route.challenge(method, url, offers.to_vec()) };
    let reply = challenge::encode(&route.shop.dialects, StatusCode::PAYMENT_REQUIRED, &challenge, None);
    let reply = Arc::new(reply);
    route.cache.keep(&asked, &reply);
    reply
}

/// Which offer is paid, and what makes the payment unique.
pub(super) fn identify(
    desk: &Desk,
    payment: &Payment,
    url: &str,
) -> Result<(Offer, PaymentId, Timestamp), Reply> {
    let refuse = |reason: Reason| desk.refused(&reason.into());
    let shop = &desk.route.shop;
    let unreadable = || {
        let message = Some("the proof cannot be read, or is for another chain");
        desk.again(StatusCode::BAD_REQUEST, Reason::InvalidPayload.code(), message)
    };
    let offer = shop.dialects.choose(payment, &desk.challenge).map_err(|reason| match reason {
        Reason::InvalidPayload => unreadable(),
        reason => refuse(reason),
    })?;
    check_resource(desk, payment, url).map_err(refuse)?;
    let mechanism = shop.mechanism(offer).ok_or_else(|| refuse(Reason::UnsupportedScheme))?;
    match mechanism.key(payment, offer) {
        Ok((key, valid_until)) => Ok((offer.clone(), key.id(), valid_until)),
        Err(Reason::InvalidPayload) => Err(unreadable()),
        Err(reason) => Err(refuse(reason)),
    }
}

/// A payment that names what it is for buys nothing else (threat rows B01, R04).
fn check_resource(desk: &Desk, payment: &Payment, url: &str) -> Result<(), Reason> {
    let Some(resource) = &payment.resource else { return Ok(()) };
    let named = resource.as_str().or_else(|| resource.get("url")?.as_str());
    let route = &desk.route;
    // Without a public URL our own name is only what the client called us.
    let with_origin = route.shop.public_url.is_some() || route.resource.is_some();
    match named {
        Some(named) if same_resource(named, route.resource_url(url), with_origin) => Ok(()),
        _ => Err(Reason::ResourceMismatch),
    }
}

/// The whole body, so that the request has a fingerprint and can be run again after a crash.
pub(crate) async fn whole(
    shop: &Shop,
    parts: &Parts,
    body: Body,
    size_bytes_max: usize,
) -> Result<Bytes, Reply> {
    let too_large = || {
        let message = format!("the body of this request may have {size_bytes_max} bytes");
        Reply::error(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", &message)
    };
    let told = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > size_bytes_max as u64) {
        return Err(too_large());
    }
    let limit = Duration::from_secs(shop.limits.request_timeout_s);
    match handler::collect(body, size_bytes_max, limit).await {
        Ok(Collected::Whole(bytes)) => Ok(bytes),
        Ok(Collected::Larger(..)) => Err(too_large()),
        Err(Trouble::TimedOut) => {
            Err(Reply::error(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not arrive"))
        }
        Err(_) => Err(Reply::error(StatusCode::BAD_REQUEST, "request_broken", "the body broke off")),
    }
}

fn fingerprint(parts: &Parts, url: &str, body: &[u8]) -> Fingerprint {
    // A slice is another answer than the whole (threat row H19).
    let range = parts.headers.get(RANGE).map_or(&[][..], HeaderValue::as_bytes);
    Fingerprint::of(&[parts.method.as_str().as_bytes(), url.as_bytes(), range, body])
}

/// Starts the work, or waits for the same work that is already under way.
pub(super) async fn let_in(mut order: Order, inner: Inner) -> Result<Response<Body>, Reply> {
    reach("KP0");
    let shop = order.desk.route.shop.clone();
    let mut seat = shop.flights.board(order.id, &order.prints);
    // Its proof may stand for more than one payment.
    while matches!(seat, Seat::Taken) && order.advance() {
        order.is_contested = true;
        seat = shop.flights.board(order.id, &order.prints);
    }
    match seat {
        Seat::Lead(ticket) => {
            let (live, answer) = oneshot::channel();
            let desk = Arc::clone(&order.desk);
            tokio::spawn(work(Work::new(order, inner, live), ticket));
            answer.await.map_err(|_| desk.pending(None))
        }
        Seat::Follow(reply) => Ok(follow(&order.desk, reply).await?.response()),
        Seat::Taken => Err(order.desk.in_progress()),
        Seat::Full => Err(busy()),
    }
}

/// Waits for the answer to the same request.
pub(super) async fn follow(
    desk: &Desk,
    mut reply: watch::Receiver<Option<Arc<Reply>>>,
) -> Result<Arc<Reply>, Reply> {
    let limit = Duration::from_secs(desk.route.shop.limits.wait_timeout_s);
    match tokio::time::timeout(limit, landed(&mut reply)).await {
        Ok(Some(reply)) => Ok(reply),
        Ok(None) => Err(desk.pending(None)),
        Err(_) => Err(desk.in_progress()),
    }
}

pub(super) fn busy() -> Reply {
    let message = "too many payments are in work: nothing was taken, send the same request again later";
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, "busy", message).retry_after(2)
}

async fn work(mut work: Work, ticket: Ticket) {
    let reply = match AssertUnwindSafe(work.run()).catch_unwind().await {
        Ok(reply) => reply,
        Err(_) => {
            tracing::error!("the work on a payment panicked: this is a bug");
            work.lost()
        }
    };
    let reply = Arc::new(reply);
    // First the payment is free, then the client hears: it may come again at once.
    ticket.land(Arc::clone(&reply));
    work.deliver(&reply);
}

async fn landed(reply: &mut watch::Receiver<Option<Arc<Reply>>>) -> Option<Arc<Reply>> {
    reply.wait_for(Option::is_some).await.ok().and_then(|reply| reply.clone())
}

fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// A preflight costs nothing and runs nothing, unless the operator lets it through (threat row H15).
async fn preflight(route: &Route, mut parts: Parts, inner: impl FnOnce() -> Inner) -> Response<Body> {
    if route.shop.pass_preflight {
        strip_request(&mut parts.headers);
        let passed = inner().oneshot(Request::from_parts(parts, Body::empty())).await;
        return passed.unwrap_or_else(|_| Trouble::Failed.reply().response());
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if let Some(method) = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    }
    // The official fetch client sends the last of these on requests, by mistake.
    let ours = ["Authorization", "Content-Type", "SIGN-IN-WITH-X", "Access-Control-Expose-Headers"];
    let pass = PASS_HEADER;
    let spoken = PAYMENT_HEADERS.iter().chain(COMPANION_HEADERS.iter()).copied();
    let allowed: Vec<&str> = spoken.chain([pass.as_str()]).chain(ours).collect();
    if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// One payment buys one answer, not an open line (threat rows H12, H21). An offer of h2c may be ignored.
pub(crate) fn refuse_upgrade(method: &Method, headers: &HeaderMap) -> Result<(), Reply> {
    if method == Method::CONNECT {
        return Err(Reply::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "no tunnels here"));
    }
    let wanted = headers.get_all(UPGRADE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let other =
        wanted.map(<[u8]>::trim_ascii).any(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"h2c"));
    if other {
        let message = "a paid route answers requests; it does not change protocols";
        return Err(Reply::error(StatusCode::NOT_IMPLEMENTED, "upgrade_not_supported", message));
    }
    Ok(())
}

pub(crate) fn wrong_host(fault: UrlFault) -> Reply {
    let status = match fault {
        UrlFault::TwoHosts => StatusCode::BAD_REQUEST,
        UrlFault::NotOurs => StatusCode::MISDIRECTED_REQUEST,
    };
    Reply::error(status, "wrong_host", &fault.to_string())
}

fn no_price(problem: String) -> Reply {
    tracing::error!(%problem, "a price cannot be told");
    let message = "the price of this request cannot be told: nothing was taken";
    Reply::error(StatusCode::INTERNAL_SERVER_ERROR, "price_unavailable", message)
}

pub(super) fn unreadable(route: &Route, challenge: &Challenge, error: &WireError) -> Reply {
    let status = match error {
        WireError::TooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        WireError::Malformed { .. } | WireError::Ambiguous => StatusCode::BAD_REQUEST,
    };
    let challenge = Challenge { error: error.code().to_owned(), ..challenge.clone() };
    challenge::encode(&route.shop.dialects, status, &challenge, Some(&error.to_string()))
}
