//! Payments that were made before they are shown: one transaction can hold several, and a run that fails gives its one back.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::{any, get as on_get};
use groat_core::offer::Ask;
use groat_core::ports::{Facilitator, Mechanism, PaymentStatus, Supported, Token};
use groat_core::{
    Amount, Claim, Failure, Fault, Network, Offer, Payment, PaymentId, PaymentKey, Reason, Receipt, Terms,
    Timestamp,
};
use groat_seller::Pay;
use groat_wire::agentxpay::{ID, SCHEME};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::kit::{NETWORK, NOW, PAY_TO, PAYER, Seen, World, get, key, receipt, send, text};

/// By hash and count, as `groat_chain_evm` has it.
struct Cash;

impl Mechanism for Cash {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        network.as_str() == NETWORK
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        let Ask::Units { asset, amount, extra } = &terms.price else { return Ok(None) };
        Ok(Some(Offer {
            scheme: SCHEME.into(),
            network: terms.network.clone(),
            asset: asset.clone(),
            amount: *amount,
            pay_to: terms.pay_to.clone(),
            timeout_s: terms.timeout_s,
            extra: extra.clone(),
            price: None,
            dialect: Some(ID),
            currency: None,
            verbatim: None,
        }))
    }

    fn key(&self, payment: &Payment, _offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let name = format!("{} {}", payment.proof["hash"], payment.proof["count"]);
        Ok((key(&payment.network, &name), Timestamp(u64::MAX)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        one.eq_ignore_ascii_case(other)
    }

    fn is_paid_before(&self) -> bool {
        true
    }

    fn next(&self, payment: &Payment) -> Option<Payment> {
        let mut next = payment.clone();
        let count = next.proof["count"].as_u64()? + 1;
        next.proof["count"] = json!(count);
        (count < 8).then_some(next)
    }

    fn token(&self, _network: &Network, _asset: &str) -> Option<Token> {
        None
    }
}

/// Every transaction pays for these services; what was taken is in the book.
struct Chain {
    services: Vec<&'static str>,
    taken: Mutex<BTreeSet<PaymentId>>,
}

#[async_trait]
impl Facilitator for Chain {
    async fn supported(&self) -> Result<Supported, Fault> {
        Ok(Supported::default())
    }

    async fn verify(&self, payment: &Payment, offer: &Offer) -> Result<Claim, Failure> {
        let count = payment.proof["count"].as_u64().unwrap() as usize;
        let service = self.services.get(count).ok_or(Reason::TransferEventMismatch)?;
        if offer.extra["serviceId"] != *service {
            return Err(Reason::RecipientMismatch.into());
        }
        let (key, _) = Cash.key(payment, offer)?;
        if self.taken.lock().unwrap().contains(&key.id()) {
            return Err(Reason::NonceAlreadyUsed.into());
        }
        Ok(Claim {
            key,
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payer: PAYER.into(),
            pay_to: offer.pay_to.clone(),
            amount: offer.amount,
            valid_from: Timestamp(0),
            valid_until: Timestamp(NOW + 900),
            alone: false,
            funds: None,
        })
    }

    async fn settle(&self, payment: &Payment, offer: &Offer) -> Result<Receipt, Failure> {
        // As an engine does: what it has taken for one offer is no payment of another.
        let service = self.services.get(payment.proof["count"].as_u64().unwrap() as usize);
        if service.is_none_or(|service| offer.extra["serviceId"] != *service) {
            return Err(Reason::RecipientMismatch.into());
        }
        self.taken.lock().unwrap().insert(Cash.key(payment, offer)?.0.id());
        Ok(receipt("0xpaid"))
    }

    async fn status(&self, _id: &PaymentId) -> Result<Option<PaymentStatus>, Fault> {
        Ok(None)
    }
}

/// `/one` and `/two` for services of that name. `/one` waits for a permit, and fails while it is told to.
struct Shop {
    app: Router,
    permits: Arc<Semaphore>,
    fails: Arc<AtomicBool>,
    world: World,
}

fn shop(services: &[&'static str]) -> Shop {
    let world = World::new();
    let chain = Chain { services: services.to_vec(), taken: Mutex::default() };
    let pay: Pay =
        world.builder().mechanisms(vec![Arc::new(Cash)]).facilitator(Arc::new(chain)).build().unwrap();
    let layer = |service: &str| {
        let Value::Object(extra) = json!({ "serviceId": service }) else { unreachable!() };
        let route = pay.route().scheme(SCHEME).pay_to(PAY_TO);
        route.units("native", Amount::from_units(100), extra).build().unwrap()
    };
    let (permits, fails) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicBool::new(true)));
    let (waits, told) = (permits.clone(), fails.clone());
    let one = move || {
        let (waits, told) = (waits.clone(), told.clone());
        async move {
            waits.acquire().await.unwrap().forget();
            let mut response: Response<Body> = text("one");
            if told.load(Ordering::SeqCst) {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        }
    };
    let two = world.counted(|_, _| async { text("two") });
    let app = Router::new()
        .route("/one", any(one).layer(layer("1")))
        .route("/two", on_get(two).layer(layer("2")))
        .route("/two/more", on_get(|| async { text("more") }).layer(layer("1")));
    Shop { app, permits, fails, world }
}

fn shown(path: &str) -> Request<Body> {
    let mut request = get(path);
    request.headers_mut().insert("x-payment-txhash", format!("0x{}", "ab".repeat(32)).parse().unwrap());
    request.headers_mut().insert("x-payment-chainid", "84532".parse().unwrap());
    request
}

fn said(seen: &Seen) -> (StatusCode, String) {
    (seen.status, seen.error())
}

#[tokio::test]
async fn nobody_is_refused_while_the_payment_is_in_work_for_something_else_and_may_come_back() {
    let shop = shop(&["1"]);
    let first = tokio::spawn({
        let app = shop.app.clone();
        async move { send(&app, shown("/one")).await }
    });
    while shop.world.sales() == 0 {
        tokio::task::yield_now().await;
    }
    let meanwhile = send(&shop.app, shown("/two/more")).await;
    assert_eq!(said(&meanwhile), (StatusCode::CONFLICT, "payment_in_progress".into()));
    assert!(!meanwhile.header("retry-after").is_empty());
    shop.permits.add_permits(1);
    assert_eq!(first.await.unwrap().status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(send(&shop.app, shown("/two/more")).await.body, "more");
    let late = send(&shop.app, shown("/one")).await;
    assert_eq!(said(&late), (StatusCode::PAYMENT_REQUIRED, "payment_already_used".into()));
}

#[tokio::test]
async fn b16_a_payment_that_was_given_back_buys_nothing_that_it_was_not_made_for() {
    let shop = shop(&["1"]);
    shop.permits.add_permits(2);
    assert_eq!(send(&shop.app, shown("/one")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let other = send(&shop.app, shown("/two")).await;
    assert_eq!(said(&other), (StatusCode::PAYMENT_REQUIRED, Reason::RecipientMismatch.code().into()));
    assert_eq!(shop.world.hits(), 0);
    shop.fails.store(false, Ordering::SeqCst);
    assert_eq!(send(&shop.app, shown("/one")).await.body, "one");
}

/// A handler that gave no answer may have done its work: only what changes nothing is run again for the same payment.
#[tokio::test(start_paused = true)]
async fn r12_a_run_without_an_answer_is_repeated_only_where_that_is_safe() {
    for is_safe in [true, false] {
        let shop = shop(&["1"]);
        let asked = || {
            let mut request = shown("/one");
            *request.method_mut() = if is_safe { http::Method::GET } else { http::Method::POST };
            request
        };
        let late = send(&shop.app, asked()).await;
        assert_eq!(said(&late), (StatusCode::GATEWAY_TIMEOUT, "handler_timeout".into()));
        shop.permits.add_permits(1);
        shop.fails.store(false, Ordering::SeqCst);
        let again = send(&shop.app, asked()).await;
        assert_eq!(again.body == "one", is_safe, "{again:?}");
        assert_eq!(shop.permits.available_permits(), usize::from(!is_safe), "whether it ran again");
        if !is_safe {
            assert_eq!(said(&again), said(&late), "what was bought");
        }
    }
}
